//! Why the delegate cannot be used.

use std::io;
use std::path::PathBuf;

/// Why an ordinary container cannot be handed on.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// None of the configured runtimes is there.
    #[error(
        "no runtime for ordinary containers: {tried} not found; install runc, or name it in \
         /etc/runu/config.toml (runtimes)"
    )]
    NotFound {
        /// The configured names and paths, with commas between them.
        tried: String,
    },
    /// The kernel does not execute it.
    #[error("cannot execute {}: {source}", path.display())]
    Exec { path: PathBuf, source: io::Error },
    /// It ended with an exit code other than 0.
    #[error("{}: {stderr}", path.display())]
    Failed {
        path: PathBuf,
        /// What it printed on stderr.
        stderr: String,
    },
}
