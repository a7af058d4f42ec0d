//! One buffer of the driver's: a chain of descriptors (virtio 1.2, section 2.7.5).

use std::ops::Deref;

use virtio_queue::desc::split::Descriptor;
use virtio_queue::{DescriptorChain, Queue, QueueOwnedT, QueueT};
use vm_memory::{GuestAddress, GuestMemoryBackend};

use crate::devices::virtio::device::NeedsReset;
use crate::memory::GuestMemory;

/// A piece of guest memory.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct GuestIovec {
    pub gpa: GuestAddress,
    /// Bytes.
    pub len: u32,
}

/// A buffer that was checked: all of it lies in the guest's memory, and what the device may
/// write follows what it may read.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Buffer {
    /// By which the queue is told that it was used.
    pub head: u16,
    /// What the device may read.
    pub readable: Vec<GuestIovec>,
    /// What the device may write.
    pub writable: Vec<GuestIovec>,
}

/// The most pieces of a buffer: preadv(2) and its like take no more, and drivers that follow
/// section 2.7.5.3.1 send no more than their queue has entries.
const MAX_IOVECS: usize = 1024;

/// Takes the next buffer from `queue`, of `most` bytes at most; `None` where there is none,
/// and where the driver has not set up the queue.
///
/// # Errors
/// [`NeedsReset`] for a queue or chain that breaks the rules: too many buffers at once, a loop, an
/// index past the table, no descriptor at all, memory that is not there, a piece to read behind
/// one to write, more bytes than `most`, more than 1024 iovecs.
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
    let mut goes_on = true;
    for descriptor in chain {
        goes_on = descriptor.has_next();
        let piece = piece(&descriptor, memory)?;
        total = total.saturating_add(piece.len);
        if buffer.readable.len() + buffer.writable.len() == MAX_IOVECS {
            return Err(NeedsReset("a buffer of too many pieces"));
        }
        match (descriptor.is_write_only(), buffer.writable.is_empty()) {
            (true, _) => buffer.writable.push(piece),
            (false, true) => buffer.readable.push(piece),
            (false, false) => return Err(NeedsReset("a piece to read behind one to write")),
        }
    }
    // The crate's iterator ends a chain that it cannot follow without a word.
    if goes_on {
        return Err(NeedsReset("a chain of descriptors without an end"));
    }
    if total > max {
        return Err(NeedsReset("a buffer larger than this device takes"));
    }
    Ok(buffer)
}

fn piece(descriptor: &Descriptor, memory: &GuestMemory) -> Result<GuestIovec, NeedsReset> {
    let (gpa, len) = (descriptor.addr(), descriptor.len());
    // A u32 is a usize here: the monitor is for x86-64 only.
    match memory.check_range(gpa, len as usize) {
        true => Ok(GuestIovec { gpa, len }),
        false => Err(NeedsReset("a buffer where no memory is")),
    }
}
