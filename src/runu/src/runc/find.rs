//! Where the delegate is, and that it is not this program itself.

use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use super::error::Error;
use crate::config::Config;

/// Where runtimes are installed; podman gives no PATH.
const USUAL: &str = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

/// The first of the configured runtimes that exists, may be executed, and is
/// not this program: a path as it is, a name in PATH and then in the usual
/// directories.
///
/// # Errors
/// When there is none.
pub fn find(config: &Config) -> Result<PathBuf, Error> {
    config
        .runtimes
        .iter()
        .find_map(|name| candidates(name).find(|path| !is_self(path)))
        .ok_or_else(|| {
            let tried: Vec<_> = config
                .runtimes
                .iter()
                .map(|p| p.display().to_string())
                .collect();
            Error::NotFound {
                tried: tried.join(", "),
            }
        })
}

/// Executable files by this name, the best first.
fn candidates(name: &Path) -> impl Iterator<Item = PathBuf> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    [path, USUAL.into()]
        .into_iter()
        .filter_map(move |dirs| which::which_in_all(name, Some(dirs), "/").ok())
        .flatten()
}

/// Whether `path` is the program that runs now, under whatever name: executing
/// it would go round for ever.
fn is_self(path: &Path) -> bool {
    let identity = |p: &Path| std::fs::metadata(p).map(|m| (m.dev(), m.ino())).ok();
    identity(path).is_some_and(|it| Some(it) == identity(Path::new("/proc/self/exe")))
}
