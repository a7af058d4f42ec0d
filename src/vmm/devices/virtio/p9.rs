//! The 9P transport (Linux's net/9p/trans_virtio.c; the device's ID is virtio 1.2's, section
//! 5): each buffer is a request to read and, behind it, the room for its reply.

use std::os::fd::RawFd;

use virtio_bindings::virtio_ids::VIRTIO_ID_9P;
use virtio_queue::{Queue, QueueT};
use vm_memory::Bytes;

use super::chain::{self, Buffer, Piece};
use super::{Broken, Device, Used};
use crate::vmm::config::Share;
use crate::vmm::error::Error;
use crate::vmm::memory::GuestMemory;
use crate::vmm::p9::{MAX_FRAME, Server};

/// The configuration space has a tag (Linux's include/uapi/linux/virtio_9p.h).
const MOUNT_TAG: u64 = 1 << 0;
/// What Linux's driver counts on.
const QUEUE_SIZES: [u16; 1] = [128];
/// The most bytes of a request and its room: both as large as can be, and what drivers round
/// up to.
const MOST: u32 = 4 * MAX_FRAME;
/// Bytes of a frame's first field, its size.
const SIZE: usize = 4;

pub struct P9 {
    server: Server,
    /// The tag's length, 16 bits, and the tag.
    config: Vec<u8>,
    frame: Vec<u8>,
}

impl P9 {
    /// # Errors
    /// What statx(2) refuses of the share's root.
    pub fn new(share: Share) -> Result<P9, Error> {
        let failed = |source| Error::Share {
            tag: share.tag.clone(),
            source,
        };
        let server = Server::new(share.root).map_err(failed)?;
        // The caller's own, a word.
        let len = share.tag.len() as u16;
        Ok(P9 {
            server,
            config: [&len.to_le_bytes(), share.tag.as_bytes()].concat(),
            frame: Vec::new(),
        })
    }

    /// Answers the request in a buffer; gives the reply's bytes.
    fn answer(&mut self, buffer: &Buffer, memory: &GuestMemory) -> Result<u32, Broken> {
        let mut size = [0; SIZE];
        gather(&buffer.readable, memory, &mut size)?;
        let size = u32::from_le_bytes(size);
        if size > MAX_FRAME {
            return Err(Broken("a 9P request larger than any may be"));
        }
        self.frame.resize(size as usize, 0);
        gather(&buffer.readable, memory, &mut self.frame)?;
        // The whole chain has MOST bytes at most.
        let room = buffer.writable.iter().map(|piece| piece.len as usize);
        let reply = self.server.answer(&self.frame, room.sum());
        let reply = reply.map_err(|_| Broken("a 9P request that cannot be answered"))?;
        scatter(reply, &buffer.writable, memory)?;
        // No more than MAX_FRAME.
        Ok(reply.len() as u32)
    }
}

impl Device for P9 {
    fn id(&self) -> u32 {
        VIRTIO_ID_9P
    }

    fn features(&self) -> u64 {
        MOUNT_TAG
    }

    fn queue_sizes(&self) -> &[u16] {
        &QUEUE_SIZES
    }

    fn config(&self) -> &[u8] {
        &self.config
    }

    fn descriptors(&self) -> Vec<RawFd> {
        vec![self.server.descriptor()]
    }

    fn reset(&mut self) {
        self.server.reset();
    }

    fn serve(
        &mut self,
        index: usize,
        queues: &mut [Queue],
        memory: &GuestMemory,
    ) -> Result<Used, Broken> {
        let mut used = Used::NONE;
        let Some(queue) = queues.get_mut(index) else {
            return Ok(used);
        };
        while let Some(buffer) = chain::next(queue, memory, MOST)? {
            let len = self.answer(&buffer, memory)?;
            queue
                .add_used(memory, buffer.head, len)
                .map_err(|_| Broken("its ring of used buffers is no ring"))?;
            used |= Used::queue(index);
        }
        Ok(used)
    }
}

/// Fills `bytes` from the beginning of what the pieces hold.
fn gather(pieces: &[Piece], memory: &GuestMemory, mut bytes: &mut [u8]) -> Result<(), Broken> {
    for piece in pieces {
        let (part, rest) = bytes.split_at_mut(bytes.len().min(piece.len as usize));
        memory
            .read_slice(part, piece.gpa)
            .map_err(|_| Broken("a buffer where no memory is"))?;
        bytes = rest;
    }
    match bytes {
        [] => Ok(()),
        _ => Err(Broken("a 9P request that is cut")),
    }
}

/// Writes `bytes` into the pieces, which have room for them.
fn scatter(mut bytes: &[u8], pieces: &[Piece], memory: &GuestMemory) -> Result<(), Broken> {
    for piece in pieces {
        let (part, rest) = bytes.split_at(bytes.len().min(piece.len as usize));
        memory
            .write_slice(part, piece.gpa)
            .map_err(|_| Broken("a buffer where no memory is"))?;
        bytes = rest;
    }
    Ok(())
}
