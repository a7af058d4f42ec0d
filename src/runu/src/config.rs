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

const INSTALL_VIRTIOFSD: &str = "install virtiofsd (Debian 12 has it in qemu-system-common)";

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
    /// What is configured as virtiofsd cannot be executed.
    #[error("{} is no program: {INSTALL_VIRTIOFSD}", path.display())]
    NoProgram { path: PathBuf },
    /// What is configured as virtiofsd is no absolute path.
    #[error("{} is no absolute path: {INSTALL_VIRTIOFSD}", path.display())]
    NotAbsolute { path: PathBuf },
    /// None is configured, and none is where they are installed.
    #[error("there is no virtiofsd in PATH, {}: {INSTALL_VIRTIOFSD}", VIRTIOFSD.join(", "))]
    NoVirtiofsd,
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
    /// Where there is none, or what is configured cannot be executed.
    pub fn find_virtiofsd(&self) -> Result<PathBuf, ConfigError> {
        if let Some(path) = &self.virtiofsd {
            let path = path.clone();
            // Not by a name, which `which` would look for in the working directory.
            return match path.is_absolute() {
                true => which::which(&path).map_err(|_| ConfigError::NoProgram { path }),
                false => Err(ConfigError::NotAbsolute { path }),
            };
        }
        let found = which::which("virtiofsd").ok();
        let usual = || VIRTIOFSD.iter().find_map(|path| which::which(path).ok());
        found.or_else(usual).ok_or(ConfigError::NoVirtiofsd)
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
