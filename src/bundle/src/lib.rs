//! A bundle on disk: config.json as far as a decision needs it, and the root
//! file system, from which files are opened beneath the root only.

#![warn(missing_docs)]
// A test knows its numbers.
#![cfg_attr(
    test,
    allow(
        clippy::cast_possible_truncation,
        clippy::cast_possible_wrap,
        clippy::cast_sign_loss,
        clippy::cast_lossless,
        clippy::too_many_lines
    )
)]

mod config;
mod devices;
mod keys;
mod mounts;
mod rootfs;

use std::fs::File;
use std::io::{self, Read};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

pub use config::{Config, Vm};
pub use devices::BlockNode;
pub use mounts::Mount;
pub use rootfs::{FileError, Rootfs};

/// The largest config.json that is read, in bytes. Kubernetes caps a pod's
/// annotations at 256 KiB, and what the kubelet adds is of that order too.
const CONFIG_LIMIT: u64 = 4 << 20;

/// A bundle whose config.json has been read. It is read once: an edit of the
/// file after that changes nothing.
#[derive(Debug)]
pub struct Bundle {
    /// The bundle's directory, absolute and without symlinks.
    pub path: PathBuf,
    pub config: Config,
    /// The text of config.json.
    pub text: Vec<u8>,
}

/// Why a bundle cannot be read.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    #[error("bundle {}: {source}", path.display())]
    Dir { path: PathBuf, source: io::Error },
    #[error("bundle {} has no config.json: is this the bundle's directory?", path.display())]
    NoConfig { path: PathBuf },
    #[error("{}: {source}", path.display())]
    Read { path: PathBuf, source: io::Error },
    #[error("{} is not a regular file", path.display())]
    NotAFile { path: PathBuf },
    #[error("{} has {size} bytes, {} are the most that is read", path.display(), CONFIG_LIMIT)]
    TooLarge { path: PathBuf, size: u64 },
    #[error("{} is not a runtime-spec configuration: {source}", path.display())]
    Syntax {
        path: PathBuf,
        source: serde_json::Error,
    },
    #[error("{} names no root.path", path.display())]
    NoRoot { path: PathBuf },
    #[error("rootfs {}: {source}", path.display())]
    Root { path: PathBuf, source: io::Error },
}

impl Bundle {
    /// Reads the bundle in the directory `path` (relative paths and symlinks are
    /// resolved).
    ///
    /// # Errors
    /// One that names the file and its fault; nothing is written anywhere.
    pub fn open(path: &Path) -> Result<Self, Error> {
        let dir = path.canonicalize().map_err(|source| Error::Dir {
            path: path.to_owned(),
            source,
        })?;
        let text = read_config(&dir)?;
        Self::of_text(dir, text)
    }

    /// Reads a config.json from stdin, as if it lay in the working directory.
    ///
    /// # Errors
    /// As [`Bundle::open`].
    pub fn of_stdin() -> Result<Self, Error> {
        let path = PathBuf::from("stdin");
        let failed = |source| Error::Read {
            path: path.clone(),
            source,
        };
        let mut text = Vec::new();
        let stdin = io::stdin().take(CONFIG_LIMIT);
        { stdin }.read_to_end(&mut text).map_err(failed)?;
        Self::of_text(std::env::current_dir().map_err(failed)?, text)
    }

    /// A bundle whose config.json is `text`, whatever lies in its directory.
    ///
    /// # Errors
    /// When the text is no configuration.
    pub fn of_text(path: PathBuf, text: Vec<u8>) -> Result<Self, Error> {
        let config = Config::parse(&text).map_err(|source| Error::Syntax {
            path: path.join("config.json"),
            source,
        })?;
        Ok(Self { path, config, text })
    }

    /// The root file system's directory, absolute (runtime-spec, config.md, "Root").
    pub fn rootfs_path(&self) -> Option<PathBuf> {
        self.config
            .root
            .as_ref()
            .map(|root| self.path.join(&root.path))
    }

    /// Opens the root file system.
    ///
    /// # Errors
    /// When there is none, or it is no directory.
    pub fn rootfs(&self) -> Result<Rootfs, Error> {
        let path = self.rootfs_path().ok_or_else(|| Error::NoRoot {
            path: self.path.join("config.json"),
        })?;
        Rootfs::open(&path).map_err(|source| Error::Root { path, source })
    }
}

fn read_config(dir: &Path) -> Result<Vec<u8>, Error> {
    let path = dir.join("config.json");
    // A FIFO must not hold us up, a terminal must not become ours.
    let flags = nix::libc::O_NONBLOCK | nix::libc::O_NOCTTY;
    let file = match File::options().read(true).custom_flags(flags).open(&path) {
        Ok(file) => file,
        Err(e) if e.kind() == io::ErrorKind::NotFound => {
            return Err(Error::NoConfig {
                path: dir.to_owned(),
            });
        }
        Err(source) => return Err(Error::Read { path, source }),
    };
    let metadata = file.metadata().map_err(|source| Error::Read {
        path: path.clone(),
        source,
    })?;
    if !metadata.is_file() {
        return Err(Error::NotAFile { path });
    }
    let size = metadata.len();
    if size > CONFIG_LIMIT {
        return Err(Error::TooLarge { path, size });
    }
    let mut text = Vec::with_capacity(size as usize);
    // The file may have grown since.
    match file.take(CONFIG_LIMIT).read_to_end(&mut text) {
        Ok(_) => Ok(text),
        Err(source) => Err(Error::Read { path, source }),
    }
}
