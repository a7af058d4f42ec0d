//! The header before each packet (virtio 1.2, section 5.1.6), and the negotiated features that
//! decide of it.

use std::io;

use nix::libc::{TUN_F_CSUM, TUN_F_TSO_ECN, TUN_F_TSO4, TUN_F_TSO6};
use virtio_bindings::virtio_net::*;

use crate::devices::virtio::features::VERSION_1;
use crate::devices::virtio::queue::iovec::Iovecs;
use crate::packets::{MAX_PACKET, Packets};

const CSUM: u64 = 1 << VIRTIO_NET_F_CSUM;
const HOST_TSO4: u64 = 1 << VIRTIO_NET_F_HOST_TSO4;
const HOST_TSO6: u64 = 1 << VIRTIO_NET_F_HOST_TSO6;
const HOST_ECN: u64 = 1 << VIRTIO_NET_F_HOST_ECN;
const GUEST_CSUM: u64 = 1 << VIRTIO_NET_F_GUEST_CSUM;
const GUEST_TSO4: u64 = 1 << VIRTIO_NET_F_GUEST_TSO4;
const GUEST_TSO6: u64 = 1 << VIRTIO_NET_F_GUEST_TSO6;
const GUEST_ECN: u64 = 1 << VIRTIO_NET_F_GUEST_ECN;
const MRG_RXBUF: u64 = 1 << VIRTIO_NET_F_MRG_RXBUF;

/// What the tap is asked for by each feature. Without partial checksums there are no large
/// packets.
const OFFLOADS: [(u64, u32); 4] = [
    (GUEST_CSUM, TUN_F_CSUM),
    (GUEST_TSO4, TUN_F_TSO4),
    (GUEST_TSO6, TUN_F_TSO6),
    (GUEST_ECN, TUN_F_TSO_ECN),
];

/// The longest header in bytes: with the number of buffers, which the legacy interface has only
/// where a packet may take several.
pub(super) const LONGEST: u32 = 12;
const SHORT: u32 = 10;

/// Where the header has its flags, the kind of a large packet and the number of buffers.
pub(super) const FLAGS: usize = 0;
const KIND: usize = 1;
pub(super) const BUFFERS: usize = 10;

/// VIRTIO_NET_HDR_F_NEEDS_CSUM, the flag that a guest may set, and VIRTIO_NET_HDR_GSO_ECN.
const NEEDS_CSUM: u8 = 1;
const GSO_ECN: u8 = 0x80;

/// What an Ethernet header with two tags has, in bytes.
const ETHERNET: u32 = 14 + 4 + 4;

/// How many packets at most are thrown away that are not as negotiated: more than a tap keeps.
const STALE: usize = 10_000;

/// The offload features that can be offered over these packets.
pub(super) fn offloads_of(packets: &Packets) -> u64 {
    if !packets.has_headers() {
        return 0;
    }
    let host = CSUM | HOST_TSO4 | HOST_TSO6 | HOST_ECN;
    let all = OFFLOADS.iter().map(|(_, offload)| offload).sum();
    let takes_all = packets.set_offloads(all).is_ok();
    let _ = packets.set_offloads(0);
    let guest = OFFLOADS.iter().map(|(feature, _)| feature).sum::<u64>();
    host | if takes_all { guest } else { 0 }
}

/// What the driver and the device negotiated.
#[derive(Debug, Clone, Copy)]
pub(super) struct Negotiated {
    features: u64,
    /// Bytes of a header.
    pub header: u32,
    /// The most bytes of a packet to the guest, its header among them.
    pub max: u32,
}

impl Default for Negotiated {
    fn default() -> Negotiated {
        Negotiated::new(0, 0)
    }
}

impl Negotiated {
    pub(super) fn new(features: u64, mtu: u16) -> Negotiated {
        let header = match features & (VERSION_1 | MRG_RXBUF) {
            0 => SHORT,
            _ => LONGEST,
        };
        let max = match features & (GUEST_TSO4 | GUEST_TSO6) {
            0 => u32::from(mtu) + ETHERNET,
            _ => MAX_PACKET,
        };
        Negotiated {
            features,
            header,
            max: max + header,
        }
    }

    /// Whether a packet to the guest may take several buffers.
    pub(super) fn has_mergeable_buffers(&self) -> bool {
        self.features & MRG_RXBUF != 0
    }

    /// Whether the guest takes packets with partial checksums.
    pub(super) fn has_guest_csum(&self) -> bool {
        self.features & GUEST_CSUM != 0
    }

    /// Configures the tap, if it is one. Packets that came while more was negotiated are for
    /// nobody.
    ///
    /// # Errors
    /// What the tap refuses.
    pub(super) fn configure_tap(&self, packets: &Packets, before: &Negotiated) -> io::Result<()> {
        if !packets.has_headers() {
            return Ok(());
        }
        packets.set_header_size(self.header as usize)?;
        packets.set_offloads(self.offloads())?;
        if before.offloads() & !self.offloads() != 0 {
            let mut byte = [0; LONGEST as usize];
            let mut iovecs = Iovecs::default();
            iovecs.append_own(&mut byte);
            for _ in 0..STALE {
                if iovecs.read(packets).is_err() {
                    break;
                }
            }
        }
        Ok(())
    }

    fn offloads(&self) -> u32 {
        if self.features & GUEST_CSUM == 0 {
            return 0;
        }
        let negotiated = OFFLOADS.iter().filter(|(f, _)| self.features & f != 0);
        negotiated.map(|(_, offload)| offload).sum()
    }

    /// Whether the host may be given a packet with this header. What it does not need is
    /// cleared.
    pub(super) fn accepts(&self, header: &mut [u8; LONGEST as usize]) -> bool {
        header[FLAGS] &= NEEDS_CSUM;
        let ecn = header[KIND] & GSO_ECN;
        let needed = match u32::from(header[KIND] ^ ecn) {
            VIRTIO_NET_HDR_GSO_NONE => 0,
            VIRTIO_NET_HDR_GSO_TCPV4 => HOST_TSO4,
            VIRTIO_NET_HDR_GSO_TCPV6 => HOST_TSO6,
            _ => return false,
        };
        let needed_for_ecn = if ecn != 0 { HOST_ECN } else { 0 };
        let needed_for_flags = if header[FLAGS] != 0 { CSUM } else { 0 };
        let needed = needed | needed_for_ecn | needed_for_flags;
        self.features & needed == needed
    }
}
