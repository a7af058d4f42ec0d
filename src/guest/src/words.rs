//! The words of a command line, and how many a guest takes.

use super::{Error, Family};

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
/// [`Error::TooLong`] for a line of more than `most` bytes.
pub(crate) fn line(family: Family, words: &[String], max: usize) -> Result<String, Error> {
    let line = words.join(" ");
    let has = line.len();
    match has > max {
        true => Err(Error::TooLong { family, max, has }),
        false => Ok(line),
    }
}

/// # Errors
/// [`Error::TooMany`] where there are more than `most` of them.
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
