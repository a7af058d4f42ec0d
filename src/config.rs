//! The node's configuration: /etc/runu/config.toml, or what `RUNU_CONFIG` names.

use std::io;
use std::path::{Path, PathBuf};

use serde::Deserialize;

const FILE: &str = "/etc/runu/config.toml";

/// The environment variable that names another file.
const VARIABLE: &str = "RUNU_CONFIG";

/// What a node's owner may set.
#[derive(Debug, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Config {
    /// Who runs ordinary containers: absolute paths or names, the first found
    /// serves.
    pub runtimes: Vec<PathBuf>,
    /// The folder of the site's policy files.
    pub policy: PathBuf,
    /// containerd's gRPC socket, where the environment that its shim hands on is not to tell.
    pub containerd: Option<PathBuf>,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            runtimes: vec!["runc".into(), "crun".into()],
            policy: "/etc/runu/policy.d".into(),
            containerd: None,
        }
    }
}

/// Why the configuration cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum ConfigError {
    #[error("configuration {}: {source}", path.display())]
    Read { path: PathBuf, source: io::Error },
    #[error("configuration {}: {source}", path.display())]
    Syntax {
        path: PathBuf,
        source: toml::de::Error,
    },
}

impl Config {
    /// Reads the configuration, and takes the defaults where it is broken: that must not keep
    /// a container from being stopped, or a caller from starting.
    pub fn load_or_default() -> Self {
        Self::load().unwrap_or_default()
    }

    /// Reads the configuration; no file at the usual place means the defaults.
    ///
    /// # Errors
    /// When the file that `RUNU_CONFIG` names is missing, when a file cannot be
    /// read, or has an unknown key.
    pub fn load() -> Result<Self, ConfigError> {
        let named = std::env::var_os(VARIABLE).map(PathBuf::from);
        let path = named.as_deref().unwrap_or(Path::new(FILE));
        match std::fs::read_to_string(path) {
            Ok(text) => toml::from_str(&text).map_err(|source| ConfigError::Syntax {
                path: path.to_owned(),
                source,
            }),
            Err(e) if e.kind() == io::ErrorKind::NotFound && named.is_none() => Ok(Self::default()),
            Err(source) => Err(ConfigError::Read {
                path: path.to_owned(),
                source,
            }),
        }
    }
}
