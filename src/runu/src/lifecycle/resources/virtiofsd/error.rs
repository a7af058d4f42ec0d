//! Why virtiofsd cannot serve a guest.

use std::error::Error;
use std::io;
use std::path::PathBuf;

use nix::errno::Errno;

use crate::lifecycle::cgroup::error::CgroupError;

/// One line each, with the fault and the cure.
#[derive(Debug, thiserror::Error)]
pub(in crate::lifecycle) enum VirtiofsdError {
    #[error("virtiofsd cannot serve a container in a user namespace: say runu.dev/rootfs: 9p")]
    UserNamespace,
    #[error(
        "virtiofsd serves files as root, and the container's user is {uid}: say runu.dev/rootfs: 9p, or let the container's user be root"
    )]
    User { uid: u64 },
    #[error("virtiofsd {}", program.display())]
    Program {
        program: PathBuf,
        source: VirtiofsdCause,
    },
    #[error("virtiofsd.sock")]
    Socket(#[source] io::Error),
}

/// What is wrong with the program or its process.
#[derive(Debug, thiserror::Error)]
pub(in crate::lifecycle) enum VirtiofsdCause {
    #[error("it does not answer --help")]
    NoHelp,
    #[error("its thread failed")]
    Thread,
    #[error(transparent)]
    Cgroup(CgroupError),
    #[error(transparent)]
    Io(#[from] io::Error),
    #[error(transparent)]
    Kernel(#[from] Errno),
    #[error(transparent)]
    BackEnd(Box<dyn Error + Send + Sync>),
    /// With what it wrote to its standard error.
    #[error("{why}; it said: {said}")]
    Stderr {
        why: Box<dyn Error + Send + Sync>,
        said: String,
    },
}
