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

use std::fmt;
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
pub const MAX_CONFIG: u64 = 4 << 20;

/// A bundle whose config.json has been read. It is read once: an edit of the
/// file after that changes nothing.
#[derive(Debug)]
pub struct Bundle {
    /// The bundle's directory, absolute and without symlinks.
    pub path: PathBuf,
    /// What a decision needs of config.json.
    pub config: Config,
    /// The text of config.json.
    pub text: Vec<u8>,
    file: ConfigFile,
}

/// Where a config.json was read from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ConfigFile {
    /// A file.
    Path(PathBuf),
    /// Standard input.
    Stdin,
}

impl fmt::Display for ConfigFile {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Path(path) => path.display().fmt(f),
            Self::Stdin => f.write_str("config.json on standard input"),
        }
    }
}

/// Why a bundle cannot be read.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// There is no such directory.
    #[error("bundle {}: {source}", path.display())]
    Dir {
        /// As the caller named it.
        path: PathBuf,
        /// What the system says.
        source: io::Error,
    },
    /// The directory is no bundle.
    #[error("bundle {} has no config.json: is this the bundle's directory?", path.display())]
    NoConfig {
        /// The directory.
        path: PathBuf,
    },
    /// config.json cannot be read.
    #[error("{file}: {source}")]
    Read {
        /// Which one.
        file: ConfigFile,
        /// What the system says.
        source: io::Error,
    },
    /// config.json is a directory, a FIFO and so on.
    #[error("{} is not a regular file", path.display())]
    NotAFile {
        /// Its path.
        path: PathBuf,
    },
    /// config.json has more than [`MAX_CONFIG`] bytes, and so many in all, where that is known.
    #[error(
        "{file} is too large{}: {} MiB are the most that is read: shorten its annotations or its environment",
        size.map_or(String::new(), |size| format!(" with its {size} bytes")),
        MAX_CONFIG >> 20
    )]
    TooLarge {
        /// Which one.
        file: ConfigFile,
        /// Bytes.
        size: Option<u64>,
    },
    /// It is no JSON, or a value is of another type.
    #[error("{file} is not a runtime-spec configuration: {source}")]
    Syntax {
        /// Which one.
        file: ConfigFile,
        /// With the line and the column.
        source: serde_json::Error,
    },
    /// A container without a root file system.
    #[error("{file} names no root.path")]
    NoRoot {
        /// Which config.json.
        file: ConfigFile,
    },
    /// The root file system's directory cannot be opened.
    #[error("rootfs {}: {source}", path.display())]
    Root {
        /// The directory.
        path: PathBuf,
        /// What the system says.
        source: io::Error,
    },
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
        let failed = |source| Error::Read {
            file: ConfigFile::Stdin,
            source,
        };
        let dir = std::env::current_dir().map_err(failed)?;
        let text = read_bounded(&mut io::stdin().lock(), &ConfigFile::Stdin)?;
        Self::parse(dir, ConfigFile::Stdin, text)
    }

    /// A bundle whose config.json is `text`, whatever lies in its directory.
    ///
    /// # Errors
    /// When the text is no configuration.
    pub fn of_text(path: PathBuf, text: Vec<u8>) -> Result<Self, Error> {
        let file = ConfigFile::Path(path.join("config.json"));
        Self::parse(path, file, text)
    }

    fn parse(path: PathBuf, file: ConfigFile, text: Vec<u8>) -> Result<Self, Error> {
        match Config::parse(&text) {
            Ok(config) => Ok(Self {
                path,
                config,
                text,
                file,
            }),
            Err(source) => Err(Error::Syntax { file, source }),
        }
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
            file: self.file.clone(),
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
        Err(source) => {
            let file = ConfigFile::Path(path);
            return Err(Error::Read { file, source });
        }
    };
    let metadata = file.metadata().map_err(|source| Error::Read {
        file: ConfigFile::Path(path.clone()),
        source,
    })?;
    if !metadata.is_file() {
        return Err(Error::NotAFile { path });
    }
    let size = metadata.len();
    let name = ConfigFile::Path(path);
    if size > MAX_CONFIG {
        let size = Some(size);
        return Err(Error::TooLarge { file: name, size });
    }
    // The file may have grown since.
    read_bounded(&mut { file }, &name)
}

/// All that `reader` gives, up to [`MAX_CONFIG`] bytes.
fn read_bounded(reader: &mut dyn Read, file: &ConfigFile) -> Result<Vec<u8>, Error> {
    let mut text = Vec::new();
    // One byte more shows that there is more.
    let read = reader.take(MAX_CONFIG + 1).read_to_end(&mut text);
    read.map_err(|source| Error::Read {
        file: file.clone(),
        source,
    })?;
    match u64::try_from(text.len()) {
        Ok(0..=MAX_CONFIG) => Ok(text),
        _ => Err(Error::TooLarge {
            file: file.clone(),
            size: None,
        }),
    }
}
