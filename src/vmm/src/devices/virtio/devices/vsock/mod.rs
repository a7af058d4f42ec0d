//! The socket device (virtio 1.2, section 5.10): streams between the guest and the container's
//! processes, by Unix sockets.
//!
//! Data is kept nowhere but for what a Unix socket does not take at once, and of that no more than
//! the guest had credit for. Whoever does not read stops nobody else.
//!
//! | module | what is in it |
//! |---|---|
//! | [`header`] | a packet's header, and credit |
//! | [`connection`] | one stream |
//! | [`muxer`] | all of them |
//! | [`host`] | the Unix sockets |

mod connection;
pub(crate) mod header;
mod host;
mod muxer;
#[cfg(test)]
mod tests;

use std::os::fd::{AsFd, RawFd};

use nix::poll::PollFlags;
use virtio_bindings::virtio_ids::VIRTIO_ID_VSOCK;
use virtio_queue::Queue;

use crate::config;
use crate::devices::virtio::device::{EventSource, NeedsReset, Notifications, VirtioDevice};
use crate::devices::virtio::queue::chain::{self, Buffer};
use crate::devices::virtio::queue::{iovec, used_ring};
use crate::error::Error;
use crate::memory::GuestMemory;
use header::{GUEST, Header};
use muxer::Muxer;

/// For packets to the guest, packets from it, and events, of which there are none: a machine is
/// never moved to another host.
const QUEUE_SIZES: [u16; 3] = [128, 128, 8];
const RECEIVE: usize = 0;
const TRANSMIT: usize = 1;

/// VIRTIO_VSOCK_F_STREAM; there are no others.
const STREAMS: u64 = 1 << 0;

/// The most bytes of a buffer. Linux sends up to 64 KiB, and gives pages.
const MAX: u32 = 1 << 20;

/// The device: its queues.
pub(crate) struct Vsock {
    muxer: Muxer,
    /// A buffer that was taken for a packet, which then was none.
    room: Option<Buffer>,
    /// The guest's context ID.
    config: [u8; 8],
}

impl Vsock {
    /// # Errors
    /// [`Error::Vsock`].
    pub(crate) fn new(vsock: config::Vsock) -> Result<Vsock, Error> {
        Ok(Vsock {
            muxer: Muxer::new(vsock).map_err(Error::Vsock)?,
            room: None,
            config: GUEST.to_le_bytes(),
        })
    }

    /// Processes both queues of packets as far as they go.
    fn process_queues(
        &mut self,
        queues: &mut [Queue],
        memory: &GuestMemory,
    ) -> Result<Notifications, NeedsReset> {
        let mut notify = Notifications::NONE;
        let [receive, transmit, _] = queues else {
            return Ok(notify);
        };
        loop {
            notify |= self.transmit(transmit, memory)?;
            let was_congested = self.muxer.is_congested();
            notify |= self.receive(receive, memory)?;
            if !was_congested || self.muxer.is_congested() {
                return Ok(notify);
            }
        }
    }

    /// Takes the guest's packets, but none while it takes no replies: they would have no end.
    fn transmit(
        &mut self,
        queue: &mut Queue,
        memory: &GuestMemory,
    ) -> Result<Notifications, NeedsReset> {
        let mut notify = Notifications::NONE;
        while !self.muxer.is_congested()
            && let Some(buffer) = chain::next_available(queue, memory, MAX)?
        {
            let (header, data) = packet(&buffer, memory)?;
            self.muxer.process_packet(&header, &data);
            used_ring::add(queue, memory, buffer.head, 0)?;
            notify |= Notifications::queue(TRANSMIT);
        }
        Ok(notify)
    }

    /// Gives the guest packets as long as there are some, and room.
    fn receive(
        &mut self,
        queue: &mut Queue,
        memory: &GuestMemory,
    ) -> Result<Notifications, NeedsReset> {
        let mut notify = Notifications::NONE;
        while self.muxer.has_packet() {
            let taken = self.room.take().map(Ok);
            let Some(buffer) = taken
                .or_else(|| chain::next_available(queue, memory, MAX).transpose())
                .transpose()?
            else {
                break;
            };
            let (head, behind) = iovec::split_at(&buffer.writable, header::SIZE);
            if !buffer.readable.is_empty() || behind.is_empty() {
                return Err(NeedsReset("a buffer without room for a packet"));
            }
            match self.muxer.next(&behind, memory)? {
                Some(header) => {
                    let written = iovec::write(&head, memory, &header.bytes())?;
                    // No more than MAX.
                    let len = written + header.len;
                    used_ring::add(queue, memory, buffer.head, len)?;
                    notify |= Notifications::queue(RECEIVE);
                }
                None => self.room = Some(buffer),
            }
        }
        Ok(notify)
    }
}

/// A packet of the guest's.
fn packet(buffer: &Buffer, memory: &GuestMemory) -> Result<(Header, Vec<u8>), NeedsReset> {
    if !buffer.writable.is_empty() {
        return Err(NeedsReset("a packet for the device to write"));
    }
    let mut header = [0; header::SIZE];
    if iovec::read(&buffer.readable, memory, &mut header)? < header.len() {
        return Err(NeedsReset("a packet without its header"));
    }
    let header = Header::read(&header);
    let (_, behind) = iovec::split_at(&buffer.readable, header::SIZE);
    if iovec::len(&behind) < header.len {
        return Err(NeedsReset("a packet shorter than it says"));
    }
    // No more than MAX.
    let mut data = vec![0; header.len as usize];
    iovec::read(&behind, memory, &mut data)?;
    Ok((header, data))
}

impl VirtioDevice for Vsock {
    fn id(&self) -> u32 {
        VIRTIO_ID_VSOCK
    }

    fn features(&self) -> u64 {
        STREAMS
    }

    fn queue_sizes(&self) -> &[u16] {
        &QUEUE_SIZES
    }

    fn config(&self) -> &[u8] {
        &self.config
    }

    fn reset(&mut self) {
        self.muxer.reset();
        self.room = None;
    }

    fn process_queue(
        &mut self,
        _: usize,
        queues: &mut [Queue],
        memory: &GuestMemory,
    ) -> Result<Notifications, NeedsReset> {
        self.process_queues(queues, memory)
    }

    fn event_source(&self) -> Option<EventSource<'_>> {
        Some(EventSource {
            fd: self.muxer.as_fd(),
            events: PollFlags::POLLIN,
        })
    }

    fn process_event(
        &mut self,
        queues: &mut [Queue],
        memory: &GuestMemory,
    ) -> Result<Notifications, NeedsReset> {
        self.muxer.process_event();
        self.process_queues(queues, memory)
    }

    fn descriptors(&self) -> Vec<RawFd> {
        self.muxer.descriptors()
    }
}
