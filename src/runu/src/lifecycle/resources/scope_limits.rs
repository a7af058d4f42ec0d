//! The limits that libcontainer does not set under systemd's cgroup driver.

use crate::lifecycle::cgroup::systemd::ScopeLimits;
use crate::lifecycle::process::Process;
use crate::lifecycle::resources::error::ResourceError;
use crate::lifecycle::resources::resource::Resource;

/// They go with the cgroup.
pub(super) struct LimitsByFile(pub ScopeLimits);

impl Resource for LimitsByFile {
    fn start(&mut self, monitor: Process) -> Result<(), ResourceError> {
        Ok(self.0.write(monitor)?)
    }
}
