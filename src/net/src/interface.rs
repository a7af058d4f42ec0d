//! A pod's interface, as the guest is to have it.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use netlink_packet_route::RouteNetlinkMessage;
use netlink_packet_route::address::{AddressAttribute, AddressMessage, AddressScope};
use netlink_packet_route::link::{LinkAttribute, LinkFlags, LinkLayerType, LinkMessage};
use netlink_packet_route::route::{
    RouteAddress, RouteAttribute, RouteHeader, RouteMessage, RouteProtocol, RouteType,
};

use crate::error::Error;
use crate::link;
use crate::netlink::Netlink;
use crate::tap;

/// An Ethernet interface with what is set on it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Interface {
    /// The kernel's number for it (`ifindex`), in this namespace.
    pub index: u32,
    /// As `ip link` shows it: `eth0`.
    pub name: String,
    /// The Ethernet address, which the guest is to have too.
    pub mac: [u8; 6],
    /// The most bytes of a packet without the Ethernet header.
    pub mtu: u32,
    /// With the length of their prefixes in bits; without those of the link alone.
    pub addresses: Vec<(IpAddr, u8)>,
    /// The gateway of IPv4's default route.
    pub gateway4: Option<Ipv4Addr>,
    /// The gateway of IPv6's default route.
    pub gateway6: Option<Ipv6Addr>,
    /// All other routes through it but those to its addresses' own networks.
    pub routes: Vec<Route>,
}

/// Where to send packets for some addresses.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Route {
    /// The first of the addresses.
    pub destination: IpAddr,
    /// The length of the destination's prefix, in bits.
    pub prefix: u8,
    /// `None`: they are neighbours.
    pub gateway: Option<IpAddr>,
    index: u32,
    metric: u32,
}

impl Interface {
    /// Finds the interface by which this namespace reaches the world: that of the default
    /// route, IPv4's before IPv6's, or else the first one that is up and no loopback. `None`
    /// where there is none.
    ///
    /// # Errors
    /// When the kernel does not tell, and for an interface that is no Ethernet.
    pub fn find(netlink: &mut Netlink) -> Result<Option<Self>, Error> {
        let links = link::list(netlink)?;
        let routes = routes(netlink)?;
        let default = |is_ipv4: bool| {
            let defaults = routes.iter().filter(|route| route.prefix == 0);
            let defaults = defaults.filter(|route| route.destination.is_ipv4() == is_ipv4);
            defaults.min_by_key(|route| route.metric)
        };
        let first_up = || links.iter().find(|link| is_candidate(link));
        let index = match default(true).or_else(|| default(false)) {
            Some(route) => Some(route.index),
            None => first_up().map(|link| link.header.index),
        };
        let link = index.and_then(|index| links.iter().find(|link| link.header.index == index));
        let Some(link) = link else { return Ok(None) };
        let mut interface = Self::of(link)?;
        interface.addresses = addresses(netlink, interface.index)?;
        interface.set_routes(routes);
        Ok(Some(interface))
    }

    fn of(link: &LinkMessage) -> Result<Self, Error> {
        let (mut name, mut mac, mut mtu) = (String::new(), None, 0);
        for attribute in &link.attributes {
            match attribute {
                LinkAttribute::IfName(text) => name.clone_from(text),
                LinkAttribute::Address(bytes) => mac = bytes.as_slice().try_into().ok(),
                LinkAttribute::Mtu(bytes) => mtu = *bytes,
                _ => {}
            }
        }
        match (link.header.link_layer_type, mac) {
            (LinkLayerType::Ether, Some(mac)) => Ok(Self {
                index: link.header.index,
                name,
                mac,
                mtu,
                addresses: Vec::new(),
                gateway4: None,
                gateway6: None,
                routes: Vec::new(),
            }),
            _ => Err(Error::NotEthernet { name }),
        }
    }

    /// Takes those of the namespace's routes that lead through this interface: the gateways, and
    /// the other routes.
    fn set_routes(&mut self, mut routes: Vec<Route>) {
        routes.retain(|route| route.index == self.index);
        // The best of those to one place is used.
        routes.sort_by_key(|route| route.metric);
        for route in routes {
            let is_same =
                |r: &Route| (r.destination, r.prefix) == (route.destination, route.prefix);
            match (route.prefix, route.gateway) {
                (0, Some(IpAddr::V4(gateway))) => self.gateway4 = self.gateway4.or(Some(gateway)),
                (0, Some(IpAddr::V6(gateway))) => self.gateway6 = self.gateway6.or(Some(gateway)),
                _ if self.routes.iter().any(is_same) => {}
                _ => self.routes.push(route),
            }
        }
    }
}

fn is_candidate(link: &LinkMessage) -> bool {
    let flags = link.header.flags;
    flags.contains(LinkFlags::Up) && !flags.contains(LinkFlags::Loopback) && !tap::is_tap(link)
}

fn addresses(netlink: &mut Netlink, index: u32) -> Result<Vec<(IpAddr, u8)>, Error> {
    let all = netlink.list(RouteNetlinkMessage::GetAddress(AddressMessage::default()));
    let all = all.map_err(Error::doing("list its addresses"))?;
    let address = |message| match message {
        RouteNetlinkMessage::NewAddress(message) if message.header.index == index => {
            address(&message)
        }
        _ => None,
    };
    Ok(all.into_iter().filter_map(address).collect())
}

fn address(message: &AddressMessage) -> Option<(IpAddr, u8)> {
    if !matches!(
        message.header.scope,
        AddressScope::Universe | AddressScope::Site
    ) {
        return None;
    }
    // `Local` is the interface's own where `Address` is its peer's.
    let (mut local, mut plain) = (None, None);
    for attribute in &message.attributes {
        match attribute {
            AddressAttribute::Local(address) => local = Some(*address),
            AddressAttribute::Address(address) => plain = Some(*address),
            _ => {}
        }
    }
    Some((local.or(plain)?, message.header.prefix_len))
}

/// The routes of the main table that somebody has set.
fn routes(netlink: &mut Netlink) -> Result<Vec<Route>, Error> {
    let all = netlink.list(RouteNetlinkMessage::GetRoute(RouteMessage::default()));
    let all = all.map_err(Error::doing("list its routes"))?;
    let route = |message| match message {
        RouteNetlinkMessage::NewRoute(message) => route(&message),
        _ => None,
    };
    Ok(all.into_iter().filter_map(route).collect())
}

fn route(message: &RouteMessage) -> Option<Route> {
    let header = &message.header;
    let is_plain = header.kind == RouteType::Unicast && header.table == RouteHeader::RT_TABLE_MAIN;
    if !is_plain || header.protocol == RouteProtocol::Kernel {
        return None;
    }
    let any = match header.address_family {
        netlink_packet_route::AddressFamily::Inet => IpAddr::V4(Ipv4Addr::UNSPECIFIED),
        netlink_packet_route::AddressFamily::Inet6 => IpAddr::V6(Ipv6Addr::UNSPECIFIED),
        _ => return None,
    };
    let (mut destination, mut gateway, mut index, mut metric) = (any, None, None, 0);
    for attribute in &message.attributes {
        match attribute {
            RouteAttribute::Destination(address) => destination = ip(address)?,
            RouteAttribute::Gateway(address) => gateway = Some(ip(address)?),
            RouteAttribute::Oif(oif) => index = Some(*oif),
            RouteAttribute::Priority(priority) => metric = *priority,
            _ => {}
        }
    }
    Some(Route {
        destination,
        prefix: header.destination_prefix_length,
        gateway,
        index: index?,
        metric,
    })
}

fn ip(address: &RouteAddress) -> Option<IpAddr> {
    match address {
        RouteAddress::Inet(address) => Some((*address).into()),
        RouteAddress::Inet6(address) => Some((*address).into()),
        _ => None,
    }
}
