//! One buffer that the driver has made available: a chain of descriptors (virtio 1.2, section
//! 2.7.5).

use std::ops::Deref;

use virtio_queue::desc::split::Descriptor;
use virtio_queue::{DescriptorChain, Queue, QueueOwnedT, QueueT};
use vm_memory::GuestMemoryBackend;

use super::iovec::GuestIovec;
use crate::devices::virtio::device::NeedsReset;
use crate::memory::GuestMemory;

/// A buffer that was checked: all of it lies in the guest's memory, and what the device may
/// write follows what it may read.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Buffer {
    /// The index of its first descriptor, by which it is put into the used ring.
    pub head: u16,
    /// The device-readable part.
    pub readable: Vec<GuestIovec>,
    /// The device-writable part.
    pub writable: Vec<GuestIovec>,
}

/// The most descriptors of a buffer: preadv(2) and its like take no more, and drivers that follow
/// section 2.7.5.3.1 send no more than their queue has entries.
const MAX_IOVECS: usize = 1024;

/// Takes the next available buffer from `queue`, of `max` bytes at most; `None` where there is
/// none, and where the driver has not set up the queue.
///
/// # Errors
/// [`NeedsReset`] for a queue or chain that breaks the rules: too many buffers at once, a loop, an
/// index past the table, no descriptor at all, memory that is not there, a readable descriptor
/// behind a writable one, more bytes than `max`, more than 1024 descriptors.
pub(crate) fn next_available(
    queue: &mut Queue,
    memory: &GuestMemory,
    max: u32,
) -> Result<Option<Buffer>, NeedsReset> {
    if !queue.ready() {
        return Ok(None);
    }
    let mut available = queue
        .iter(memory)
        .map_err(|_| NeedsReset("its ring of available buffers is no ring"))?;
    let chain = available.next();
    chain.map(|chain| check(chain, memory, max)).transpose()
}

fn check<M>(chain: DescriptorChain<M>, memory: &GuestMemory, max: u32) -> Result<Buffer, NeedsReset>
where
    M: Deref,
    M::Target: vm_memory::GuestMemory,
{
    let mut buffer = Buffer {
        head: chain.head_index(),
        readable: Vec::new(),
        writable: Vec::new(),
    };
    let mut total = 0u32;
    let mut has_next = true;
    for descriptor in chain {
        has_next = descriptor.has_next();
        let iovec = guest_iovec(&descriptor, memory)?;
        total = total.saturating_add(iovec.len);
        if buffer.readable.len() + buffer.writable.len() == MAX_IOVECS {
            return Err(NeedsReset("a buffer of too many descriptors"));
        }
        match (descriptor.is_write_only(), buffer.writable.is_empty()) {
            (true, _) => buffer.writable.push(iovec),
            (false, true) => buffer.readable.push(iovec),
            (false, false) => {
                return Err(NeedsReset("a readable descriptor behind a writable one"));
            }
        }
    }
    // The crate's iterator ends a chain that it cannot follow without a word.
    if has_next {
        return Err(NeedsReset("a chain of descriptors without an end"));
    }
    if total > max {
        return Err(NeedsReset("a buffer larger than this device takes"));
    }
    Ok(buffer)
}

fn guest_iovec(descriptor: &Descriptor, memory: &GuestMemory) -> Result<GuestIovec, NeedsReset> {
    let (gpa, len) = (descriptor.addr(), descriptor.len());
    // A u32 is a usize here: the monitor is for x86-64 only.
    match memory.check_range(gpa, len as usize) {
        true => Ok(GuestIovec { gpa, len }),
        false => Err(NeedsReset("a buffer where no memory is")),
    }
}
