//! A guest's place in its pod's network, from `start` to `delete`.

use std::fs::File;
use std::io::{self, Read};
use std::net::IpAddr;
use std::os::fd::{AsFd, BorrowedFd};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use nix::errno::Errno;
use nix::libc::O_NONBLOCK;
use nix::sched::{CloneFlags, setns};
use nix::unistd::Pid;
use serde_json::Value;
use sha2::{Digest, Sha256};

use super::handover::Net;
use super::process::Process;
use super::store::Entry;
use super::{Unikernel, snapshot};
use crate::exit;
use bundle::{FileError, Rootfs};
use decision::plan::PlannedNet;
use guest::{self, Address};
use net::{self, AttachOptions, Attached, Interface, Namespace, Resolver};
use vmm::BootAbi;

/// The most that is read of a resolv.conf, in bytes.
const MAX: u64 = 64 << 10;

const RESOLV_CONF: &str = "/etc/resolv.conf";

/// A network that a guest is connected with.
pub(super) struct Connected {
    pub device: String,
    pub attached: Attached,
    /// What the guest is to be told of it.
    pub network: guest::Network,
}

impl Connected {
    /// The device, as the monitor is to make it.
    pub(super) fn device(&self) -> Net {
        Net {
            device: self.device.clone(),
            mac: self.network.mac,
            mtu: self.network.mtu,
        }
    }

    /// What it sends and receives by.
    pub(super) fn packets(&self) -> BorrowedFd<'_> {
        self.attached.tap.packets.as_fd()
    }
}

/// Whether a configuration asks for a network namespace of the container's own.
pub(super) fn wants_loopback(config: &Value) -> bool {
    let own = namespace(config).is_some_and(|path| path.as_os_str().is_empty());
    // Without root's rights there is no way in from here.
    own && nix::unistd::geteuid().is_root()
}

/// Takes the loopback interface up in the network namespace of `pid`.
///
/// # Errors
/// When the namespace cannot be entered or its interface not be changed, as a text.
pub(super) fn take_loopback_up(pid: Pid) -> Result<(), String> {
    Namespace::open(&of_process(pid.as_raw()))
        .and_then(|namespace| net::take_loopback_up(&namespace))
        .map_err(|why| format!("loopback interface: {why}"))
}

/// Connects a guest with the network namespace that its monitor is in, as it is now. `None`
/// where the guest has no network: none is planned, the namespace has no interface, or the
/// caller has no right to enter it.
///
/// # Errors
/// When the guest cannot have what is planned, as a text.
pub(super) fn connect(
    unikernel: &Unikernel,
    process: Process,
) -> Result<Option<Connected>, String> {
    let plan = &unikernel.record.plan;
    let Some(planned) = &plan.net else {
        return Ok(None);
    };
    let owner = owner(&unikernel.entry);
    let wanted = AttachOptions {
        owner: &owner,
        ports: planned.ports.as_ref(),
        vnet_header: plan.abi != BootAbi::Solo5,
    };
    let attached = match attach(process, wanted) {
        Err(net::Error::Enter(e)) if e.kind() == io::ErrorKind::PermissionDenied => None,
        attached => attached.map_err(|e| e.to_string())?,
    };
    match attached {
        Some(attached) => {
            let network = network(unikernel, process, &attached.interface)?;
            let device = planned.device.clone();
            Ok(Some(Connected {
                device,
                attached,
                network,
            }))
        }
        None => without(planned),
    }
}

/// Takes away what [`connect`] has made, for a guest that does not start after all.
pub(super) fn disconnect(unikernel: &Unikernel) {
    if let Some(leftovers) = Leftovers::find(&unikernel.entry, unikernel.process()) {
        leftovers.remove();
    }
}

fn attach(process: Process, wanted: AttachOptions) -> Result<Option<Attached>, net::Error> {
    let namespace = Namespace::open(&of_process(process.pid))?;
    match namespace.is_own()? {
        // Joined by its path: config.json looked as if it had one of its own.
        true => Err(net::Error::Own),
        false => net::attach(&namespace, wanted),
    }
}

fn without(planned: &PlannedNet) -> Result<Option<Connected>, String> {
    let device = &planned.device;
    match (planned.required, &planned.ports) {
        (true, _) => Err(format!(
            "the kernel needs network device {device}, and its network namespace has no interface that it could have: give the pod a network"
        )),
        (_, Some(ports)) => Err(format!(
            "it is to have ports {ports}, and its network namespace has no interface: give the pod a network, or remove annotation runu.dev/ports"
        )),
        _ => Ok(None),
    }
}

/// The network namespace in which something of a container may be left.
pub(super) struct Leftovers {
    namespace: Namespace,
    owner: String,
}

impl Leftovers {
    /// Looks for it where the container was to have its network, and with its monitor while
    /// that lives.
    pub(super) fn find(entry: &Entry, process: Option<Process>) -> Option<Self> {
        let config = snapshot::read(entry)?;
        let path = match namespace(&config)? {
            path if path.as_os_str().is_empty() => of_process(process?.pid),
            path => path,
        };
        let namespace = Namespace::open(&path).ok()?;
        let owner = owner(entry);
        Some(Self { namespace, owner })
    }

    /// Removes what is left. What cannot be removed is told, and is taken over by the next
    /// guest there: no reason to keep the container.
    pub(super) fn remove(self) {
        match net::detach(&self.namespace, &self.owner) {
            Err(net::Error::Enter(e)) if e.kind() == io::ErrorKind::PermissionDenied => {}
            Err(error) => exit::warn(&format!("warning: {error}")),
            Ok(()) => {}
        }
    }
}

/// The path of the network namespace in a configuration, empty for a new one; `None` for the
/// host's.
fn namespace(config: &Value) -> Option<PathBuf> {
    let mut all = config["linux"]["namespaces"].as_array()?.iter();
    let network = all.find(|namespace| namespace["type"] == "network")?;
    Some(network["path"].as_str().unwrap_or_default().into())
}

fn of_process(pid: i32) -> PathBuf {
    format!("/proc/{pid}/ns/net").into()
}

/// The container's token: no other on this host has the same directory.
fn owner(entry: &Entry) -> String {
    let digest = Sha256::digest(entry.dir.as_os_str().as_bytes());
    digest[..8]
        .iter()
        .map(|byte| format!("{byte:02x}"))
        .collect()
}

fn network(
    unikernel: &Unikernel,
    process: Process,
    interface: &Interface,
) -> Result<guest::Network, String> {
    let resolver = resolver(unikernel).map_err(|why| format!("{RESOLV_CONF}: {why}"))?;
    let (mut ipv4, mut ipv6) = (Vec::new(), Vec::new());
    for &(ip, prefix) in &interface.addresses {
        match ip {
            IpAddr::V4(ip) => ipv4.push(Address { ip, prefix }),
            IpAddr::V6(ip) => ipv6.push(Address { ip, prefix }),
        }
    }
    let routes = interface.routes.iter().map(|route| guest::Route {
        to: Address {
            ip: route.destination,
            prefix: route.prefix,
        },
        gateway: route.gateway,
    });
    Ok(guest::Network {
        mac: interface.mac,
        mtu: mtu(interface),
        // Of no use to who has no address.
        gateway4: interface.gateway4.filter(|_| !ipv4.is_empty()),
        gateway6: interface.gateway6.filter(|_| !ipv6.is_empty()),
        ipv4,
        ipv6,
        routes: routes.collect(),
        nameservers: resolver.nameservers,
        search: resolver.search,
        hostname: hostname(process),
        domain: resolver.domain,
    })
}

/// No packet is larger than a u16 can say.
fn mtu(interface: &Interface) -> u16 {
    u16::try_from(interface.mtu).unwrap_or(u16::MAX)
}

/// The name by which the container's UTS namespace goes.
fn hostname(process: Process) -> Option<String> {
    let namespace = File::open(format!("/proc/{}/ns/uts", process.pid)).ok()?;
    let name = || {
        setns(&namespace, CloneFlags::CLONE_NEWUTS).ok()?;
        nix::unistd::gethostname().ok()?.into_string().ok()
    };
    // A thread of its own, for it does not come back (setns(2)).
    let name = std::thread::scope(|scope| scope.spawn(name).join().ok().flatten());
    name.filter(|name| !name.is_empty() && name != "(none)")
}

/// What the container's resolv.conf says: the one that is mounted there, or the image's own.
fn resolver(unikernel: &Unikernel) -> io::Result<Resolver> {
    let config = snapshot::read(&unikernel.entry).unwrap_or_default();
    let mounts = config["mounts"].as_array().into_iter().flatten();
    let mut here = mounts.filter(|mount| mount["destination"] == RESOLV_CONF);
    let source = here.next_back().and_then(|mount| mount["source"].as_str());
    let file = match source {
        // A FIFO has nobody who writes to it.
        Some(source) => File::options()
            .read(true)
            .custom_flags(O_NONBLOCK)
            .open(unikernel.record.bundle.join(source))?,
        None => match image_file(&unikernel.record.rootfs) {
            Some(file) => file?,
            None => return Ok(Resolver::default()),
        },
    };
    if !file.metadata()?.is_file() {
        return Err(Errno::EINVAL.into());
    }
    let mut text = Vec::new();
    file.take(MAX).read_to_end(&mut text)?;
    Ok(Resolver::parse(&String::from_utf8_lossy(&text)))
}

/// The image's file, where there is one.
fn image_file(rootfs: &Path) -> Option<io::Result<File>> {
    // A bundle may be gone by now.
    let rootfs = Rootfs::open(rootfs).ok()?;
    match rootfs.open_file(Path::new(RESOLV_CONF)) {
        Err(FileError::Missing) => None,
        opened => Some(opened.map_err(io::Error::other)),
    }
}
