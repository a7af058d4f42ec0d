//! What is wrong with a command line, in the words that runc has from Go.

use std::ffi::OsString;

/// Source: Go's package `flag`, `FlagSet.parseOne`; runc, `checkArgs`.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum UsageError {
    #[error("flag provided but not defined: -{0}")]
    UnknownFlag(String),
    #[error("flag needs an argument: -{0}")]
    NoValue(String),
    #[error("invalid boolean value {value:?} for -{flag}: parse error")]
    NotBoolean { flag: String, value: String },
    #[error("invalid value {value:?} for flag -{flag}: parse error")]
    NotNumber { flag: String, value: String },
    #[error("runu: {verb:?} requires {wanted} argument(s)")]
    Arguments { verb: String, wanted: &'static str },
}

/// Whether `verb` takes as many positional arguments as there are.
///
/// # Errors
/// [`UsageError::Arguments`] where it does not.
pub(super) fn check_count(verb: &str, positionals: &[OsString]) -> Result<(), UsageError> {
    let (least, max, wanted) = match verb {
        "exec" | "ps" => (1, usize::MAX, "a minimum of 1"),
        "kill" => (1, 2, "a maximum of 2"),
        _ => (1, 1, "exactly 1"),
    };
    if (least..=max).contains(&positionals.len()) {
        return Ok(());
    }
    Err(UsageError::Arguments {
        verb: verb.to_owned(),
        wanted,
    })
}
