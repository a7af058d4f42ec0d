//! What can go wrong with a hook.

use std::io;
use std::path::PathBuf;

use libcontainer::hooks::HookError as Cause;

/// One line each, with the hook or its kind.
#[derive(Debug, thiserror::Error)]
pub enum HookError {
    /// `runu hook` cannot become the hook.
    #[error("hook {}", path.display())]
    Run {
        /// The hook's program.
        path: PathBuf,
        /// Why it cannot be executed, or has no state on stdin.
        source: io::Error,
    },
    /// config.json's hooks of this kind are none.
    #[error("startContainer hooks")]
    Malformed(#[source] serde_json::Error),
    /// One of them has failed.
    #[error("start container hooks")]
    StartContainer(#[source] Cause),
    /// One of them has failed.
    #[error("poststart hooks")]
    Poststart(#[source] Cause),
}
