//! The entropy device (virtio 1.2, section 5.4): fills the driver's buffers with the host's
//! random bytes.

use rustix::rand::{GetRandomFlags, getrandom};
use virtio_bindings::virtio_ids::VIRTIO_ID_RNG;
use virtio_queue::{Queue, QueueT};
use vm_memory::Bytes;

use super::chain::{self, Buffer};
use super::{Broken, Device, Used};
use crate::vmm::memory::GuestMemory;

const QUEUE_SIZES: [u16; 1] = [64];
/// The most bytes that one buffer may have. Linux asks for 64.
const MOST: u32 = 64 << 10;
/// What the host is asked for at a time: getrandom(2) gives so little in one piece.
const PORTION: usize = 256;

#[derive(Debug, Default)]
pub struct Rng;

impl Device for Rng {
    fn id(&self) -> u32 {
        VIRTIO_ID_RNG
    }

    fn features(&self) -> u64 {
        0
    }

    fn queue_sizes(&self) -> &[u16] {
        &QUEUE_SIZES
    }

    fn config(&self) -> &[u8] {
        &[]
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
            let len = fill(&buffer, memory)?;
            queue
                .add_used(memory, buffer.head, len)
                .map_err(|_| Broken("its ring of used buffers is no ring"))?;
            used |= Used::queue(index);
        }
        Ok(used)
    }
}

/// Fills a buffer, and gives the number of bytes.
fn fill(buffer: &Buffer, memory: &GuestMemory) -> Result<u32, Broken> {
    if !buffer.readable.is_empty() || buffer.writable.is_empty() {
        return Err(Broken("a buffer that cannot be written"));
    }
    let mut total = 0;
    for piece in &buffer.writable {
        let mut random = vec![0; piece.len as usize];
        for portion in random.chunks_mut(PORTION) {
            // Without its own error the guest would take what is no secret for entropy.
            getrandom(portion, GetRandomFlags::empty())
                .map_err(|_| Broken("the host has no random bytes"))?;
        }
        memory
            .write_slice(&random, piece.gpa)
            .map_err(|_| Broken("a buffer where no memory is"))?;
        total += piece.len;
    }
    Ok(total)
}
