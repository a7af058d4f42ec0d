//! What can go wrong with the state on disk.

use std::io;
use std::path::{Path, PathBuf};

use crate::lifecycle::store::record::Record;

/// One line each, with the container's ID or the path; where a caller matches runc's words, in
/// runc's words.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// runc's rule for an ID is broken.
    #[error("invalid container ID format: {id:?}")]
    InvalidId {
        /// As the caller wrote it.
        id: String,
    },
    /// The ID is taken.
    #[error("container with given ID already exists: {id}")]
    Exists {
        /// The container's ID.
        id: String,
    },
    /// There is no container of this ID, or its `create` has not come far enough.
    #[error("container does not exist: {id}")]
    Missing {
        /// The container's ID.
        id: String,
    },
    /// Another call has the lock.
    #[error(
        "container {id} is busy: another call of this runtime has been at it for 10 s; end that one or wait for it"
    )]
    Busy {
        /// The container's ID.
        id: String,
    },
    /// A record that is not one.
    #[error("{} is corrupt: {why}; `delete --force` removes the container", path.display())]
    Corrupt {
        /// The record's file.
        path: PathBuf,
        /// Shown within the line, before the cure: no source of its own.
        why: serde_json::Error,
    },
    /// The file system does not do what is asked.
    #[error("state of the container, {}", path.display())]
    Io {
        /// The file or directory.
        path: PathBuf,
        /// The system call's error.
        source: io::Error,
    },
    /// A record of a later version.
    #[error(
        "{} is of version {found}, this runu knows versions up to {}: use the runu that made the container, or `delete --force`",
        path.display(),
        Record::VERSION
    )]
    RecordVersion {
        /// The record's file.
        path: PathBuf,
        /// The version it says it has.
        found: u32,
    },
}

impl StoreError {
    /// An error of the file or directory at `path`.
    pub(in crate::lifecycle) fn io(path: &Path, source: io::Error) -> Self {
        Self::Io {
            path: path.to_owned(),
            source,
        }
    }
}
