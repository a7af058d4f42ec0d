//! `pause` and `resume`: the monitor's cgroup is frozen and thawed.

use std::io;

use super::process::Process;
use super::state::Status;
use super::{Error, Unikernel, freezer};

/// Freezes a unikernel that runs or waits for `start`.
///
/// # Errors
/// When it does not run, or its cgroup cannot be frozen.
pub fn pause(unikernel: &Unikernel) -> Result<(), Error> {
    let id = unikernel.id().to_owned();
    match (unikernel.status(), unikernel.process()) {
        (Status::Created | Status::Running, Some(process)) => {
            apply("pause", id, process, freezer::freeze).inspect_err(|_| {
                // Not half paused.
                let _ = freezer::thaw(process);
            })
        }
        _ => Err(Error::NotRunning { id }),
    }
}

/// Thaws a paused unikernel.
///
/// # Errors
/// When it is not paused, or its cgroup cannot be thawed.
pub fn resume(unikernel: &Unikernel) -> Result<(), Error> {
    let id = unikernel.id().to_owned();
    match (unikernel.status(), unikernel.process()) {
        (Status::Paused, Some(process)) => apply("resume", id, process, freezer::thaw),
        _ => Err(Error::NotPaused { id }),
    }
}

fn apply(
    verb: &'static str,
    id: String,
    process: Process,
    change: fn(Process) -> io::Result<()>,
) -> Result<(), Error> {
    change(process).map_err(|e| Error::Verb {
        verb,
        id,
        why: e.to_string(),
    })
}
