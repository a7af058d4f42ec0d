//! From the packets' descriptor to the guest's buffers.

use std::collections::VecDeque;
use std::io::ErrorKind;

use virtio_queue::{Queue, QueueT};

use super::header::{BUFFERS, FLAGS, LONGEST, Negotiated};
use crate::bits::number;
use crate::devices::virtio::device::NeedsReset;
use crate::devices::virtio::queue::chain::{self, Buffer};
use crate::devices::virtio::queue::iovec;
use crate::devices::virtio::queue::iovec::Iovecs;
use crate::devices::virtio::queue::used_ring;
use crate::memory::GuestMemory;
use crate::packets::Packets;

/// The most bytes of a buffer. Linux gives some of 72 KiB, others give pages.
const MAX: u32 = 1 << 20;
/// The most iovecs that readv(2) takes, but one.
const MAX_IOVECS: usize = 1023;

/// What became of the next packet.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Received {
    /// The guest has it.
    Packet,
    /// It was larger than the buffers that the guest has for it, and is lost.
    TooLarge,
    /// There is none.
    Nothing,
    /// There will be none any more.
    Closed,
}

/// The buffers that wait for packets.
#[derive(Default)]
pub(super) struct Receiver {
    buffers: VecDeque<Buffer>,
    /// Bytes of all of them.
    room: u64,
    /// The most of these that there ever were.
    max_room: u64,
    /// The room without which it is better to wait, if the driver can be expected to give it.
    needed: u64,
}

impl Receiver {
    pub(super) fn new(negotiated: &Negotiated) -> Receiver {
        Receiver {
            needed: match negotiated.has_mergeable_buffers() {
                true => negotiated.max.into(),
                false => 0,
            },
            ..Receiver::default()
        }
    }

    /// Takes all buffers that the driver offers.
    ///
    /// # Errors
    /// [`NeedsReset`] for those that cannot be written.
    pub(super) fn collect(
        &mut self,
        queue: &mut Queue,
        memory: &GuestMemory,
    ) -> Result<(), NeedsReset> {
        while let Some(buffer) = chain::next_available(queue, memory, MAX)? {
            if !buffer.readable.is_empty() || buffer.writable.is_empty() {
                return Err(NeedsReset("a buffer for packets that cannot be written"));
            }
            if self.buffers.len() >= queue.size().into() {
                return Err(NeedsReset("more buffers than its queue holds"));
            }
            self.room += u64::from(iovec::len(&buffer.writable));
            self.buffers.push_back(buffer);
        }
        self.max_room = self.max_room.max(self.room);
        Ok(())
    }

    /// Whether a packet can be taken: there are buffers, and enough of them for the largest.
    ///
    /// A driver that is known to give much more than that is waited for: it is about to. Any
    /// other loses what is too large, lest it and the device wait for each other.
    pub(super) fn is_ready(&self) -> bool {
        let is_generous = self.max_room >= 4 * self.needed;
        !self.buffers.is_empty() && (self.room >= self.needed || !is_generous)
    }

    /// Moves the next packet into the first buffers; there must be one.
    ///
    /// # Errors
    /// [`NeedsReset`] for buffers too small for a header.
    pub(super) fn receive(
        &mut self,
        packets: &Packets,
        negotiated: &Negotiated,
        queue: &mut Queue,
        memory: &GuestMemory,
    ) -> Result<Received, NeedsReset> {
        let Some(first) = self.buffers.front() else {
            return Ok(Received::Nothing);
        };
        let (header, behind) = iovec::split_at(&first.writable, negotiated.header as usize);
        if iovec::len(&header) < negotiated.header {
            return Err(NeedsReset("a buffer smaller than a packet's header"));
        }
        let mut iovecs = Iovecs::default();
        if packets.has_headers() {
            iovecs.append(&header, memory)?;
        }
        iovecs.append(&behind, memory)?;
        let further = if negotiated.has_mergeable_buffers() {
            usize::MAX
        } else {
            0
        };
        for buffer in self.buffers.iter().skip(1).take(further) {
            let is_enough = iovecs.len() >= negotiated.max.into();
            if is_enough || iovecs.count() + buffer.writable.len() > MAX_IOVECS {
                break;
            }
            iovecs.append(&buffer.writable, memory)?;
        }
        let room = iovecs.len();
        let mut excess = [0];
        iovecs.append_own(&mut excess);
        let len = match iovecs.read(packets) {
            Ok(0) => return Ok(Received::Closed),
            Ok(len) => len,
            Err(e) if e.kind() == ErrorKind::WouldBlock => return Ok(Received::Nothing),
            Err(e) if e.kind() == ErrorKind::Interrupted => return Ok(Received::Nothing),
            Err(_) => return Ok(Received::Closed),
        };
        if u64::from(len) > room {
            return Ok(Received::TooLarge);
        }
        let len = match packets.has_headers() {
            true => len,
            false => len + iovec::write(&header, memory, &[0; LONGEST as usize])?,
        };
        self.deliver(len, negotiated, queue, memory)?;
        Ok(Received::Packet)
    }

    /// Completes the header of the packet of `len` bytes in the first buffers, and gives them to
    /// the driver.
    fn deliver(
        &mut self,
        len: u32,
        negotiated: &Negotiated,
        queue: &mut Queue,
        memory: &GuestMemory,
    ) -> Result<(), NeedsReset> {
        let mut filled = Vec::with_capacity(1);
        let mut first = Vec::new();
        let mut left = len;
        // A packet has a header at least, and fits.
        while left > 0
            && let Some(buffer) = self.buffers.pop_front()
        {
            let size = iovec::len(&buffer.writable);
            self.room -= u64::from(size);
            let part = left.min(size);
            left -= part;
            filled.push((buffer.head, part));
            if first.is_empty() {
                first = buffer.writable;
            }
        }
        let at = |offset: usize| iovec::split_at(&first, offset).1;
        if !negotiated.has_guest_csum() {
            iovec::write(&at(FLAGS), memory, &[0])?;
        }
        if negotiated.header as usize > BUFFERS {
            let count = number(filled.len());
            iovec::write(&at(BUFFERS), memory, &count.to_le_bytes())?;
        }
        used_ring::add_all(queue, memory, &filled)
    }
}
