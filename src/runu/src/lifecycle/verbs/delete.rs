//! `delete`: nothing of the container is left.

use crate::exit;
use crate::lifecycle::cgroup;
use crate::lifecycle::effective_config;
use crate::lifecycle::error::Error;
use crate::lifecycle::resources::Resources;
use crate::lifecycle::status::Status;
use crate::lifecycle::store::Store;
use crate::lifecycle::store::entry::Entry;
use crate::lifecycle::store::error::StoreError;
use crate::lifecycle::store::lock::Lock;
use crate::lifecycle::unikernel::Unikernel;

/// Deletes a stopped or created container, or what a killed `create` has left;
/// with `force` a running one too, and one whose record is corrupt.
///
/// # Errors
/// When it runs and `force` is off, or something of it cannot be removed.
pub(in crate::lifecycle) fn delete(store: &Store, id: &str, force: bool) -> Result<(), Error> {
    let entry = store.entry(id);
    let _lock = match lock(&entry, force) {
        Err(StoreError::Missing { .. }) if force => return Ok(()),
        taken => taken?,
    };
    let record = match entry.load() {
        Ok(Some(record)) => record,
        // `create` was stopped before it made a process, or the file is lost.
        Ok(None) => return without_record(&entry),
        Err(_) if force => return without_record(&entry),
        Err(error) => return Err(error.into()),
    };
    let unikernel = Unikernel { entry, record };
    let status = unikernel.status();
    if !force && matches!(status, Status::Running | Status::Paused) {
        return Err(Error::DeleteLive {
            id: id.to_owned(),
            status,
        });
    }
    let mut resources = Resources::of(&unikernel.entry, &unikernel.record, unikernel.process());
    end(&unikernel)?;
    resources.undo().map_err(|e| Error::verb("delete", id, e))?;
    run_poststop_hooks(&unikernel);
    Ok(unikernel.entry.remove()?)
}

/// The container's lock. A call that is stuck over it, with a hook perhaps, is
/// freed by force: with the processes that it waits for.
fn lock(entry: &Entry, force: bool) -> Result<Lock, StoreError> {
    match Lock::acquire(entry) {
        Err(StoreError::Busy { .. }) if force => {
            if let Some(cgroup) = effective_config::cgroup(entry) {
                let _ = cgroup.remove();
            }
            Lock::acquire(entry)
        }
        taken => taken,
    }
}

/// Deletes what can still be found by the configuration that the container was
/// built from.
fn without_record(entry: &Entry) -> Result<(), Error> {
    let mut resources = Resources::without_record(entry);
    resources
        .undo()
        .map_err(|e| Error::verb("delete", &entry.id, e))?;
    Ok(entry.remove()?)
}

/// Ends the monitor.
pub(in crate::lifecycle) fn end(unikernel: &Unikernel) -> Result<(), Error> {
    let Some(process) = unikernel.process() else {
        return Ok(());
    };
    if cgroup::end(process) {
        return Ok(());
    }
    Err(Error::Unkillable {
        id: unikernel.id().to_owned(),
        pid: process.pid,
    })
}

/// The hooks run by libcontainer, where its half of the state is there. One that
/// fails is reported, and the container goes all the same (runtime-spec, runtime.md,
/// "Lifecycle", 13).
fn run_poststop_hooks(unikernel: &Unikernel) {
    if let Ok(mut container) = unikernel.container()
        && let Err(error) = container.delete(true)
    {
        let why = exit::chain(&error);
        exit::warn(&format!(
            "warning: poststop hooks of {}: {why}",
            unikernel.id()
        ));
    }
}
