//! `pause` and `resume`: the monitor's cgroup is frozen and thawed.

use super::state::Status;
use super::{Error, Unikernel};

/// Freezes a running unikernel.
///
/// # Errors
/// When it does not run.
pub fn pause(unikernel: &Unikernel) -> Result<(), Error> {
    let id = unikernel.id().to_owned();
    if unikernel.status() != Status::Running {
        return Err(Error::NotRunning { id });
    }
    let paused = unikernel
        .container()
        .and_then(|mut container| container.pause().map_err(|e| crate::exit::chain(&e)));
    paused.map_err(|why| Error::Verb {
        verb: "pause",
        id,
        why,
    })
}

/// Thaws a paused unikernel.
///
/// # Errors
/// When it is not paused.
pub fn resume(unikernel: &Unikernel) -> Result<(), Error> {
    let id = unikernel.id().to_owned();
    if unikernel.status() != Status::Paused {
        return Err(Error::NotPaused { id });
    }
    let resumed = unikernel
        .container()
        .and_then(|mut container| container.resume().map_err(|e| crate::exit::chain(&e)));
    resumed.map_err(|why| Error::Verb {
        verb: "resume",
        id,
        why,
    })
}
