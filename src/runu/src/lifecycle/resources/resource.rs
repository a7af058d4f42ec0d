//! The one shape of what a guest uses of the host.

use crate::lifecycle::process::Process;
use crate::lifecycle::resources::error::ResourceError;
use vmm::Files;

/// Something of the host's that comes with a guest and goes with it.
pub(in crate::lifecycle) trait Resource {
    /// Gets it ready while there is no monitor; what the monitor is to have of it goes into
    /// `files`.
    ///
    /// # Errors
    /// When the guest cannot have it; all is as it was then.
    fn prepare(&mut self, _files: &mut Files) -> Result<(), ResourceError> {
        Ok(())
    }

    /// Brings it to the `monitor`, which waits for `start`.
    ///
    /// # Errors
    /// When the guest cannot have it; what was made is for [`Resource::undo`].
    fn start(&mut self, _monitor: Process) -> Result<(), ResourceError> {
        Ok(())
    }

    /// Takes it away, when the monitor has ended. What is not there is no error.
    ///
    /// # Errors
    /// What keeps it, where the container must stay for it: the call can be made again.
    fn undo(&mut self) -> Result<(), ResourceError> {
        Ok(())
    }
}
