//! The loopback interface of a new network namespace, which is down at first.

use std::io;

use netlink_packet_route::RouteNetlinkMessage;
use netlink_packet_route::link::{LinkFlags, LinkMessage};

use crate::namespace::Namespace;
use crate::netlink::Netlink;

/// The first interface of every namespace (Linux, include/net/net_namespace.h,
/// `LOOPBACK_IFINDEX`).
const INDEX: u32 = 1;

/// Takes the loopback interface up. runc does, and another container of the pod, or one that
/// joins this one's network, relies on it.
///
/// # Errors
/// When the namespace cannot be entered or its interface not be changed.
pub fn take_loopback_up(namespace: &Namespace) -> io::Result<()> {
    namespace.enter(|| {
        let mut up = LinkMessage::default();
        up.header.index = INDEX;
        up.header.flags = LinkFlags::Up;
        up.header.change_mask = LinkFlags::Up;
        Netlink::open()?.change(RouteNetlinkMessage::SetLink(up), 0)
    })
}
