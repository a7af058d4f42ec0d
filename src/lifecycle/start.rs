//! `start`: opens the gate at which the monitor waits.

use super::notify::Manager;
use super::state::Status;
use super::{Error, Unikernel};

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
    let untold = |why: std::io::Error| Error::Notify {
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

fn open_the_gate(unikernel: &Unikernel) -> Result<(), Error> {
    let id = unikernel.id().to_owned();
    let started = unikernel
        .container()
        .and_then(|mut container| container.start().map_err(|e| crate::exit::chain(&e)));
    started.map_err(|why| match unikernel.status() {
        Status::Stopped => Error::StartStopped { id },
        Status::Created => Error::Start { id, why },
        _ => {
            // A poststart hook has failed; as runc does, the container is ended. The first
            // error is the one to tell.
            let _ = super::delete::end(unikernel);
            Error::Start { id, why }
        }
    })
}
