//! The delegate: runc (or another runtime of its command line), found and
//! executed in this process's place.

mod error;
mod find;

use std::convert::Infallible;
use std::ffi::OsString;
use std::os::unix::process::CommandExt;
use std::process::Command;

use crate::config::Config;

pub use error::Error;
pub use find::find;

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
/// When there is no delegate, or it fails: then with what it printed on stderr.
pub fn output(config: &Config, args: &[OsString]) -> Result<Vec<u8>, Error> {
    let path = find(config)?;
    let output = match Command::new(&path).args(args).output() {
        Ok(output) => output,
        Err(source) => return Err(Error::Exec { path, source }),
    };
    if output.status.success() {
        return Ok(output.stdout);
    }
    let stderr = String::from_utf8_lossy(&output.stderr).trim().to_owned();
    Err(Error::Failed { path, stderr })
}
