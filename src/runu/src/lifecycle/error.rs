//! What can go wrong in a unikernel's life. Where a caller matches runc's
//! words, these are runc's words.

use std::io;
use std::path::{Path, PathBuf};

use crate::lifecycle::status::Status;
use crate::lifecycle::store::record::Record;

/// One line each, with the container's ID or the path.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    #[error("invalid container ID format: {id:?}")]
    InvalidId { id: String },
    #[error("container with given ID already exists: {id}")]
    Exists { id: String },
    #[error("container does not exist: {id}")]
    Missing { id: String },
    #[error(
        "container {id} is busy: another call of this runtime has been at it for 10 s; end that one or wait for it"
    )]
    Busy { id: String },
    #[error("{} is spoilt: {why}; `delete --force` removes the container", path.display())]
    Spoilt {
        path: PathBuf,
        why: serde_json::Error,
    },
    #[error("state of the container, {}: {source}", path.display())]
    Store { path: PathBuf, source: io::Error },
    #[error(
        "{} is of version {found}, this runu knows versions up to {}: use the runu that made the container, or `delete --force`",
        path.display(),
        Record::VERSION
    )]
    RecordVersion { path: PathBuf, found: u32 },
    #[error("no /dev/kvm: {source}; a unikernel needs KVM: {}", kvm_cure(source))]
    NoKvm { source: io::Error },
    #[error(
        "process.terminal is true, but there is no terminal here: {source}; call from one, or use --detach and --console-socket"
    )]
    NoTerminal { source: io::Error },
    #[error("cannot create unikernel {id}: {why}")]
    Create { id: String, why: String },
    #[error("cannot start unikernel {id}: {why}")]
    Start { id: String, why: String },
    #[error("container {id}: NOTIFY_SOCKET: {why}")]
    Notify { id: String, why: io::Error },
    #[error("hook {}: {source}", path.display())]
    Hook { path: PathBuf, source: io::Error },
    #[error("pid file {}: {source}", path.display())]
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
    Immortal { id: String, pid: i32 },
    #[error("unknown signal {signal:?}: write a number or a name such as TERM")]
    UnknownSignal { signal: String },
    #[error("cannot signal container {id}: {why}")]
    Signal { id: String, why: nix::Error },
    #[error("cannot {verb} unikernel {id}: {why}")]
    Verb {
        verb: &'static str,
        id: String,
        why: String,
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
    /// A fault of the state directory.
    pub fn store(path: &Path, source: io::Error) -> Self {
        Self::Store {
            path: path.to_owned(),
            source,
        }
    }
}

/// What to change where /dev/kvm does not open. Its group is systemd's default (systemd,
/// `50-udev-default.rules`).
fn kvm_cure(fault: &io::Error) -> &'static str {
    match fault.kind() {
        io::ErrorKind::PermissionDenied => {
            "let the user open it: `usermod -aG kvm USER` and log in again, or `setfacl -m u:USER:rw /dev/kvm`"
        }
        _ => "enable virtualization and load the kvm module",
    }
}
