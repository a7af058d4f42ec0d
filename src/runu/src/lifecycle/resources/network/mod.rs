//! A guest's tap in its pod's network, from `start` to `delete`.

pub(in crate::lifecycle) mod error;
mod guest_network;

use std::io;
use std::os::fd::{AsFd, BorrowedFd};
use std::os::unix::ffi::OsStrExt;
use std::path::PathBuf;

use nix::unistd::Pid;
use serde_json::Value;
use sha2::{Digest, Sha256};

use crate::exit;
use crate::lifecycle::effective_config;
use crate::lifecycle::monitor::start_channel::Net;
use crate::lifecycle::process::Process;
use crate::lifecycle::resources::error::ResourceError;
use crate::lifecycle::resources::resource::Resource;
use crate::lifecycle::store::entry::Entry;
use crate::lifecycle::store::record::Record;
use crate::lifecycle::unikernel::Unikernel;
use decision::plan::PlannedNet;
use error::NetworkError;
use net::{self, AttachOptions, Attached, Namespace};

/// A network that a guest is connected with.
pub(in crate::lifecycle) struct Connected {
    pub device: String,
    pub attached: Attached,
    /// What the guest is to be told of it.
    pub network: guest::Network,
}

impl Connected {
    /// The device, as the monitor is to make it.
    pub(in crate::lifecycle) fn device(&self) -> Net {
        Net {
            device: self.device.clone(),
            mac: self.network.mac,
            mtu: self.network.mtu,
        }
    }

    /// What it sends and receives by.
    pub(in crate::lifecycle) fn packets(&self) -> BorrowedFd<'_> {
        self.attached.tap.packets.as_fd()
    }
}

/// Whether a configuration asks for a network namespace of the container's own.
pub(in crate::lifecycle) fn has_new_namespace(config: &Value) -> bool {
    let own = namespace(config).is_some_and(|path| path.as_os_str().is_empty());
    // Without root's rights there is no way in from here.
    own && nix::unistd::geteuid().is_root()
}

/// Takes the loopback interface up in the network namespace of `pid`.
///
/// # Errors
/// When the namespace cannot be entered or its interface not be changed, with the system's error.
pub(in crate::lifecycle) fn take_loopback_up(pid: Pid) -> Result<(), NetworkError> {
    Namespace::open(&namespace_path_of(pid.as_raw()))
        .and_then(|namespace| net::take_loopback_up(&namespace))
        .map_err(NetworkError::Loopback)
}

/// A guest's network as a resource: made by `start`, left to `delete`.
pub(in crate::lifecycle) struct Network {
    entry: Entry,
    /// What is to be attached; `None` where something is to be undone only.
    planned: Option<(Record, PlannedNet)>,
    /// What the guest has; `None` where it has no network after all.
    pub connected: Option<Connected>,
    /// The monitor that it has been connected for.
    monitor: Option<Process>,
    /// Where something may be left, in a namespace that may go with its monitor.
    left: Option<Leftovers>,
}

impl Network {
    /// The network of the plan; `None` where it has none.
    pub(in crate::lifecycle) fn planned(unikernel: &Unikernel) -> Option<Self> {
        let net = unikernel.record.plan.net.clone()?;
        Some(Self {
            entry: unikernel.entry.clone(),
            planned: Some((unikernel.record.clone(), net)),
            connected: None,
            monitor: None,
            left: None,
        })
    }

    /// What a container has left, looked for while its monitor lives.
    pub(super) fn left(entry: &Entry, monitor: Option<Process>) -> Self {
        Self {
            entry: entry.clone(),
            planned: None,
            connected: None,
            monitor: None,
            left: Leftovers::find(entry, monitor),
        }
    }
}

impl Resource for Network {
    /// Connects the guest with the network namespace that its monitor is in, as it is now. The
    /// guest has none where the namespace has no interface, or the caller has no right to enter
    /// it.
    fn start(&mut self, monitor: Process) -> Result<(), ResourceError> {
        let Some((record, planned)) = &self.planned else {
            return Ok(());
        };
        let owner = owner(&self.entry);
        let options = AttachOptions {
            owner: &owner,
            ports: planned.ports.as_ref(),
            vnet_header: record.plan.abi.has_virtio(),
        };
        let attached = match attach(monitor, options) {
            Err(net::Error::Enter(e)) if e.kind() == io::ErrorKind::PermissionDenied => None,
            attached => attached.map_err(NetworkError::Net)?,
        };
        let Some(attached) = attached else {
            return Ok(check_absent(planned)?);
        };
        let network = guest_network::describe(&self.entry, record, monitor, &attached.interface)?;
        self.monitor = Some(monitor);
        self.connected = Some(Connected {
            device: planned.device.clone(),
            attached,
            network,
        });
        Ok(())
    }

    /// Takes away what a `start` has made. What cannot be removed is reported, and is taken over by
    /// the next guest there: no reason to keep the container.
    fn undo(&mut self) -> Result<(), ResourceError> {
        let left = self.left.take();
        let left = left.or_else(|| Leftovers::find(&self.entry, Some(self.monitor?)));
        if let Some(left) = left {
            left.remove();
        }
        Ok(())
    }
}

fn attach(process: Process, options: AttachOptions) -> Result<Option<Attached>, net::Error> {
    let namespace = Namespace::open(&namespace_path_of(process.pid))?;
    match namespace.is_own()? {
        // TerminalProxy by its path: config.json looked as if it had one of its own.
        true => Err(net::Error::Own),
        false => net::attach(&namespace, options),
    }
}

/// Checks that a guest may start without the network that is planned.
fn check_absent(planned: &PlannedNet) -> Result<(), NetworkError> {
    match (planned.required, &planned.ports) {
        (true, _) => Err(NetworkError::Required {
            device: planned.device.clone(),
        }),
        (_, Some(ports)) => Err(NetworkError::PortsWithout {
            ports: ports.clone(),
        }),
        _ => Ok(()),
    }
}

/// The network namespace in which something of a container may be left.
struct Leftovers {
    namespace: Namespace,
    owner: String,
}

impl Leftovers {
    /// Looks for it where the container was to have its network, and with its monitor while
    /// that lives.
    fn find(entry: &Entry, process: Option<Process>) -> Option<Self> {
        let config = effective_config::read(entry)?;
        let path = match namespace(&config)? {
            path if path.as_os_str().is_empty() => namespace_path_of(process?.pid),
            path => path,
        };
        let namespace = Namespace::open(&path).ok()?;
        let owner = owner(entry);
        Some(Self { namespace, owner })
    }

    fn remove(self) {
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

fn namespace_path_of(pid: i32) -> PathBuf {
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
