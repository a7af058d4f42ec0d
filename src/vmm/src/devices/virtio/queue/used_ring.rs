//! Giving used buffers back to the driver (virtio 1.2, section 2.7.8).

use std::sync::atomic::{Ordering, fence};

use virtio_bindings::virtio_ring::VRING_AVAIL_F_NO_INTERRUPT;
use virtio_queue::{Queue, QueueT};
use vm_memory::{Address, Bytes, GuestAddress};

use super::chain::{self, Buffer};
use crate::devices::virtio::device::{NeedsReset, Notifications};
use crate::memory::GuestMemory;

const NO_RING: NeedsReset = NeedsReset("its ring of used buffers is no ring");
/// Where the ring's entries begin, and the size of one: head and length.
const ENTRIES: u64 = 4;
const ENTRY: u64 = 8;

/// Puts the buffer with this `head`, of which `len` bytes were written, into the ring.
///
/// # Errors
/// [`NeedsReset`] for a head past the queue, or where no memory is.
pub(crate) fn add(
    queue: &mut Queue,
    memory: &GuestMemory,
    head: u16,
    len: u32,
) -> Result<(), NeedsReset> {
    queue.add_used(memory, head, len).map_err(|_| NO_RING)
}

/// Takes every available buffer of queue `index`, each of `max` bytes at most, and gives it back
/// with as many bytes written as `process` says.
///
/// # Errors
/// Those of [`chain::next_available`], of `process` and of [`add`].
pub(crate) fn process_all(
    queues: &mut [Queue],
    index: usize,
    memory: &GuestMemory,
    max: u32,
    mut process: impl FnMut(&Buffer) -> Result<u32, NeedsReset>,
) -> Result<Notifications, NeedsReset> {
    let mut notify = Notifications::NONE;
    let Some(queue) = queues.get_mut(index) else {
        return Ok(notify);
    };
    while let Some(buffer) = chain::next_available(queue, memory, max)? {
        let len = process(&buffer)?;
        add(queue, memory, buffer.head, len)?;
        notify |= Notifications::queue(index);
    }
    Ok(notify)
}

/// As [`add`] for several, which the driver sees all at once: the parts of one packet.
///
/// # Errors
/// As [`add`].
pub(crate) fn add_all(
    queue: &mut Queue,
    memory: &GuestMemory,
    buffers: &[(u16, u32)],
) -> Result<(), NeedsReset> {
    let Some(((head, len), others)) = buffers.split_last() else {
        return Ok(());
    };
    let mut next = queue.next_used();
    for (head, len) in others {
        // A size of 0 is none (`Queue::is_valid`).
        let slot = u64::from(next.checked_rem(queue.size()).ok_or(NO_RING)?);
        let entry = GuestAddress(queue.used_ring())
            .checked_add(ENTRIES + ENTRY * slot)
            .ok_or(NO_RING)?;
        let bytes = [u32::from(*head).to_le_bytes(), len.to_le_bytes()];
        let written = memory.write_slice(bytes.as_flattened(), entry);
        written.map_err(|_| NO_RING)?;
        next = next.wrapping_add(1);
    }
    // The last one moves the ring's index past all of them.
    queue.set_next_used(next);
    add(queue, memory, *head, *len)
}

/// Whether the driver wants a used buffer notification for what was used since the ring's index
/// was `before` (section 2.7.7).
///
/// The crate's own function for this counts what its `add_used` added, which is not all.
///
/// # Errors
/// [`NeedsReset`] where no memory is.
pub(crate) fn needs_notification(
    queue: &Queue,
    memory: &GuestMemory,
    before: u16,
) -> Result<bool, NeedsReset> {
    // The driver must find what was used, or be found to want an interrupt.
    fence(Ordering::SeqCst);
    let ring = GuestAddress(queue.avail_ring());
    let load = |offset| -> Result<u16, NeedsReset> {
        let at = ring.checked_add(offset).ok_or(NO_RING)?;
        let word = memory.load(at, Ordering::Relaxed).map_err(|_| NO_RING)?;
        Ok(u16::from_le(word))
    };
    if !queue.event_idx_enabled() {
        return Ok(u32::from(load(0)?) & VRING_AVAIL_F_NO_INTERRUPT == 0);
    }
    // Behind the ring of available buffers: the index that the driver waits for to be passed.
    let event = load(4 + 2 * u64::from(queue.size()))?;
    let used = queue.next_used();
    Ok(used.wrapping_sub(event).wrapping_sub(1) < used.wrapping_sub(before))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::memory;

    #[test]
    fn several_buffers_are_one_step_of_the_ring() {
        let memory = memory::allocate(memory::MIN_MEMORY).unwrap();
        let mut queue = Queue::new(8).unwrap();
        let (available, used) = (GuestAddress(0x2000), GuestAddress(0x3000));
        queue.try_set_avail_ring_address(available).unwrap();
        queue.try_set_used_ring_address(used).unwrap();
        queue.set_event_idx(true);
        queue.set_next_used(6);
        add_all(&mut queue, &memory, &[(1, 10), (2, 20), (3, 30)]).unwrap();
        let words: [u32; 17] = memory.read_obj(used).unwrap();
        assert_eq!(words[0] >> 16, 9, "the ring's index");
        assert_eq!(words[13..17], [1, 10, 2, 20]);
        assert_eq!(words[1..3], [3, 30]);
        // It may wait for any of the three, not for the next one.
        for (event, needed) in [(5, false), (6, true), (7, true), (8, true), (9, false)] {
            let event: u16 = event;
            memory
                .write_obj(event, available.checked_add(20).unwrap())
                .unwrap();
            assert_eq!(
                needs_notification(&queue, &memory, 6),
                Ok(needed),
                "{event}"
            );
        }
        assert!(add_all(&mut queue, &memory, &[(1, 0), (8, 0)]).is_err());
    }
}
