//! The block device (virtio 1.2, section 5.2): a disk that is a file of the host's.

mod limits;
mod request;
#[cfg(test)]
mod tests;

use std::os::fd::{AsRawFd, RawFd};

use virtio_bindings::virtio_blk::*;
use virtio_bindings::virtio_ids::VIRTIO_ID_BLOCK;
use virtio_queue::Queue;

use self::limits::{DISCARD, MAX, SEGMENT, SEGMENTS, ZEROES};
use crate::bits::low;
use crate::boot::solo5::manifest::BLOCK_SIZE;
use crate::config::BlockDevice;
use crate::devices::virtio::device::{NeedsReset, Notifications, VirtioDevice};
use crate::devices::virtio::queue::used_ring;
use crate::disk::Disk;
use crate::error::Error;
use crate::memory::GuestMemory;

const QUEUE_SIZES: [u16; 1] = [256];
const FLUSH: u64 = 1 << VIRTIO_BLK_F_FLUSH;

pub(crate) struct Block {
    disk: Disk,
    /// The device ID string (VIRTIO_BLK_T_GET_ID): the disk's name, and zeros.
    serial: [u8; VIRTIO_BLK_ID_BYTES as usize],
    config: Vec<u8>,
    /// The driver will never ask for what was written to be kept: it is kept at once.
    writes_through: bool,
}

impl Block {
    /// # Errors
    /// [`Error::BadBlockDevice`] for what is no regular file or block device of one or more
    /// whole blocks.
    pub(crate) fn new(device: BlockDevice) -> Result<Block, Error> {
        let mut serial = [0; VIRTIO_BLK_ID_BYTES as usize];
        for (to, from) in serial.iter_mut().zip(device.name.bytes()) {
            *to = from;
        }
        let disk = Disk::open(device)?;
        Ok(Block {
            config: config(disk.capacity),
            disk,
            serial,
            writes_through: false,
        })
    }
}

/// The configuration space (section 5.2.4) of a disk of so many bytes.
fn config(capacity: u64) -> Vec<u8> {
    let mut config = (capacity / BLOCK_SIZE).to_le_bytes().to_vec();
    let words = [
        SEGMENT,
        SEGMENTS,
        0, // its geometry, not offered
        low(BLOCK_SIZE),
        0, // its topology, not offered, in two words
        0,
        0, // no cache to be turned off, one queue
        DISCARD,
        1, // of one range
        1, // of any alignment
        ZEROES,
        1, // of one range
        1, // may be unmapped
    ];
    config.extend(words.map(u32::to_le_bytes).as_flattened());
    config
}

impl VirtioDevice for Block {
    fn id(&self) -> u32 {
        VIRTIO_ID_BLOCK
    }

    fn features(&self) -> u64 {
        let mut bits = vec![
            VIRTIO_BLK_F_SIZE_MAX,
            VIRTIO_BLK_F_SEG_MAX,
            VIRTIO_BLK_F_BLK_SIZE,
            VIRTIO_BLK_F_FLUSH,
        ];
        match self.disk.read_only {
            true => bits.push(VIRTIO_BLK_F_RO),
            false => bits.extend([VIRTIO_BLK_F_DISCARD, VIRTIO_BLK_F_WRITE_ZEROES]),
        }
        bits.into_iter().map(|bit| 1 << bit).sum()
    }

    fn queue_sizes(&self) -> &[u16] {
        &QUEUE_SIZES
    }

    fn config(&self) -> &[u8] {
        &self.config
    }

    /// A driver that does not know of flushes finds a disk that keeps what was written
    /// (section 5.2.6.2).
    fn activate(&mut self, features: u64) {
        self.writes_through = features & FLUSH == 0;
    }

    fn process_queue(
        &mut self,
        index: usize,
        queues: &mut [Queue],
        memory: &GuestMemory,
    ) -> Result<Notifications, NeedsReset> {
        used_ring::process_all(queues, index, memory, MAX, |buffer| {
            self.process(buffer, memory)
        })
    }

    fn descriptors(&self) -> Vec<RawFd> {
        vec![self.disk.image.as_raw_fd()]
    }
}
