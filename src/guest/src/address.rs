//! An address of a network.

use std::fmt;

/// An address, and how many of its leading bits are the network's.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Address<T> {
    /// The address itself.
    pub ip: T,
    /// In bits: 0 to 32 of IPv4, 0 to 128 of IPv6.
    pub prefix: u8,
}

impl<T: fmt::Display> fmt::Display for Address<T> {
    /// As `10.0.0.2/24`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.ip, self.prefix)
    }
}
