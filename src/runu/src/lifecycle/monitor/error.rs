//! Why a monitor cannot have its machine, or not run it.

use std::io;

use nix::errno::Errno;

use crate::lifecycle::hooks::error::HookError;
use crate::lifecycle::monitor::drop_privileges::PrivilegeError;
use crate::lifecycle::resources::vsock::VsockError;

/// One line each; it is sent as a text to the `create` or `start` that waits for the monitor.
#[derive(Debug, thiserror::Error)]
pub(in crate::lifecycle) enum MonitorError {
    #[error("the machine was made already")]
    MadeAlready,
    #[error("the machine was not made")]
    NotMade,
    #[error("the start channel is not open")]
    NoStartChannel,
    #[error("signal mask")]
    SignalMask(#[source] Errno),
    #[error("process.selinuxLabel {label:?}")]
    SelinuxLabel { label: String, source: io::Error },
    #[error("the container's root")]
    Root(#[source] Errno),
    #[error(transparent)]
    Privileges(#[from] PrivilegeError),
    #[error(transparent)]
    Vsock(#[from] VsockError),
    #[error(transparent)]
    Machine(#[from] vmm::Error),
    #[error("start")]
    Start(#[source] io::Error),
    #[error(transparent)]
    Hooks(#[from] HookError),
}
