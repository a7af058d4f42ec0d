//! `pause` and `resume`: the monitor's cgroup is frozen and thawed.

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
            let own = Cgroup::from(&unikernel.record).path_suffix();
            let frozen = freezer::freeze(process, &own).inspect_err(|_| {
                // Not half paused.
                let _ = freezer::thaw(process);
            });
            frozen.map_err(|e| Error::verb("pause", &id, e))
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
        (Status::Paused, Some(process)) => {
            freezer::thaw(process).map_err(|e| Error::verb("resume", &id, e))
        }
        _ => Err(Error::NotPaused { id }),
    }
}
