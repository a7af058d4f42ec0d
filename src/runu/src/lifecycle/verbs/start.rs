//! `start`: opens the gate at which the monitor waits.

use std::io;

use libcontainer::config::YoukiConfig;
use libcontainer::container::{Container, ContainerStatus};
use libcontainer::hooks::run_hooks;
use libcontainer::notify_socket::{NOTIFY_FILE, NotifyListenerError, NotifySocket};

use crate::lifecycle::error::Error;
use crate::lifecycle::hooks::error::HookError;
use crate::lifecycle::monitor::notify::ServiceManager;
use crate::lifecycle::monitor::start_channel::{Client, Message};
use crate::lifecycle::resources::Resource;
use crate::lifecycle::resources::network::{Connected, Network};
use crate::lifecycle::status::Status;
use crate::lifecycle::store::entry::write_whole;
use crate::lifecycle::store::error::StoreError;
use crate::lifecycle::unikernel::Unikernel;
use crate::lifecycle::verbs::delete;
use crate::lifecycle::verbs::error::StartError;
use decision::plan::Plan;
use vmm::{self, Transport};

/// Starts a created unikernel, and notifies the caller's service manager, where there is one,
/// that it is ready and that `main_pid` is the process to watch.
///
/// # Errors
/// When it runs already or has stopped, in runc's words; or the manager cannot be notified.
pub(in crate::lifecycle) fn start(unikernel: &Unikernel, main_pid: i32) -> Result<(), Error> {
    let id = unikernel.id().to_owned();
    match unikernel.status() {
        Status::Created => {}
        Status::Creating => return Err(StoreError::Missing { id }.into()),
        Status::Running => return Err(Error::StartRunning { id }),
        Status::Paused => return Err(Error::StartPaused { id }),
        Status::Stopped => return Err(Error::StartStopped { id }),
    }
    let not_notified = |source: io::Error| Error::Notify {
        id: unikernel.id().to_owned(),
        source,
    };
    let manager = ServiceManager::connect().map_err(not_notified)?;
    start_created(unikernel)?;
    match manager {
        Some(manager) => manager.ready(main_pid).map_err(not_notified),
        None => Ok(()),
    }
}

/// What libcontainer's `start` does, but for three things: the monitor is sent what its guest
/// shall know, and says whether it can run; the state is replaced, not written over, so that a
/// call that is killed leaves it whole; and a call that comes after a killed one goes on where
/// that was.
fn start_created(unikernel: &Unikernel) -> Result<(), Error> {
    let id = unikernel.id();
    let mut container = unikernel.container().map_err(|e| Error::start(id, e))?;
    // Before anything is changed: from here on the monitor accepts no other call.
    match Client::connect(&unikernel.entry.dir) {
        Ok(Some(client)) => bring_up(unikernel, &container, client)?,
        // A monitor of an older version, which knows all that there is.
        Ok(None) => open_gate(unikernel, &container)?
            .then_some(())
            .ok_or_else(|| already_started(unikernel))?,
        Err(e) if is_refused(&e) => return Err(already_started(unikernel)),
        Err(e) => return Err(Error::start(id, StartError::Connect(e))),
    }
    container.set_status(ContainerStatus::Running);
    after_the_start(&container).map_err(|error| {
        // As runc does, the container is ended. The first error is the one to report.
        let _ = delete::end(unikernel);
        Error::start(id, error)
    })
}

/// Connects the guest with its network, lets the monitor pass the gate and sends it what its guest
/// shall know.
fn bring_up(unikernel: &Unikernel, container: &Container, client: Client) -> Result<(), Error> {
    let monitor = unikernel
        .process()
        .ok_or_else(|| already_started(unikernel))?;
    let mut network = Network::planned(unikernel);
    if let Some(network) = &mut network {
        let started = network.start(monitor);
        started.map_err(|e| Error::start(unikernel.id(), e))?;
    }
    let connected = network
        .as_ref()
        .and_then(|network| network.connected.as_ref());
    let sent = send(unikernel, container, client, connected);
    if let (Err(_), Some(network)) = (&sent, &mut network) {
        // The first error is the one to report.
        let _ = network.undo();
    }
    sent
}

fn send(
    unikernel: &Unikernel,
    container: &Container,
    client: Client,
    connected: Option<&Connected>,
) -> Result<(), Error> {
    let failed = |error: StartError| Error::start(unikernel.id(), error);
    let plan = &unikernel.record.plan;
    let network = connected.map(|connected| &connected.network);
    let devices = devices(plan, connected.is_some()).map_err(failed)?;
    let cmdline = plan.command_line(network, &devices);
    let cmdline = cmdline.map_err(|e| failed(e.into()))?;
    let net = connected.map(Connected::device);
    // Where it has passed already, a killed call has opened.
    open_gate(unikernel, container)?;
    let packets = connected.map(Connected::packets);
    let answer = client.request(&Message { cmdline, net }, packets);
    answer.map_err(|e| failed(e.into()))
}

/// The command line parameters by which a guest finds its virtio-mmio devices.
fn devices(plan: &Plan, has_net: bool) -> Result<Vec<String>, StartError> {
    if !matches!(plan.virtio, Some(Transport::Mmio | Transport::MmioLegacy)) {
        return Ok(Vec::new());
    }
    let shares = usize::from(plan.share().is_some() || plan.virtiofs.is_some());
    let vsocks = usize::from(plan.vsock.is_some());
    let count = vmm::virtio_devices(has_net.into(), plan.blocks.len(), shares, vsocks);
    Ok(vmm::virtio_mmio_parameters(count)?)
}

/// Opens the gate; gives false where it was open.
fn open_gate(unikernel: &Unikernel, container: &Container) -> Result<bool, Error> {
    match NotifySocket::new(container.root.join(NOTIFY_FILE)).notify_container_start() {
        Ok(()) => Ok(true),
        Err(NotifyListenerError::Connect { source, .. }) if is_refused(&source) => Ok(false),
        Err(_) if unikernel.status() == Status::Stopped => Err(already_started(unikernel)),
        Err(error) => Err(Error::start(unikernel.id(), Box::new(error))),
    }
}

/// The monitor waits for no `start` any more.
fn already_started(unikernel: &Unikernel) -> Error {
    let id = unikernel.id().to_owned();
    match unikernel.status() {
        Status::Stopped => Error::StartStopped { id },
        _ => Error::StartRunning { id },
    }
}

/// No monitor listens at the gate any more.
fn is_refused(error: &io::Error) -> bool {
    error.kind() == io::ErrorKind::ConnectionRefused
}

/// Keeps libcontainer's half of the state, and runs the poststart hooks.
fn after_the_start(container: &Container) -> Result<(), StartError> {
    let state = serde_json::to_vec(&container.state)?;
    let path = container.root.join("state.json");
    write_whole(&path, &state).map_err(StartError::SaveState)?;
    let config = YoukiConfig::load(&container.root).map_err(Box::new)?;
    let hooks = config.hooks.and_then(|hooks| hooks.poststart().clone());
    run_hooks(
        hooks.as_ref(),
        Some(&container.state),
        Some(&container.root),
        None,
        None,
    )
    .map_err(|e| HookError::Poststart(e).into())
}
