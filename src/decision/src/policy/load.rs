//! The rules in force: the site's files, then the one that is compiled in.

use std::fs::{self, File};
use std::io::{self, ErrorKind, Read};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use super::evaluate::Policy;
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
        return Err(PolicyError::NotAFile { file: name });
    }
    let mut text = Vec::new();
    // One byte more shows that there is more; it may be the half of a character.
    file.take(MAX + 1).read_to_end(&mut text).map_err(failed)?;
    if !u64::try_from(text.len()).is_ok_and(|len| len <= MAX) {
        return Err(PolicyError::TooLarge {
            file: name,
            max: MAX,
        });
    }
    let no_text = "stream did not contain valid UTF-8";
    let text = String::from_utf8(text)
        .map_err(|_| failed(io::Error::new(ErrorKind::InvalidData, no_text)))?;
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
