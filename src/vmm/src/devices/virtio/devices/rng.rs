//! The entropy device (virtio 1.2, section 5.4): fills the driver's buffers with the host's
//! random bytes.

use rustix::rand::{GetRandomFlags, getrandom};
use virtio_bindings::virtio_ids::VIRTIO_ID_RNG;
use virtio_queue::Queue;

use crate::devices::virtio::device::{NeedsReset, Notifications, VirtioDevice};
use crate::devices::virtio::queue::chain::Buffer;
use crate::devices::virtio::queue::{iovec, used_ring};
use crate::memory::GuestMemory;

const QUEUE_SIZES: [u16; 1] = [64];
/// The most bytes that one buffer may have. Linux asks for 64.
const MAX: u32 = 64 << 10;
/// Bytes that the host is asked for at a time: getrandom(2) gives so few in one piece.
const CHUNK: usize = 256;

#[derive(Debug, Default)]
pub(crate) struct Rng;

impl VirtioDevice for Rng {
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

    fn process_queue(
        &mut self,
        index: usize,
        queues: &mut [Queue],
        memory: &GuestMemory,
    ) -> Result<Notifications, NeedsReset> {
        used_ring::process_all(queues, index, memory, MAX, |buffer| fill(buffer, memory))
    }
}

/// Fills a buffer, and gives the number of bytes.
fn fill(buffer: &Buffer, memory: &GuestMemory) -> Result<u32, NeedsReset> {
    if !buffer.readable.is_empty() || buffer.writable.is_empty() {
        return Err(NeedsReset("a buffer that cannot be written"));
    }
    // MAX at most.
    let mut random = vec![0; iovec::len(&buffer.writable) as usize];
    for chunk in random.chunks_mut(CHUNK) {
        // Without its own error the guest would take what is no secret for entropy.
        getrandom(chunk, GetRandomFlags::empty())
            .map_err(|_| NeedsReset("the host has no random bytes"))?;
    }
    iovec::write(&buffer.writable, memory, &random)
}
