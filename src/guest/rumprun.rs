//! rumprun: JSON, `{"cmdline":"PROGRAM ARGUMENT...","env":"NAME=VALUE",...,"hostname":"NAME"}`.
//!
//! It takes its texts out of the JSON as they stand there, escapes and all, and splits the
//! `cmdline` in a second step: a backslash, which JSON wants before a double quote and before
//! itself, is taken away there, in the other texts it stays.
//!
//! Source: rumprun, lib/librumprun_base/config.c and parseargs.c, and jsmn.

use super::{Error, Family, Told};

/// The room that every boot ABI has, less the zero byte.
const MOST_BYTES: usize = 4095;

pub fn command_line(told: &Told) -> Result<String, Error> {
    let words: Vec<_> = told
        .args
        .iter()
        .map(|arg| argument(arg))
        .collect::<Result<_, _>>()?;
    let mut members = vec![format!("\"cmdline\":\"{}\"", words.join(" "))];
    for (name, value) in told.variables()? {
        let entry = format!("{name}={value}");
        check(&entry).map_err(|why| Error::variable(name, why))?;
        members.push(format!("\"env\":\"{entry}\""));
    }
    if let Some(name) = told.hostname {
        check(name).map_err(|why| Error::unfit("hostname", name, why))?;
        members.push(format!("\"hostname\":\"{name}\""));
    }
    let line = format!("{{{}}}", members.join(","));
    let (family, most, has) = (Family::Rumprun, MOST_BYTES, line.len());
    match has > most {
        true => Err(Error::TooLong { family, most, has }),
        false => Ok(line),
    }
}

/// A text that means itself.
fn check(text: &str) -> Result<(), &'static str> {
    match text.contains(|c: char| c.is_control() || matches!(c, '"' | '\\')) {
        true => Err(
            "has a double quote, a backslash or a control character, for which rumprun has no escape",
        ),
        false => Ok(()),
    }
}

fn argument(arg: &str) -> Result<String, Error> {
    if arg.contains(|c: char| c.is_control() || c == '\'') {
        let why = "has a single quote or a control character, for which rumprun has no escape";
        return Err(Error::argument(arg, why));
    }
    let escaped = arg.replace('\\', r"\\").replace('"', r#"\""#);
    Ok(match arg.is_empty() || arg.contains(' ') {
        true => format!("'{escaped}'"),
        false => escaped,
    })
}
