//! `delete`: nothing of the container is left.

use std::time::Duration;

use super::state::Status;
use super::store::{Record, Store};
use super::{Error, Unikernel, cgroup, freezer};

/// How long a killed monitor may take to end.
const PATIENCE: Duration = Duration::from_secs(10);

/// Deletes a stopped or created container; with `force` a running one too.
///
/// # Errors
/// When it runs and `force` is off, or something of it cannot be removed.
pub fn delete(store: &Store, id: &str, force: bool) -> Result<(), Error> {
    let entry = store.entry(id);
    let Some(record) = entry.load()? else {
        // `create` was stopped before it made anything but the folder.
        return entry.remove();
    };
    let unikernel = Unikernel { entry, record };
    let status = unikernel.status();
    if !force && matches!(status, Status::Creating | Status::Running | Status::Paused) {
        return Err(Error::DeleteLive {
            id: id.to_owned(),
            status,
        });
    }
    end(&unikernel)?;
    remove_container(&unikernel)?;
    unikernel.entry.remove()
}

/// Ends the monitor.
fn end(unikernel: &Unikernel) -> Result<(), Error> {
    let Some(process) = unikernel.process() else {
        return Ok(());
    };
    if freezer::is_frozen(process) {
        // Under cgroups v1 a frozen process does not die; whether it dies below counts.
        let _ = process.signal(nix::libc::SIGKILL);
        let _ = freezer::thaw(process);
    }
    if process.end(PATIENCE) {
        return Ok(());
    }
    Err(Error::Immortal {
        id: unikernel.id().to_owned(),
        pid: process.pid,
    })
}

/// Removes the cgroup and runs the poststop hooks: by libcontainer where its
/// half of the state is there, by our own record where it is not.
fn remove_container(unikernel: &Unikernel) -> Result<(), Error> {
    let record: &Record = &unikernel.record;
    let failed = |why| Error::Verb {
        verb: "delete",
        id: record.id.clone(),
        why,
    };
    cgroup::remove(record).map_err(failed)?;
    match unikernel.container() {
        Ok(mut container) => container
            .delete(true)
            .map_err(|e| failed(super::error::chain(&e))),
        Err(_) => Ok(()),
    }
}
