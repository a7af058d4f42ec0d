//! A container of the store, read back.

use libcontainer::container::{Container, ContainerStatus};
use libcontainer::error::LibcontainerError;

use crate::lifecycle::cgroup::freezer;
use crate::lifecycle::error::Error;
use crate::lifecycle::monitor::drop_privileges;
use crate::lifecycle::process::Process;
use crate::lifecycle::status::Status;
use crate::lifecycle::store::Store;
use crate::lifecycle::store::entry::Entry;
use crate::lifecycle::store::error::StoreError;
use crate::lifecycle::store::record::Record;

/// A unikernel that was created.
pub struct Unikernel {
    pub entry: Entry,
    pub record: Record,
}

impl Unikernel {
    /// Reads a container that the store holds.
    ///
    /// # Errors
    /// [`StoreError::Missing`] where its `create` has not come far enough.
    pub fn load(store: &Store, id: &str) -> Result<Self, Error> {
        let entry = store.entry(id);
        match entry.load()? {
            Some(record) => Ok(Self { entry, record }),
            None => Err(StoreError::Missing { id: id.to_owned() }.into()),
        }
    }

    /// The container's ID.
    pub fn id(&self) -> &str {
        &self.record.id
    }

    /// The monitor, while it lives.
    pub fn process(&self) -> Option<Process> {
        self.record.process.filter(Process::is_alive)
    }

    /// Where it is in its life.
    pub fn status(&self) -> Status {
        match (self.record.process, self.process()) {
            (None, _) => Status::Creating,
            (Some(_), None) => Status::Stopped,
            (Some(_), Some(process)) if freezer::is_frozen(process) => Status::Paused,
            (Some(_), Some(process)) => match self.container().map(|c| c.status()) {
                // By the monitor itself where libcontainer's state is lost, or where a `start` that was killed
                // did not come to say so.
                Ok(ContainerStatus::Created) | Err(_) if !drop_privileges::has_dropped(process) => {
                    Status::Created
                }
                _ => Status::Running,
            },
        }
    }

    /// libcontainer's side of the container.
    ///
    /// # Errors
    /// Its own.
    pub fn container(&self) -> Result<Container, Box<LibcontainerError>> {
        let mut container = Container::load(self.entry.container_dir()).map_err(Box::new)?;
        // libcontainer takes the directory of its config.json for the bundle; hooks are
        // to get the caller's.
        container.state.bundle.clone_from(&self.record.bundle);
        Ok(container)
    }
}
