//! A tap device: an interface at whose other end there is no wire but a descriptor.
//!
//! Source: Linux, Documentation/networking/tuntap.rst, include/uapi/linux/if_tun.h.

use std::fs::File;
use std::io;
use std::os::fd::{AsRawFd, OwnedFd};

use netlink_packet_route::RouteNetlinkMessage;
use netlink_packet_route::link::{
    AfSpecInet6, AfSpecUnspec, In6AddrGenMode, LinkAttribute, LinkFlags, LinkMessage,
};
use nix::libc::{self, c_char, c_short, ifreq};

use crate::error::Error;
use crate::link;
use crate::netlink::Netlink;

/// What all taps' names begin with; the kernel puts the first free number behind it.
const PREFIX: &str = "runu";

// By its number it takes an `int`, in truth a `struct ifreq`.
nix::ioctl_readwrite_bad!(tun_set_iff, libc::TUNSETIFF, ifreq);

/// A tap that is gone when its last descriptor is closed.
#[derive(Debug)]
pub struct Tap {
    /// The kernel's number for it (`ifindex`), in its namespace.
    pub index: u32,
    /// `runu` and a number.
    pub name: String,
    /// Takes and gives one Ethernet packet by each write and read.
    pub packets: OwnedFd,
}

impl Tap {
    /// Makes a tap in this thread's namespace and takes it up. With `vnet_header` each packet
    /// has a `struct virtio_net_hdr` before it.
    ///
    /// # Errors
    /// When the host has no tap devices, or one cannot be made here.
    pub fn create(netlink: &mut Netlink, mtu: u32, vnet_header: bool) -> Result<Self, Error> {
        let file = File::options().read(true).write(true).open("/dev/net/tun");
        let file = file.map_err(Error::doing(
            "open /dev/net/tun, of the kernel's module tun,",
        ))?;
        let name = set_iff(&file, vnet_header).map_err(Error::doing("make a tap"))?;
        let links = link::list(netlink)?;
        let link = links.iter().find(|link| link::name(link) == Some(&name));
        let index = link.map(|link| link.header.index);
        let index =
            index.ok_or_else(|| Error::doing("find its tap")(io::ErrorKind::NotFound.into()))?;
        let packets = OwnedFd::from(file);
        let tap = Self {
            index,
            name,
            packets,
        };
        tap.bring_up(netlink, mtu)
            .map_err(Error::doing("set its tap up"))?;
        Ok(tap)
    }

    /// Without an address of the kernel's own, for nobody is to answer there.
    fn bring_up(&self, netlink: &mut Netlink, mtu: u32) -> io::Result<()> {
        let mut quiet = LinkMessage::default();
        quiet.header.index = self.index;
        let no_address = AfSpecInet6::AddrGenMode(In6AddrGenMode::None);
        let no_address = AfSpecUnspec::Inet6(vec![no_address]);
        quiet.attributes = vec![LinkAttribute::AfSpecUnspec(vec![no_address])];
        match netlink.change(RouteNetlinkMessage::SetLink(quiet), 0) {
            // A kernel without IPv6.
            Err(e) if e.raw_os_error() == Some(libc::EAFNOSUPPORT) => {}
            set => set?,
        }
        let mut up = LinkMessage::default();
        up.header.index = self.index;
        up.header.flags = LinkFlags::Up;
        up.header.change_mask = LinkFlags::Up;
        up.attributes = vec![LinkAttribute::Mtu(mtu)];
        netlink.change(RouteNetlinkMessage::SetLink(up), 0)
    }
}

/// Whether an interface is one that [`Tap::create`] made.
pub(crate) fn is_tap(link: &LinkMessage) -> bool {
    let number = link::name(link).and_then(|name| name.strip_prefix(PREFIX));
    number.is_some_and(|n| !n.is_empty() && n.bytes().all(|b| b.is_ascii_digit()))
}

/// Makes `file`, an open /dev/net/tun, the other end of a new tap; gives the tap's name.
fn set_iff(file: &File, vnet_header: bool) -> io::Result<String> {
    let mut request = ifreq {
        ifr_name: [0; libc::IFNAMSIZ],
        ifr_ifru: libc::__c_anonymous_ifr_ifru {
            ifru_flags: flags(vnet_header),
        },
    };
    for (to, byte) in request
        .ifr_name
        .iter_mut()
        .zip(format!("{PREFIX}%d").bytes())
    {
        *to = c_char::from_ne_bytes([byte]);
    }
    // SAFETY: the descriptor is open, and the kernel reads and writes one `ifreq` there.
    unsafe { tun_set_iff(file.as_raw_fd(), &mut request) }?;
    let name = request.ifr_name.iter().take_while(|&&c| c != 0);
    let bytes = name.flat_map(|c| c.to_ne_bytes());
    Ok(bytes.map(char::from).collect())
}

/// `ifr_flags` of a tap.
#[expect(
    clippy::cast_possible_truncation,
    reason = "a tap's flags are below bit 15, and the field has 16 bits (netdevice(7))"
)]
const fn flags(vnet_header: bool) -> c_short {
    let header = if vnet_header { libc::IFF_VNET_HDR } else { 0 };
    (libc::IFF_TAP | libc::IFF_NO_PI | header) as c_short
}
