//! What a guest cannot be told.

use std::net::Ipv4Addr;

use super::{Address, Family};

/// A fault of the container's arguments or environment, with the limit of the guest that it
/// passes.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    #[error(
        "a {family} guest takes {max} {what} at most, the container has {has}: give fewer, \
         or write the whole line into runu.dev/cmdline"
    )]
    TooMany {
        family: Family,
        what: &'static str,
        max: usize,
        has: usize,
    },
    /// Bytes.
    #[error(
        "a {family} guest's command line has {max} bytes at most, the container's arguments and \
         environment make {has}: shorten them, or write the whole line into runu.dev/cmdline"
    )]
    TooLong {
        family: Family,
        max: usize,
        has: usize,
    },
    #[error(
        "the pod has no IPv4 address, and a {family} guest can be told no other: give the pod one, \
         write the whole line into runu.dev/cmdline, or say runu.dev/network: none"
    )]
    Ipv6Only { family: Family },
    #[error(
        "the pod's default route has no gateway, which a {family} guest cannot be told: write the \
         whole line into runu.dev/cmdline, or say runu.dev/network: none"
    )]
    NoGateway { family: Family },
    #[error(
        "the pod's gateway {gateway} is outside of its network {address}, which a {family} guest \
         cannot be told: write the whole line into runu.dev/cmdline, or say runu.dev/network: none"
    )]
    FarGateway {
        family: Family,
        gateway: Ipv4Addr,
        address: Address<Ipv4Addr>,
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
