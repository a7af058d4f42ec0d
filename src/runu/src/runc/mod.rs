//! The delegate: runc (or another runtime of its command line), found and
//! executed in this process's place.

mod find;

use std::convert::Infallible;
use std::ffi::OsString;
use std::io;
use std::os::unix::process::CommandExt;
use std::path::PathBuf;
use std::process::Command;

use crate::config::Config;

pub use find::find;

/// Why an ordinary container cannot be handed on.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    #[error(
        "no runtime for ordinary containers: {tried} not found; install runc, or name it in /etc/runu/config.toml (runtimes)"
    )]
    NotFound { tried: String },
    #[error("cannot execute {}: {source}", path.display())]
    Exec { path: PathBuf, source: io::Error },
    #[error("{}: {fault}", path.display())]
    Output { path: PathBuf, fault: String },
}

/// Becomes the delegate, with the caller's argv: the same process, file
/// descriptors and environment. Returns only on failure.
///
/// # Errors
/// When there is no delegate or the kernel will not execute it.
pub fn exec(config: &Config, argv: &[OsString]) -> Result<Infallible, Error> {
    let path = find(config)?;
    let mut command = Command::new(&path);
    if let Some((name, args)) = argv.split_first() {
        command.arg0(name).args(args);
    }
    let source = command.exec();
    Err(Error::Exec { path, source })
}

/// Runs the delegate beside this process and gives what it printed on stdout.
///
/// # Errors
/// When there is no delegate, or it fails: then with what it said.
pub fn output(config: &Config, args: &[OsString]) -> Result<Vec<u8>, Error> {
    let path = find(config)?;
    let output = match Command::new(&path).args(args).output() {
        Ok(output) => output,
        Err(source) => return Err(Error::Exec { path, source }),
    };
    if output.status.success() {
        return Ok(output.stdout);
    }
    let fault = String::from_utf8_lossy(&output.stderr).trim().to_owned();
    Err(Error::Output { path, fault })
}
