//! Why no container is built from a config.json.

use std::io;

use crate::lifecycle::hooks::error::HookError;
use crate::lifecycle::store::error::StoreError;

/// One line each, with the key and the cure.
#[derive(Debug, thiserror::Error)]
pub(in crate::lifecycle) enum ConfigError {
    #[error("its mounts would be the host's: add {{\"type\":\"mount\"}} to linux.namespaces")]
    HostMounts,
    #[error("linux.namespaces names a type twice: leave one")]
    NamespaceTwice,
    #[error("config.json has no process")]
    NoProcess,
    #[error("process.apparmorProfile is set, but this host has no AppArmor: leave it out")]
    NoAppArmor,
    #[error("config.json: {key}")]
    Type {
        key: String,
        source: serde_json::Error,
    },
    #[error("config.json")]
    Json(#[source] serde_json::Error),
    #[error("this program's own path")]
    OwnPath(#[source] io::Error),
    #[error(transparent)]
    Hooks(#[from] HookError),
    #[error(transparent)]
    Store(#[from] StoreError),
}
