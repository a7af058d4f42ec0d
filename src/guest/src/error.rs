//! What a guest's command line cannot hold.

use std::net::Ipv4Addr;

use crate::address::Address;
use crate::family::Family;

/// A fault of the container's arguments or environment, with the limit of the guest that it
/// passes.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    /// More of a kind than the guest has places for.
    #[error(
        "a {family} guest takes {max} {what} at most, the container has {has}: give fewer, \
         or write the whole line into runu.dev/cmdline"
    )]
    TooMany {
        /// Whose guests have the limit.
        family: Family,
        /// What is counted, in the plural.
        what: &'static str,
        /// The most that the guest takes.
        max: usize,
        /// How many the container has.
        has: usize,
    },
    /// A line that is longer than the guest's buffer.
    #[error(
        "a {family} guest's command line has {max} bytes at most, the container's arguments and \
         environment make {has}: shorten them, or write the whole line into runu.dev/cmdline"
    )]
    TooLong {
        /// Whose guests have the limit.
        family: Family,
        /// Bytes, without the zero byte at the end.
        max: usize,
        /// Bytes.
        has: usize,
    },
    /// A network of IPv6 alone.
    #[error(
        "the pod has no IPv4 address, and a {family} guest can be told no other: give the pod one, \
         write the whole line into runu.dev/cmdline, or say runu.dev/network: none"
    )]
    Ipv6Only {
        /// Whose guests know IPv4 only.
        family: Family,
    },
    /// A default route to whatever is on the link.
    #[error(
        "the pod's default route has no gateway, which a {family} guest cannot be told: write the \
         whole line into runu.dev/cmdline, or say runu.dev/network: none"
    )]
    NoGateway {
        /// Whose guests need one.
        family: Family,
    },
    /// A gateway that only a route of its own leads to.
    #[error(
        "the pod's gateway {gateway} is outside of its network {address}, which a {family} guest \
         cannot be told: write the whole line into runu.dev/cmdline, or say runu.dev/network: none"
    )]
    FarGateway {
        /// Whose guests take a near one only.
        family: Family,
        /// The gateway.
        gateway: Ipv4Addr,
        /// The guest's own address, with its network's prefix.
        address: Address<Ipv4Addr>,
    },
    /// A text that the guest would read as something else.
    #[error("{what} {text:?} {why}: change it, or write the whole line into runu.dev/cmdline")]
    Unfit {
        /// An argument, a variable and so on.
        what: &'static str,
        /// The beginning of it; of a variable the name alone.
        text: String,
        /// What is in it, and what the guest makes of that.
        why: &'static str,
    },
}

/// The most characters of a text that an error quotes.
const SHOWN: usize = 40;

impl Error {
    pub(crate) fn argument(text: &str, why: &'static str) -> Self {
        Self::unfit("argument", text, why)
    }

    /// Of a variable its name is shown alone: its value may be a secret.
    pub(crate) fn variable(entry: &str, why: &'static str) -> Self {
        let name = entry.split('=').next().unwrap_or_default();
        Self::unfit("environment variable", name, why)
    }

    pub(crate) fn unfit(what: &'static str, text: &str, why: &'static str) -> Self {
        let text = text.chars().take(SHOWN).collect();
        Self::Unfit { what, text, why }
    }
}
