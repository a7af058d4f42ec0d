//! A driver for tests of devices: it has their queues, but no transport between.
#![cfg_attr(not(test), allow(dead_code, reason = "the fuzzers use a part of it"))]

use virtio_queue::{Queue, QueueT};
use vm_memory::{Bytes, GuestAddress};

use super::device::{NeedsReset, Notifications, VirtioDevice};
use crate::memory;
use crate::memory::{GuestMemory, MIN_MEMORY};

/// Flags of a descriptor.
pub(crate) const NEXT: u16 = 1;
pub(crate) const WRITE: u16 = 2;
pub(crate) const INDIRECT: u16 = 4;

pub(crate) const VERSION_1: u64 = 1 << 32;

/// Where the rings of the first queue lie, and those of each next one behind: descriptors,
/// available and used buffers.
pub(crate) const RINGS: u64 = 0x1_0000;
const STRIDE: u32 = 0x4000;
const AVAILABLE: u64 = 0x1000;
const USED: u64 = 0x2000;
/// From here on memory is free for buffers.
pub(crate) const BUFFERS: u64 = 0x4_0000;
/// The end of memory.
pub(crate) const END: u64 = MIN_MEMORY;

/// The queues' sizes; a device may say that there are fewer entries.
const SIZE: u16 = 64;

/// Address, bytes, flags, the next one.
pub(crate) type Descriptor = (u64, u32, u16, u16);

/// A device and its driver's side.
pub(crate) struct Driver<D: VirtioDevice> {
    pub device: D,
    pub memory: GuestMemory,
    queues: Vec<Queue>,
    rings: Vec<Ring>,
}

/// What the driver knows of a queue.
struct Ring {
    gpa: u64,
    size: u16,
    /// The next descriptor that is free: they are used in turn.
    descriptor: u16,
    available: u16,
    /// Notifications buffers that were looked at.
    seen: u16,
}

impl<D: VirtioDevice> Driver<D> {
    /// A driver that has negotiated these features, beside VERSION_1.
    pub(crate) fn new(device: D, features: u64) -> Driver<D> {
        Driver::legacy(device, features | VERSION_1)
    }

    /// A driver that has negotiated these features.
    pub(crate) fn legacy(device: D, features: u64) -> Driver<D> {
        let memory = memory::allocate(END).unwrap();
        let mut driver = Driver {
            device,
            memory,
            queues: Vec::new(),
            rings: Vec::new(),
        };
        driver.activate(features);
        driver
    }

    /// As after a reset: new rings, in zeroed memory, and features negotiated.
    pub(crate) fn activate(&mut self, features: u64) {
        let sizes = self.device.queue_sizes().to_vec();
        let rings = (0..).zip(sizes).map(|(index, max)| Ring {
            gpa: RINGS + u64::from(STRIDE) * index,
            size: max.min(SIZE),
            descriptor: 0,
            available: 0,
            seen: 0,
        });
        self.rings = rings.collect();
        self.queues = self.rings.iter().map(Ring::queue).collect();
        for ring in &self.rings {
            let zeros = [0; STRIDE as usize];
            self.memory
                .write_slice(&zeros, GuestAddress(ring.gpa))
                .unwrap();
        }
        self.device.activate(features);
    }

    pub(crate) fn reset(&mut self, features: u64) {
        self.device.reset();
        self.activate(features);
    }

    /// Offers a buffer of these iovecs: address, bytes, flags but NEXT. Gives its head.
    pub(crate) fn offer(&mut self, queue: usize, iovecs: &[(u64, u32, u16)]) -> u16 {
        let ring = &mut self.rings[queue];
        let head = ring.descriptor % ring.size;
        for (at, (gpa, len, flags)) in iovecs.iter().enumerate() {
            let index = ring.descriptor % ring.size;
            ring.descriptor = (index + 1) % ring.size;
            let more = if at + 1 < iovecs.len() { NEXT } else { 0 };
            let entry = (*gpa, *len, flags | more, ring.descriptor);
            describe(&self.memory, ring.gpa + 16 * u64::from(index), entry);
        }
        self.make_available(queue, head);
        head
    }

    /// Writes a descriptor.
    pub(crate) fn describe(&self, queue: usize, index: u16, entry: Descriptor) {
        let gpa = self.rings[queue].gpa + 16 * u64::from(index);
        describe(&self.memory, gpa, entry);
    }

    /// Offers the chain that begins at `head`.
    pub(crate) fn make_available(&mut self, queue: usize, head: u16) {
        let ring = &mut self.rings[queue];
        let slot = ring.gpa + AVAILABLE + 4 + 2 * u64::from(ring.available % ring.size);
        ring.available = ring.available.wrapping_add(1);
        self.put(slot, &head.to_le_bytes());
        let ring = &self.rings[queue];
        self.put(ring.gpa + AVAILABLE + 2, &ring.available.to_le_bytes());
    }

    /// Notifies the device, and does its errands.
    pub(crate) fn process_queue(&mut self, queue: usize) -> Result<Notifications, NeedsReset> {
        let mut used = self
            .device
            .process_queue(queue, &mut self.queues, &self.memory)?;
        while let Some(deferred) = self.device.take_deferred() {
            deferred();
            used |= self.process_event()?;
        }
        Ok(used)
    }

    /// Lets the device find its source ready.
    pub(crate) fn process_event(&mut self) -> Result<Notifications, NeedsReset> {
        self.device.process_event(&mut self.queues, &self.memory)
    }

    /// Takes what was used since: heads and lengths.
    pub(crate) fn used(&mut self, queue: usize) -> Vec<(u32, u32)> {
        let ring = &mut self.rings[queue];
        let index = GuestAddress(ring.gpa + USED + 2);
        let index: u16 = self.memory.read_obj(index).unwrap();
        let mut used = Vec::new();
        while ring.seen != index {
            let entry = ring.gpa + USED + 4 + 8 * u64::from(ring.seen % ring.size);
            let word = |at| self.memory.read_obj(GuestAddress(at)).unwrap();
            used.push((word(entry), word(entry + 4)));
            ring.seen = ring.seen.wrapping_add(1);
        }
        used
    }

    pub(crate) fn put(&self, gpa: u64, bytes: &[u8]) {
        self.memory.write_slice(bytes, GuestAddress(gpa)).unwrap();
    }

    pub(crate) fn get(&self, gpa: u64, len: usize) -> Vec<u8> {
        let mut bytes = vec![0; len];
        self.memory
            .read_slice(&mut bytes, GuestAddress(gpa))
            .unwrap();
        bytes
    }
}

impl Ring {
    fn queue(&self) -> Queue {
        let mut queue = Queue::new(self.size).unwrap();
        queue
            .try_set_desc_table_address(GuestAddress(self.gpa))
            .unwrap();
        queue
            .try_set_avail_ring_address(GuestAddress(self.gpa + AVAILABLE))
            .unwrap();
        queue
            .try_set_used_ring_address(GuestAddress(self.gpa + USED))
            .unwrap();
        queue.set_ready(true);
        queue
    }
}

fn describe(memory: &GuestMemory, at: u64, entry: Descriptor) {
    let (gpa, len, flags, next) = entry;
    let bytes = [
        &gpa.to_le_bytes()[..],
        &len.to_le_bytes(),
        &flags.to_le_bytes(),
        &next.to_le_bytes(),
    ]
    .concat();
    memory.write_slice(&bytes, GuestAddress(at)).unwrap();
}

/// What no driver may do, as descriptors from index 0 on, of queue entries that the device
/// shall write (`flags` is WRITE) or read (0).
pub(crate) fn bad_chains(flags: u16) -> Vec<(&'static str, Vec<Descriptor>)> {
    let more = flags | NEXT;
    vec![
        ("a loop of one", vec![(BUFFERS, 64, more, 0)]),
        (
            "a loop of two",
            vec![(BUFFERS, 64, more, 1), (BUFFERS, 64, more, 0)],
        ),
        ("an index past the table", vec![(BUFFERS, 64, more, 999)]),
        ("across memory's end", vec![(END - 4, 64, flags, 0)]),
        (
            "around the address space",
            vec![(u64::MAX - 4, 64, flags, 0)],
        ),
        ("of 2^32 - 1 bytes", vec![(BUFFERS, u32::MAX, flags, 0)]),
        (
            "of 2^32 - 1 bytes and more",
            vec![(BUFFERS, u32::MAX, more, 1), (BUFFERS, u32::MAX, flags, 0)],
        ),
        ("empty", vec![(BUFFERS, 0, flags, 0)]),
        (
            "of the wrong direction",
            vec![(BUFFERS, 64, flags ^ WRITE, 0)],
        ),
        (
            "written before it is read",
            vec![(BUFFERS, 64, WRITE | NEXT, 1), (BUFFERS, 64, 0, 0)],
        ),
        (
            "in an indirect table that is none",
            vec![(BUFFERS, 17, INDIRECT, 0)],
        ),
        (
            "in an indirect table out of memory",
            vec![(END, 64, INDIRECT, 0)],
        ),
    ]
}
