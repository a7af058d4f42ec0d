//! The network that a guest has: the pod's, taken over whole.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use crate::address::Address;
use crate::error::Error;
use crate::family::Family;

/// The network of a guest's one interface.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Network {
    /// The Ethernet address.
    pub mac: [u8; 6],
    /// The most bytes of a packet without the Ethernet header.
    pub mtu: u16,
    /// The first is the one that the guest is known by.
    pub ipv4: Vec<Address<Ipv4Addr>>,
    /// Likewise.
    pub ipv6: Vec<Address<Ipv6Addr>>,
    /// Where packets for no other route go.
    pub gateway4: Option<Ipv4Addr>,
    /// Likewise.
    pub gateway6: Option<Ipv6Addr>,
    /// Beside the default ones, and those that the addresses imply.
    pub routes: Vec<Route>,
    /// In the order in which they are asked.
    pub nameservers: Vec<IpAddr>,
    /// Domains in which a name without a dot is looked up.
    pub search: Vec<String>,
    /// The guest's own name, without its domain.
    pub hostname: Option<String>,
    /// `domain` of resolv.conf(5), or else the first of `search`.
    pub domain: Option<String>,
}

/// Where packets for some addresses go.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Route {
    /// The addresses; a prefix of 0 is all.
    pub to: Address<IpAddr>,
    /// `None`: they are on the link.
    pub gateway: Option<IpAddr>,
}

/// The part of a network that guests of most families can be given: one IPv4 address and what
/// belongs to it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Ipv4 {
    pub address: Address<Ipv4Addr>,
    pub gateway: Option<Ipv4Addr>,
    pub nameservers: Vec<Ipv4Addr>,
}

impl Network {
    /// What of it is IPv4; `None` where there is no address at all.
    ///
    /// # Errors
    /// For a pod with IPv6 alone; and where packets for the world have no gateway, and are not
    /// for neighbours.
    pub(crate) fn ipv4(&self, family: Family) -> Result<Option<Ipv4>, Error> {
        let is_bare_default = |route: &Route| route.to.prefix == 0 && route.gateway.is_none();
        if self.routes.iter().any(is_bare_default) {
            return Err(Error::NoGateway { family });
        }
        let Some(&address) = self.ipv4.first() else {
            return match self.ipv6.is_empty() {
                true => Ok(None),
                false => Err(Error::Ipv6Only { family }),
            };
        };
        let nameservers = self.nameservers.iter().filter_map(|ip| match ip {
            IpAddr::V4(ip) => Some(*ip),
            IpAddr::V6(_) => None,
        });
        Ok(Some(Ipv4 {
            address,
            gateway: self.gateway4,
            nameservers: nameservers.collect(),
        }))
    }
}

impl Ipv4 {
    /// `255.255.255.0` for a prefix of 24.
    pub(crate) fn mask(&self) -> Ipv4Addr {
        Ipv4Addr::from_bits(bits(self.address.prefix))
    }

    /// For a guest that takes a gateway of its own network only.
    ///
    /// # Errors
    /// Where it is outside of that.
    pub(crate) fn near(self, family: Family) -> Result<Self, Error> {
        let mask = bits(self.address.prefix);
        let (own, gateway) = (
            self.address.ip.to_bits(),
            self.gateway.map(Ipv4Addr::to_bits),
        );
        match self
            .gateway
            .filter(|_| gateway.is_some_and(|g| (g ^ own) & mask != 0))
        {
            None => Ok(self),
            Some(gateway) => Err(Error::FarGateway {
                family,
                gateway,
                address: self.address,
            }),
        }
    }
}

/// So many ones.
fn bits(prefix: u8) -> u32 {
    u32::MAX
        .checked_shl(32 - u32::from(prefix.min(32)))
        .unwrap_or(0)
}
