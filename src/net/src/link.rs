//! A namespace's interfaces, as rtnetlink lists them (rtnetlink(7), `RTM_GETLINK`).

use netlink_packet_route::RouteNetlinkMessage;
use netlink_packet_route::link::{LinkAttribute, LinkMessage};

use crate::error::Error;
use crate::netlink::Netlink;

/// All interfaces, by index.
///
/// # Errors
/// When the kernel does not tell.
pub(crate) fn list(netlink: &mut Netlink) -> Result<Vec<LinkMessage>, Error> {
    let all = netlink.list(RouteNetlinkMessage::GetLink(LinkMessage::default()));
    let all = all.map_err(Error::doing("list its interfaces"))?;
    let mut links: Vec<_> = all
        .into_iter()
        .filter_map(|message| match message {
            RouteNetlinkMessage::NewLink(link) => Some(link),
            _ => None,
        })
        .collect();
    links.sort_by_key(|link| link.header.index);
    Ok(links)
}

/// An interface's name.
pub(crate) fn name(link: &LinkMessage) -> Option<&str> {
    link.attributes
        .iter()
        .find_map(|attribute| match attribute {
            LinkAttribute::IfName(name) => Some(name.as_str()),
            _ => None,
        })
}
