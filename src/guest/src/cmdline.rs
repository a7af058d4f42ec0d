//! The words of a command line, as a shell has them, and how many a guest takes.

use crate::error::Error;
use crate::family::Family;

/// `word` in double quotes, with a backslash before each of its double quotes and backslashes.
pub(crate) fn double_quoted(word: &str) -> String {
    let mut out = String::from('"');
    for c in word.chars() {
        if matches!(c, '"' | '\\') {
            out.push('\\');
        }
        out.push(c);
    }
    out.push('"');
    out
}

/// The words as one line.
///
/// # Errors
/// [`Error::TooLong`] for a line of more than `max` bytes.
pub(crate) fn line(family: Family, words: &[String], max: usize) -> Result<String, Error> {
    check_length(family, words.join(" "), max)
}

/// Holds a line to its limit.
///
/// # Errors
/// [`Error::TooLong`] for a line of more than `max` bytes.
pub(crate) fn check_length(family: Family, line: String, max: usize) -> Result<String, Error> {
    let has = line.len();
    match has > max {
        true => Err(Error::TooLong { family, max, has }),
        false => Ok(line),
    }
}

/// Holds a number of things to its limit.
///
/// # Errors
/// [`Error::TooMany`] where there are more than `max` of them.
pub(crate) fn at_most(
    max: usize,
    has: usize,
    family: Family,
    what: &'static str,
) -> Result<(), Error> {
    match has > max {
        true => Err(Error::TooMany {
            family,
            what,
            max,
            has,
        }),
        false => Ok(()),
    }
}
