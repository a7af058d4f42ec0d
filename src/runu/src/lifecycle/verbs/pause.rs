//! `pause` and `resume`: the monitor's cgroup is frozen and thawed.

use std::io;

use crate::lifecycle::cgroup::Cgroup;
use crate::lifecycle::cgroup::freezer;
use crate::lifecycle::error::Error;
use crate::lifecycle::status::Status;
use crate::lifecycle::unikernel::Unikernel;

/// Freezes a unikernel that runs or waits for `start`.
///
/// # Errors
/// When it does not run, or its cgroup cannot be frozen.
pub(in crate::lifecycle) fn pause(unikernel: &Unikernel) -> Result<(), Error> {
    let id = unikernel.id().to_owned();
    match (unikernel.status(), unikernel.process()) {
        (Status::Created | Status::Running, Some(process)) => {
            let own = Cgroup::from(&unikernel.record).end_of_path();
            let frozen = freezer::freeze(process, &own).inspect_err(|_| {
                // Not half paused.
                let _ = freezer::thaw(process);
            });
            told("pause", id, frozen)
        }
        _ => Err(Error::NotRunning { id }),
    }
}

/// Thaws a paused unikernel.
///
/// # Errors
/// When it is not paused, or its cgroup cannot be thawed.
pub(in crate::lifecycle) fn resume(unikernel: &Unikernel) -> Result<(), Error> {
    let id = unikernel.id().to_owned();
    match (unikernel.status(), unikernel.process()) {
        (Status::Paused, Some(process)) => told("resume", id, freezer::thaw(process)),
        _ => Err(Error::NotPaused { id }),
    }
}

fn told(verb: &'static str, id: String, done: io::Result<()>) -> Result<(), Error> {
    done.map_err(|e| Error::Verb {
        verb,
        id,
        why: e.to_string(),
    })
}
