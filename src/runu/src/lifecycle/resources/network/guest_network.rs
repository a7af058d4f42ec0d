//! What a guest is told of its network: the interface's addresses and routes, the container's
//! hostname and resolv.conf.

use std::fs::File;
use std::io::{self, Read};
use std::net::IpAddr;
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

use nix::errno::Errno;
use nix::libc::O_NONBLOCK;
use nix::sched::{CloneFlags, setns};

use crate::lifecycle::effective_config;
use crate::lifecycle::process::Process;
use crate::lifecycle::resources::network::error::NetworkError;
use crate::lifecycle::store::entry::Entry;
use crate::lifecycle::store::record::Record;
use bundle::{FileError, Rootfs};
use guest::{self, Address};
use net::{Interface, Resolver};

/// The most that is read of a resolv.conf, in bytes.
const MAX: u64 = 64 << 10;

const RESOLV_CONF: &str = "/etc/resolv.conf";

/// What the guest of the monitor `process` is told of `interface`.
///
/// # Errors
/// When the container's resolv.conf cannot be read.
pub(super) fn describe(
    entry: &Entry,
    record: &Record,
    process: Process,
    interface: &Interface,
) -> Result<guest::Network, NetworkError> {
    let resolver = resolver(entry, record).map_err(NetworkError::ResolvConf)?;
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
fn resolver(entry: &Entry, record: &Record) -> io::Result<Resolver> {
    let config = effective_config::read(entry).unwrap_or_default();
    let mounts = config["mounts"].as_array().into_iter().flatten();
    let mut here = mounts.filter(|mount| mount["destination"] == RESOLV_CONF);
    let source = here.next_back().and_then(|mount| mount["source"].as_str());
    let file = match source {
        // A FIFO has nobody who writes to it.
        Some(source) => File::options()
            .read(true)
            .custom_flags(O_NONBLOCK)
            .open(record.bundle.join(source))?,
        None => match image_file(&record.rootfs) {
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
