//! Why a policy cannot be checked, tested or shown.

use std::io;
use std::path::PathBuf;

use crate::config::ConfigError;
use decision::policy::PolicyError;

/// Why `runu policy` has nothing to work on.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The node's configuration cannot be used.
    #[error(transparent)]
    Config(#[from] ConfigError),
    /// A policy cannot be used.
    #[error(transparent)]
    Policy(#[from] PolicyError),
    /// A directory or file of cases cannot be read.
    #[error("{}: {source}", path.display())]
    Read { path: PathBuf, source: io::Error },
    /// A file holds no cases.
    #[error("{}: {source}", path.display())]
    Syntax {
        path: PathBuf,
        source: toml::de::Error,
    },
    /// A case names a bundle that cannot be looked at.
    #[error("{}: case {case:?}: {source}", path.display())]
    Bundle {
        path: PathBuf,
        case: String,
        source: bundle::Error,
    },
    /// A directory has no cases.
    #[error("{}: no cases: put them into *.toml files there", dir.display())]
    NoCases { dir: PathBuf },
}
