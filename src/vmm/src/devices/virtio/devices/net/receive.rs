//! From the packets' descriptor to the guest's buffers.

use std::collections::VecDeque;
use std::io::ErrorKind;

use virtio_queue::{Queue, QueueT};

use super::header::{Agreement, BUFFERS, FLAGS, LONGEST};
use crate::devices::virtio::device::Broken;
use crate::devices::virtio::queue::chain::{self, Buffer};
use crate::devices::virtio::queue::pieces::{self, Vectors};
use crate::devices::virtio::queue::used;
use crate::memory::GuestMemory;
use crate::packets::Packets;

/// The most bytes of a buffer. Linux gives some of 72 KiB, others give pages.
const MAX: u32 = 1 << 20;
/// The most vectors that readv(2) takes, but one.
const VECTORS: usize = 1023;

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
    most_room: u64,
    /// The room without which it is better to wait, if the driver can be expected to make it.
    wanted: u64,
}

impl Receiver {
    pub(super) fn new(agreement: &Agreement) -> Receiver {
        Receiver {
            wanted: match agreement.merges() {
                true => agreement.max.into(),
                false => 0,
            },
            ..Receiver::default()
        }
    }

    /// Takes all buffers that the driver offers.
    ///
    /// # Errors
    /// [`Broken`] for those that cannot be written.
    pub(super) fn collect(
        &mut self,
        queue: &mut Queue,
        memory: &GuestMemory,
    ) -> Result<(), Broken> {
        while let Some(buffer) = chain::next(queue, memory, MAX)? {
            if !buffer.readable.is_empty() || buffer.writable.is_empty() {
                return Err(Broken("a buffer for packets that cannot be written"));
            }
            if self.buffers.len() >= queue.size().into() {
                return Err(Broken("more buffers than its queue holds"));
            }
            self.room += pieces::len(&buffer.writable);
            self.buffers.push_back(buffer);
        }
        self.most_room = self.most_room.max(self.room);
        Ok(())
    }

    /// Whether a packet can be taken: there are buffers, and enough of them for the largest.
    ///
    /// A driver that is known to give much more than that is waited for: it is about to. Any
    /// other loses what is too large, lest it and the device wait for each other.
    pub(super) fn is_ready(&self) -> bool {
        let is_generous = self.most_room >= 4 * self.wanted;
        !self.buffers.is_empty() && (self.room >= self.wanted || !is_generous)
    }

    /// Moves the next packet into the first buffers; there must be one.
    ///
    /// # Errors
    /// [`Broken`] for buffers too small for a header.
    pub(super) fn receive(
        &mut self,
        packets: &Packets,
        agreement: &Agreement,
        queue: &mut Queue,
        memory: &GuestMemory,
    ) -> Result<Received, Broken> {
        let Some(first) = self.buffers.front() else {
            return Ok(Received::Nothing);
        };
        let (header, behind) = pieces::split_at(&first.writable, agreement.header as u64);
        if pieces::len(&header) < agreement.header as u64 {
            return Err(Broken("a buffer smaller than a packet's header"));
        }
        let mut vectors = Vectors::default();
        if packets.has_headers() {
            vectors.append(&header, memory)?;
        }
        vectors.append(&behind, memory)?;
        let further = if agreement.merges() { usize::MAX } else { 0 };
        for buffer in self.buffers.iter().skip(1).take(further) {
            let is_enough = vectors.len() >= agreement.max.into();
            if is_enough || vectors.count() + buffer.writable.len() > VECTORS {
                break;
            }
            vectors.append(&buffer.writable, memory)?;
        }
        let room = vectors.len();
        let mut excess = [0];
        vectors.append_own(&mut excess);
        let len = match vectors.read(packets) {
            Ok(0) => return Ok(Received::Closed),
            Ok(len) => len as u64,
            Err(e) if e.kind() == ErrorKind::WouldBlock => return Ok(Received::Nothing),
            Err(e) if e.kind() == ErrorKind::Interrupted => return Ok(Received::Nothing),
            Err(_) => return Ok(Received::Closed),
        };
        if len > room {
            return Ok(Received::TooLarge);
        }
        let len = match packets.has_headers() {
            true => len,
            false => len + pieces::write(&header, memory, &[0; LONGEST])? as u64,
        };
        self.hand_over(len, agreement, queue, memory)?;
        Ok(Received::Packet)
    }

    /// Completes the header of the packet of `len` bytes in the first buffers, and gives them to
    /// the driver.
    fn hand_over(
        &mut self,
        len: u64,
        agreement: &Agreement,
        queue: &mut Queue,
        memory: &GuestMemory,
    ) -> Result<(), Broken> {
        let mut filled = Vec::with_capacity(1);
        let mut first = Vec::new();
        let mut left = len;
        // A packet has a header at least, and fits.
        while left > 0
            && let Some(buffer) = self.buffers.pop_front()
        {
            let size = pieces::len(&buffer.writable);
            self.room -= size;
            let part = left.min(size);
            left -= part;
            // No more than MAX.
            filled.push((buffer.head, part as u32));
            if first.is_empty() {
                first = buffer.writable;
            }
        }
        let at = |offset: usize| pieces::split_at(&first, offset as u64).1;
        if !agreement.takes_flags() {
            pieces::write(&at(FLAGS), memory, &[0])?;
        }
        if agreement.header > BUFFERS {
            // No more than a queue has entries.
            let count = filled.len() as u16;
            pieces::write(&at(BUFFERS), memory, &count.to_le_bytes())?;
        }
        used::add_together(queue, memory, &filled)
    }
}
