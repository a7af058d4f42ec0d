//! The container's cgroup, as a resource: libcontainer makes it, with the monitor in it.

use crate::lifecycle::cgroup::Cgroup;
use crate::lifecycle::resources::error::ResourceError;
use crate::lifecycle::resources::resource::Resource;

/// A cgroup that was checked to be the container's own.
pub(super) struct ContainerCgroup(pub Cgroup);

impl Resource for ContainerCgroup {
    /// Ends what is in it, virtiofsd too, and removes it.
    fn undo(&mut self) -> Result<(), ResourceError> {
        Ok(self.0.remove()?)
    }
}
