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
    /// The directory of the site's policy files.
    pub policy: PathBuf,
    /// containerd's gRPC socket, where the environment that its shim hands on is not to tell.
    pub containerd: Option<PathBuf>,
    /// The virtiofsd that serves guests their files, an absolute path.
    pub virtiofsd: Option<PathBuf>,
}

/// Where virtiofsd lies beside PATH: Fedora and Debian 13, Arch, and last QEMU's own before 8.0.
const VIRTIOFSD: [&str; 3] = [
    "/usr/libexec/virtiofsd",
    "/usr/lib/virtiofsd",
    "/usr/lib/qemu/virtiofsd",
];

impl Default for Config {
    fn default() -> Self {
        Self {
            runtimes: vec!["runc".into(), "crun".into()],
            policy: "/etc/runu/policy.d".into(),
            containerd: None,
            virtiofsd: None,
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
    #[error("{place}: install virtiofsd (Debian 12 has it in qemu-system-common)")]
    NoVirtiofsd { place: String },
}

impl Config {
    /// Reads the configuration, and takes the defaults where it is broken: that must not keep
    /// a container from being stopped, or a caller from starting.
    pub fn load_or_default() -> Self {
        Self::load().unwrap_or_default()
    }

    /// The virtiofsd of this node: the one that is configured, or the first one that can be
    /// executed in PATH and the usual places.
    ///
    /// # Errors
    /// [`ConfigError::NoVirtiofsd`].
    pub fn find_virtiofsd(&self) -> Result<PathBuf, ConfigError> {
        let missing = |place| ConfigError::NoVirtiofsd { place };
        if let Some(path) = &self.virtiofsd {
            // Not by a name, which `which` would look for in the working directory.
            return match path.is_absolute() {
                true => which::which(path)
                    .map_err(|_| missing(format!("{} is no program", path.display()))),
                false => Err(missing(format!("{} is no absolute path", path.display()))),
            };
        }
        let found = which::which("virtiofsd").ok();
        let usual = || VIRTIOFSD.iter().find_map(|path| which::which(path).ok());
        found.or_else(usual).ok_or_else(|| {
            let places = VIRTIOFSD.join(", ");
            missing(format!("there is no virtiofsd in PATH, {places}"))
        })
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
