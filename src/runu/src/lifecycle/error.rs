//! What can go wrong in a unikernel's life. Where a caller matches runc's
//! words, these are runc's words.

use std::io;
use std::path::PathBuf;

use nix::errno::Errno;

use crate::cli::UsageError;
use crate::lifecycle::effective_config::error::ConfigError;
use crate::lifecycle::hooks::error::HookError;
use crate::lifecycle::status::Status;
use crate::lifecycle::store::error::StoreError;
use crate::lifecycle::verbs::error::{CreateError, StartError, VerbError};

/// One line each, with the container's ID or the path; the causes are its sources.
#[derive(Debug, thiserror::Error)]
#[expect(
    private_interfaces,
    reason = "a cause is read through Error::source only"
)]
#[non_exhaustive]
pub enum Error {
    #[error(transparent)]
    Store(#[from] StoreError),
    /// A verb with words that runc would refuse.
    #[error(transparent)]
    Usage(#[from] UsageError),
    #[error("no /dev/kvm: {why}; a unikernel needs KVM: {}", kvm_cure(why))]
    NoKvm { why: io::Error },
    #[error(
        "process.terminal is true, but there is no terminal here: {why}; call from one, or use --detach and --console-socket"
    )]
    NoTerminal { why: io::Error },
    #[error("cannot create unikernel {id}")]
    Create {
        id: String,
        source: Box<CreateError>,
    },
    #[error("cannot start unikernel {id}")]
    Start { id: String, source: Box<StartError> },
    #[error("container {id}: NOTIFY_SOCKET")]
    Notify { id: String, source: io::Error },
    #[error(transparent)]
    Hook(#[from] HookError),
    #[error("pid file {}", path.display())]
    PidFile { path: PathBuf, source: io::Error },
    #[error("cannot start an already running container: {id}")]
    StartRunning { id: String },
    #[error("cannot start a container in the paused state: {id}")]
    StartPaused { id: String },
    #[error("cannot start a container that has stopped: {id}")]
    StartStopped { id: String },
    #[error("container not running: {id}")]
    NotRunning { id: String },
    #[error("container not paused: {id}")]
    NotPaused { id: String },
    #[error("cannot delete container {id} that is not stopped: {status}")]
    DeleteLive { id: String, status: Status },
    #[error("container {id}: process {pid} does not die")]
    Unkillable { id: String, pid: i32 },
    #[error("unknown signal {signal:?}: write a number or a name such as TERM")]
    UnknownSignal { signal: String },
    #[error("cannot signal container {id}")]
    Signal { id: String, source: Errno },
    #[error("cannot {verb} unikernel {id}")]
    Verb {
        verb: &'static str,
        id: String,
        source: VerbError,
    },
    #[error("exec failed: cannot exec in a paused container: {id}")]
    ExecPaused { id: String },
    #[error("exec failed: cannot exec in a stopped container: {id}")]
    ExecStopped { id: String },
    #[error(
        "exec failed: cannot exec in container {id}: it is a unikernel, one program in a virtual machine, with no process to start beside it"
    )]
    Exec { id: String },
    #[error(
        "cannot checkpoint container {id}: it is a unikernel, and CRIU saves processes, not virtual machines; delete it and create it anew"
    )]
    Checkpoint { id: String },
    #[error(
        "cannot restore container {id}: its bundle is a unikernel's, and there are no checkpoints of unikernels; use create"
    )]
    Restore { id: String },
    #[error("invalid format option: write table or json")]
    Format,
}

impl Error {
    /// Why the container `id` cannot be made. What is of the state on disk or of the caller's pid
    /// file says so itself.
    pub(in crate::lifecycle) fn create(id: &str, error: CreateError) -> Self {
        match error {
            CreateError::Store(error) | CreateError::Config(ConfigError::Store(error)) => {
                Self::Store(error)
            }
            CreateError::PidFile { path, source } => Self::PidFile { path, source },
            source => Self::Create {
                id: id.to_owned(),
                source: Box::new(source),
            },
        }
    }

    /// Why the container `id` does not start.
    pub(in crate::lifecycle) fn start(id: &str, source: impl Into<StartError>) -> Self {
        Self::Start {
            id: id.to_owned(),
            source: Box::new(source.into()),
        }
    }

    /// Why `verb` cannot be done on the container `id`.
    pub(in crate::lifecycle) fn verb(
        verb: &'static str,
        id: &str,
        source: impl Into<VerbError>,
    ) -> Self {
        Self::Verb {
            verb,
            id: id.to_owned(),
            source: source.into(),
        }
    }
}

/// What to change where /dev/kvm does not open. Its group is systemd's default (systemd,
/// `50-udev-default.rules`).
fn kvm_cure(error: &io::Error) -> &'static str {
    match error.kind() {
        io::ErrorKind::PermissionDenied => {
            "let the user open it: `usermod -aG kvm USER` and log in again, or `setfacl -m u:USER:rw /dev/kvm`"
        }
        _ => "enable virtualization and load the kvm module",
    }
}
