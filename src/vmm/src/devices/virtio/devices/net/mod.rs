//! The network device (virtio 1.2, section 5.1).
//!
//! The guest may leave checksums and the cutting of large TCP packets to the host, and take
//! such packets from it, where the packets come from a tap that has virtio's headers. UDP's
//! large packets (UFO) are not offered: Linux itself has given them up.

mod header;
mod receive;
#[cfg(test)]
mod tests;
mod transmit;

use std::os::fd::{AsFd, AsRawFd, RawFd};

use nix::poll::PollFlags;
use virtio_bindings::virtio_ids::VIRTIO_ID_NET;
use virtio_bindings::virtio_net::{
    VIRTIO_NET_F_MAC, VIRTIO_NET_F_MRG_RXBUF, VIRTIO_NET_F_MTU, VIRTIO_NET_F_STATUS,
};
use virtio_queue::Queue;

use crate::config::NetDevice;
use crate::devices::virtio::device::{EventSource, NeedsReset, Notifications, VirtioDevice};
use crate::devices::virtio::features::VERSION_1;
use crate::error::Error;
use crate::memory::GuestMemory;
use crate::packets::Packets;
use header::Negotiated;
use receive::Receiver;

const QUEUE_SIZES: [u16; 2] = [256, 256];
const RECEIVE: usize = 0;
const TRANSMIT: usize = 1;

/// How many packets go one way before the other way has its turn.
const TURN: usize = 64;

/// Where the configuration space has the status of the link, and VIRTIO_NET_S_LINK_UP.
const STATUS: usize = 6;
const LINK_UP: u8 = 1;

pub(crate) struct Net {
    packets: Packets,
    offered: u64,
    config: [u8; 12],
    mtu: u16,
    negotiated: Negotiated,
    receiver: Receiver,
    /// Nothing comes or goes any more.
    is_closed: bool,
    /// The tap did not do as the driver was promised.
    has_failed: bool,
}

impl Net {
    /// # Errors
    /// [`Error::BadNetDevice`] for a descriptor that cannot be made non-blocking.
    pub(crate) fn new(device: NetDevice) -> Result<Net, Error> {
        let (mac, mtu) = (device.mac, device.mtu);
        let packets = Packets::open(device)?;
        let mut config = [0; 12];
        config[..STATUS].copy_from_slice(&mac);
        config[STATUS] = LINK_UP;
        // Between them, unused: the number of pairs of queues.
        config[10..].copy_from_slice(&mtu.to_le_bytes());
        let own = [
            VIRTIO_NET_F_MAC,
            VIRTIO_NET_F_MTU,
            VIRTIO_NET_F_STATUS,
            VIRTIO_NET_F_MRG_RXBUF,
        ];
        let own: u64 = own.into_iter().map(|bit| 1 << bit).sum();
        Ok(Net {
            offered: own | header::offloads_of(&packets),
            packets,
            config,
            mtu,
            negotiated: Negotiated::default(),
            receiver: Receiver::default(),
            is_closed: false,
            has_failed: false,
        })
    }

    /// Receives a turn of packets.
    fn receive(
        &mut self,
        queue: &mut Queue,
        memory: &GuestMemory,
    ) -> Result<Notifications, NeedsReset> {
        let mut notify = Notifications::NONE;
        self.receiver.collect(queue, memory)?;
        for _ in 0..TURN {
            if self.is_closed || !self.receiver.is_ready() {
                break;
            }
            let received = self
                .receiver
                .receive(&self.packets, &self.negotiated, queue, memory)?;
            match received {
                receive::Received::Packet => notify |= Notifications::queue(RECEIVE),
                receive::Received::TooLarge => {}
                receive::Received::Nothing => break,
                receive::Received::Closed => {
                    self.is_closed = true;
                    self.config[STATUS] = 0;
                    notify |= Notifications::CONFIG;
                }
            }
        }
        Ok(notify)
    }
}

impl VirtioDevice for Net {
    fn id(&self) -> u32 {
        VIRTIO_ID_NET
    }

    fn features(&self) -> u64 {
        self.offered
    }

    fn queue_sizes(&self) -> &[u16] {
        &QUEUE_SIZES
    }

    fn config(&self) -> &[u8] {
        &self.config
    }

    fn activate(&mut self, features: u64) {
        let before = self.negotiated;
        self.negotiated = Negotiated::new(features & (self.offered | VERSION_1), self.mtu);
        self.receiver = Receiver::new(&self.negotiated);
        self.has_failed = self
            .negotiated
            .configure_tap(&self.packets, &before)
            .is_err();
    }

    fn reset(&mut self) {
        self.receiver = Receiver::default();
    }

    fn process_queue(
        &mut self,
        index: usize,
        queues: &mut [Queue],
        memory: &GuestMemory,
    ) -> Result<Notifications, NeedsReset> {
        let [receive, transmit] = queues else {
            return Ok(Notifications::NONE);
        };
        if self.has_failed {
            return Err(NeedsReset("the tap refuses what the driver was offered"));
        }
        if index == RECEIVE {
            return self.receive(receive, memory);
        }
        let mut notify = Notifications::NONE;
        loop {
            let sent = transmit::send(&self.packets, &self.negotiated, transmit, memory, TURN)?;
            if sent > 0 {
                notify |= Notifications::queue(TRANSMIT);
            }
            if sent < TURN {
                return Ok(notify);
            }
            notify |= self.receive(receive, memory)?;
        }
    }

    fn event_source(&self) -> Option<EventSource<'_>> {
        let is_ready = !self.is_closed && !self.has_failed && self.receiver.is_ready();
        is_ready.then(|| EventSource {
            fd: self.packets.as_fd(),
            events: PollFlags::POLLIN,
        })
    }

    fn process_event(
        &mut self,
        queues: &mut [Queue],
        memory: &GuestMemory,
    ) -> Result<Notifications, NeedsReset> {
        match queues {
            [receive, _] => self.receive(receive, memory),
            _ => Ok(Notifications::NONE),
        }
    }

    fn descriptors(&self) -> Vec<RawFd> {
        vec![self.packets.as_raw_fd()]
    }
}
