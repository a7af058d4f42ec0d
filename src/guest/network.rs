//! What a guest is told of its network: the pod's, taken over whole.

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// The network of a guest's one interface.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Network {
    /// The Ethernet address.
    pub mac: [u8; 6],
    /// The most bytes of a packet without the Ethernet header.
    pub mtu: u16,
    /// The first is the one that the guest is known by.
    pub ipv4: Vec<Address<Ipv4Addr>>,
    pub ipv6: Vec<Address<Ipv6Addr>>,
    /// Where packets for no other route go.
    pub gateway4: Option<Ipv4Addr>,
    pub gateway6: Option<Ipv6Addr>,
    /// Beside the default ones, and those that the addresses imply.
    pub routes: Vec<Route>,
    pub nameservers: Vec<IpAddr>,
    /// Domains in which a name without a dot is looked up.
    pub search: Vec<String>,
    pub hostname: Option<String>,
    pub domain: Option<String>,
}

/// An address, and how many of its leading bits are the network's.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Address<T> {
    pub ip: T,
    pub prefix: u8,
}

impl<T: fmt::Display> fmt::Display for Address<T> {
    /// As `10.0.0.2/24`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.ip, self.prefix)
    }
}

/// Where packets for some addresses go.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Route {
    pub to: Address<IpAddr>,
    /// `None`: they are on the link.
    pub gateway: Option<IpAddr>,
}
