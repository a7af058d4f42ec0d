//! `start`: opens the gate at which the monitor waits.

use std::io;

use libcontainer::config::YoukiConfig;
use libcontainer::container::{Container, ContainerStatus};
use libcontainer::hooks::run_hooks;
use libcontainer::notify_socket::{NOTIFY_FILE, NotifyListenerError, NotifySocket};

use crate::exit;
use crate::lifecycle::error::Error;
use crate::lifecycle::monitor::notify::Manager;
use crate::lifecycle::monitor::start_channel::{Client, Message};
use crate::lifecycle::resources::network::{self, Connected};
use crate::lifecycle::status::Status;
use crate::lifecycle::store::entry::write_whole;
use crate::lifecycle::unikernel::Unikernel;
use crate::lifecycle::verbs::delete;
use decision::plan::Plan;
use vmm::{self, Transport};

/// Starts a created unikernel, and tells the caller's service manager, where there is one,
/// that it is ready and that `main_pid` is the process to watch.
///
/// # Errors
/// When it runs already or has stopped, in runc's words; or the manager cannot be told.
pub(in crate::lifecycle) fn start(unikernel: &Unikernel, main_pid: i32) -> Result<(), Error> {
    let id = unikernel.id().to_owned();
    match unikernel.status() {
        Status::Created => {}
        Status::Creating => return Err(Error::Missing { id }),
        Status::Running => return Err(Error::StartRunning { id }),
        Status::Paused => return Err(Error::StartPaused { id }),
        Status::Stopped => return Err(Error::StartStopped { id }),
    }
    let untold = |why: io::Error| Error::Notify {
        id: unikernel.id().to_owned(),
        why,
    };
    let manager = Manager::connect().map_err(untold)?;
    open_the_gate(unikernel)?;
    match manager {
        Some(manager) => manager.ready(main_pid).map_err(untold),
        None => Ok(()),
    }
}

/// What libcontainer's `start` does, but for three things: the monitor is told what its guest
/// shall know, and says whether it can run; the state is replaced, not written over, so that a
/// call that is killed leaves it whole; and a call that comes after a killed one goes on where
/// that was.
fn open_the_gate(unikernel: &Unikernel) -> Result<(), Error> {
    let id = unikernel.id().to_owned();
    let failed = |why| Error::Start {
        id: id.clone(),
        why,
    };
    let mut container = unikernel.container().map_err(failed)?;
    // Before anything is changed: from here on the monitor hears nobody else.
    match Client::connect(&unikernel.entry.dir) {
        Ok(Some(speaker)) => tell(unikernel, &container, speaker)?,
        // A monitor of an older version, which knows all that there is.
        Ok(None) => pass(unikernel, &container)?
            .then_some(())
            .ok_or_else(|| told(unikernel))?,
        Err(e) if is_refused(&e) => return Err(told(unikernel)),
        Err(e) => return Err(failed(e.to_string())),
    }
    container.set_status(ContainerStatus::Running);
    after_the_start(&container).map_err(|why| {
        // As runc does, the container is ended. The first error is the one to tell.
        let _ = delete::end(unikernel);
        failed(why)
    })
}

/// Connects the guest with its network, lets the monitor pass the gate and tells it.
fn tell(unikernel: &Unikernel, container: &Container, speaker: Client) -> Result<(), Error> {
    let failed = |why| Error::Start {
        id: unikernel.id().to_owned(),
        why,
    };
    let process = unikernel.process().ok_or_else(|| told(unikernel))?;
    let connected = network::connect(unikernel, process).map_err(failed)?;
    let network = connected.as_ref().map(|connected| &connected.network);
    let plan = &unikernel.record.plan;
    let cmdline = devices(plan, connected.is_some()).and_then(|devices| {
        let line = plan.command_line(network, &devices);
        line.map_err(|e| e.to_string())
    });
    let handed = cmdline.map_err(failed).and_then(|cmdline| {
        let net = connected.as_ref().map(Connected::device);
        // Where it has passed already, a killed call has opened.
        pass(unikernel, container)?;
        let packets = connected.as_ref().map(Connected::packets);
        speaker
            .tell(&Message { cmdline, net }, packets)
            .map_err(failed)
    });
    if handed.is_err() && connected.is_some() {
        // The first error is the one to tell.
        network::disconnect(unikernel);
    }
    handed
}

/// The words by which a guest finds its virtio devices.
fn devices(plan: &Plan, has_net: bool) -> Result<Vec<String>, String> {
    if !matches!(plan.virtio, Some(Transport::Mmio | Transport::MmioLegacy)) {
        return Ok(Vec::new());
    }
    let shares = usize::from(plan.share().is_some() || plan.virtiofs.is_some());
    let vsocks = usize::from(plan.vsock.is_some());
    let count = vmm::virtio_devices(has_net.into(), plan.blocks.len(), shares, vsocks);
    vmm::mmio_words(count).map_err(|e| e.to_string())
}

/// Opens the gate; gives false where it was open.
fn pass(unikernel: &Unikernel, container: &Container) -> Result<bool, Error> {
    match NotifySocket::new(container.root.join(NOTIFY_FILE)).notify_container_start() {
        Ok(()) => Ok(true),
        Err(NotifyListenerError::Connect { source, .. }) if is_refused(&source) => Ok(false),
        Err(_) if unikernel.status() == Status::Stopped => Err(told(unikernel)),
        Err(e) => Err(Error::Start {
            id: unikernel.id().to_owned(),
            why: exit::chain(&e),
        }),
    }
}

/// There is nobody to be told anything any more.
fn told(unikernel: &Unikernel) -> Error {
    let id = unikernel.id().to_owned();
    match unikernel.status() {
        Status::Stopped => Error::StartStopped { id },
        _ => Error::StartRunning { id },
    }
}

/// Nobody waits at the gate any more.
fn is_refused(error: &io::Error) -> bool {
    error.kind() == io::ErrorKind::ConnectionRefused
}

/// Keeps libcontainer's half of the state, and runs the poststart hooks.
fn after_the_start(container: &Container) -> Result<(), String> {
    let state = serde_json::to_vec(&container.state).map_err(|e| e.to_string())?;
    write_whole(&container.root.join("state.json"), &state).map_err(|e| e.to_string())?;
    let config = YoukiConfig::load(&container.root).map_err(|e| exit::chain(&e))?;
    let hooks = config.hooks.and_then(|hooks| hooks.poststart().clone());
    run_hooks(
        hooks.as_ref(),
        Some(&container.state),
        Some(&container.root),
        None,
        None,
    )
    .map_err(|e| format!("poststart hooks: {}", exit::chain(&e)))
}
