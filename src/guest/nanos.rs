//! Nanos: `arguments.N=ARGUMENT environment.NAME=VALUE cwd=FOLDER`, merged into the manifest of
//! its root image, where the program stands. Blanks split it, and nothing quotes.
//!
//! Source: nanos, src/kernel/init.c (`cmdline_apply`), src/unix/exec.c.

use super::words::line;
use super::{Error, Family, Told};

/// The room that every boot ABI has, less the zero byte.
const MOST_BYTES: usize = 4095;

pub fn command_line(told: &Told) -> Result<String, Error> {
    let mut words = Vec::new();
    for (n, arg) in told.args.iter().enumerate() {
        check(arg).map_err(|why| Error::argument(arg, why))?;
        words.push(format!("arguments.{n}={arg}"));
    }
    for (name, value) in told.variables()? {
        check(value).map_err(|why| Error::variable(name, why))?;
        if name.contains([' ', '.']) {
            let why = "has a blank or a dot in its name, which Nanos reads otherwise";
            return Err(Error::variable(name, why));
        }
        words.push(format!("environment.{name}={value}"));
    }
    if let Some(cwd) = told.folder() {
        check(cwd).map_err(|why| Error::unfit("working directory", cwd, why))?;
        words.push(format!("cwd={cwd}"));
    }
    line(Family::Nanos, &words, MOST_BYTES)
}

fn check(value: &str) -> Result<(), &'static str> {
    match value {
        "" => Err("is empty, which Nanos takes for nothing"),
        value if value.contains(' ') => Err("has a blank, which Nanos cannot quote"),
        _ => Ok(()),
    }
}
