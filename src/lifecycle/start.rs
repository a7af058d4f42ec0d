//! `start`: opens the gate at which the monitor waits.

use std::io;

use libcontainer::config::YoukiConfig;
use libcontainer::container::{Container, ContainerStatus};
use libcontainer::hooks::run_hooks;
use libcontainer::notify_socket::{NOTIFY_FILE, NotifyListenerError, NotifySocket};

use super::notify::Manager;
use super::state::Status;
use super::store::write_whole;
use super::{Error, Unikernel};
use crate::exit;

/// Starts a created unikernel, and tells the caller's service manager, where there is one,
/// that it is ready and that `main_pid` is the process to watch.
///
/// # Errors
/// When it runs already or has stopped, in runc's words; or the manager cannot be told.
pub fn start(unikernel: &Unikernel, main_pid: i32) -> Result<(), Error> {
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

/// What libcontainer's `start` does, but for two things: its state is replaced, not written
/// over, so that a call that is killed leaves it whole; and where a killed call has opened the
/// gate before, that is told.
fn open_the_gate(unikernel: &Unikernel) -> Result<(), Error> {
    let id = unikernel.id().to_owned();
    let failed = |why| Error::Start {
        id: id.clone(),
        why,
    };
    let mut container = unikernel.container().map_err(failed)?;
    let opened = NotifySocket::new(container.root.join(NOTIFY_FILE)).notify_container_start();
    opened.map_err(|e| match (&e, unikernel.status()) {
        (_, Status::Stopped) => Error::StartStopped { id: id.clone() },
        (NotifyListenerError::Connect { source, .. }, _) if is_refused(source) => {
            Error::StartRunning { id: id.clone() }
        }
        _ => failed(exit::chain(&e)),
    })?;
    container.set_status(ContainerStatus::Running);
    after_the_start(&container).map_err(|why| {
        // As runc does, the container is ended. The first error is the one to tell.
        let _ = super::delete::end(unikernel);
        failed(why)
    })
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
