//! The rules in force: the site's files, then the one that is compiled in.

use std::fs::{self, File};
use std::io::{ErrorKind, Read};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use super::Policy;
use super::rules::{PolicyError, PolicyFile};

/// The policy that is compiled in: `policy/default.toml`, as JSON (see build.rs).
const DEFAULT: &str = include_str!(concat!(env!("OUT_DIR"), "/default.json"));

/// What that is called.
pub(super) const DEFAULT_NAME: &str = "default.toml";

/// The most of a policy file that is read, in bytes.
const MAX: u64 = 1 << 20;

impl Policy {
    /// The rules of the site's files in `directory`, and then the default's.
    ///
    /// # Errors
    /// For the first file that cannot be read or understood.
    pub fn load(dir: &Path) -> Result<Self, PolicyError> {
        Self::of_files(&site_files(dir)?)
    }

    /// The rules of these files, and then the default's.
    ///
    /// # Errors
    /// As [`Policy::load`].
    pub fn of_files(paths: &[PathBuf]) -> Result<Self, PolicyError> {
        let read = paths.iter().map(|path| read(path));
        let mut files = read.collect::<Result<Vec<_>, _>>()?;
        files.push(PolicyFile::parse_json(DEFAULT_NAME, DEFAULT)?);
        Ok(Self::of(files))
    }
}

/// Reads one policy file.
///
/// # Errors
/// When it cannot be read or understood.
pub fn read(path: &Path) -> Result<PolicyFile, PolicyError> {
    let name = path.display().to_string();
    let fault = |fault: String| PolicyError::File {
        file: name.clone(),
        fault,
    };
    let failed = |source| PolicyError::Read {
        file: name.clone(),
        source,
    };
    // A FIFO must not hold us up.
    let flags = nix::libc::O_NONBLOCK | nix::libc::O_NOCTTY;
    let file = File::options()
        .read(true)
        .custom_flags(flags)
        .open(path)
        .map_err(failed)?;
    if !file.metadata().map_err(failed)?.is_file() {
        return Err(fault("it is not a regular file".to_owned()));
    }
    let mut text = String::new();
    file.take(MAX + 1)
        .read_to_string(&mut text)
        .map_err(failed)?;
    if text.len() as u64 > MAX {
        return Err(fault(format!("it has more than {MAX} bytes")));
    }
    PolicyFile::parse(&name, &text)
}

/// The files `*.toml` in `directory`, by name. No directory is no file.
///
/// # Errors
/// When the directory cannot be read.
pub fn site_files(dir: &Path) -> Result<Vec<PathBuf>, PolicyError> {
    let failed = |source| PolicyError::Read {
        file: dir.display().to_string(),
        source,
    };
    let entries = match fs::read_dir(dir) {
        Err(e) if e.kind() == ErrorKind::NotFound => return Ok(Vec::new()),
        entries => entries.map_err(failed)?,
    };
    let mut paths = Vec::new();
    for entry in entries {
        let path = entry.map_err(failed)?.path();
        if path
            .extension()
            .is_some_and(|extension| extension == "toml")
        {
            paths.push(path);
        }
    }
    paths.sort();
    Ok(paths)
}
