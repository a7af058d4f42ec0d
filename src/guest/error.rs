//! What a guest cannot be told.

use super::Family;

/// A fault of the container's arguments or environment, with the limit of the guest that it
/// passes.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    #[error(
        "a {family} guest takes {most} {what} at most, the container has {has}: give fewer, \
         or write the whole line into runu.dev/cmdline"
    )]
    TooMany {
        family: Family,
        what: &'static str,
        most: usize,
        has: usize,
    },
    /// Bytes.
    #[error(
        "a {family} guest's command line has {most} bytes at most, the container's arguments and \
         environment make {has}: shorten them, or write the whole line into runu.dev/cmdline"
    )]
    TooLong {
        family: Family,
        most: usize,
        has: usize,
    },
    /// `what` is an argument, a variable and so on, `text` the beginning of it.
    #[error("{what} {text:?} {why}: change it, or write the whole line into runu.dev/cmdline")]
    Unfit {
        what: &'static str,
        text: String,
        why: &'static str,
    },
}

/// The most characters of a text that an error quotes.
const SHOWN: usize = 40;

impl Error {
    pub(super) fn argument(text: &str, why: &'static str) -> Self {
        Self::unfit("argument", text, why)
    }

    /// Of a variable its name is told alone: its value may be a secret.
    pub(super) fn variable(entry: &str, why: &'static str) -> Self {
        let name = entry.split('=').next().unwrap_or_default();
        Self::unfit("environment variable", name, why)
    }

    pub(super) fn unfit(what: &'static str, text: &str, why: &'static str) -> Self {
        let text = text.chars().take(SHOWN).collect();
        Self::Unfit { what, text, why }
    }
}
