//! Guest memory: one or two mappings around the hole below 4 GiB, anonymous unless another process
//! is to have them too.
//!
//! A core dump would hold it all: whoever runs a machine makes the process not dumpable.

use std::fs::File;
use std::io;
use std::os::fd::{AsRawFd, RawFd};

use kvm_bindings::kvm_userspace_memory_region;
use kvm_ioctls::VmFd;
use vm_memory::{FileOffset, GuestAddress, GuestMemoryBackend, GuestMemoryMmap, GuestMemoryRegion};

use super::arch::layout::{HIGH_RAM_START, HOLE_END, HOLE_START, LOW_RAM_END, PAGE_SIZE};
use super::error::Error;
use super::memfd;

/// The least memory that a machine can have, in bytes: the first MiB, which holds
/// the boot structures, and one more for a kernel.
pub const MIN_MEMORY: u64 = 2 << 20;

/// The most, in bytes: less than a memory slot of KVM takes (2^31 - 1 pages), and nowhere
/// near the end of the address space.
pub const MAX_MEMORY: u64 = 1 << 42;

/// Guest memory as the whole monitor sees it.
pub(crate) type GuestMemory = GuestMemoryMmap<()>;

/// A range of guest-physical addresses that the guest may use as memory.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct RamRange {
    pub start: u64,
    pub size: u64,
}

/// The first guest-physical address past the memory below the hole, of a machine
/// with `memory` bytes.
pub(crate) fn low_memory_end(memory: u64) -> u64 {
    memory.min(HOLE_START)
}

/// Where `memory` bytes lie in the guest's physical address space.
fn backed_ranges(memory: u64) -> Vec<RamRange> {
    let low = low_memory_end(memory);
    let mut ranges = vec![RamRange {
        start: 0,
        size: low,
    }];
    if memory > low {
        ranges.push(RamRange {
            start: HOLE_END,
            size: memory - low,
        });
    }
    ranges
}

/// The memory map to tell the guest: what of its memory it may use.
///
/// The range from the end of conventional memory to 1 MiB is left out rather than
/// called reserved: Unikraft 0.16 adds its own reserved entry there and asserts that
/// no two overlap.
pub(crate) fn usable_ranges(memory: u64) -> Vec<RamRange> {
    let mut ranges = vec![RamRange {
        start: 0,
        size: LOW_RAM_END,
    }];
    for range in backed_ranges(memory) {
        let start = range.start.max(HIGH_RAM_START);
        ranges.push(RamRange {
            start,
            size: range.start + range.size - start,
        });
    }
    ranges
}

/// The bytes that a machine of `memory` bytes really has: whole pages.
///
/// # Errors
/// [`Error::MemoryTooSmall`] below [`MIN_MEMORY`], [`Error::MemoryTooLarge`] above
/// [`MAX_MEMORY`].
pub(crate) fn checked_size(memory: u64) -> Result<u64, Error> {
    if memory < MIN_MEMORY {
        return Err(Error::MemoryTooSmall {
            memory,
            min: MIN_MEMORY,
        });
    }
    if memory > MAX_MEMORY {
        return Err(Error::MemoryTooLarge {
            memory,
            max: MAX_MEMORY,
        });
    }
    Ok(memory & !(PAGE_SIZE - 1))
}

/// Maps `memory` bytes of guest memory, a size that [`checked_size`] gave. The host gives
/// pages only when they are touched.
///
/// # Errors
/// [`Error::MemoryMap`] where the host has no room for the mapping.
pub(crate) fn allocate(memory: u64) -> Result<GuestMemory, Error> {
    let ranges: Vec<(GuestAddress, usize)> = backed_ranges(memory)
        .into_iter()
        .map(|range| (GuestAddress(range.start), len(range.size)))
        .collect();
    GuestMemory::from_ranges(&ranges).map_err(Error::memory_map(memory))
}

/// As [`allocate`], in one piece from the guest-physical address `start` on.
///
/// # Errors
/// [`Error::MemoryMap`] likewise.
pub(crate) fn allocate_from(start: u64, memory: u64) -> Result<GuestMemory, Error> {
    let range = (GuestAddress(start), len(memory));
    GuestMemory::from_ranges(&[range]).map_err(Error::memory_map(memory))
}

/// As [`allocate`], of a file in memory that keeps its size (memfd_create(2)): whoever gets its
/// descriptor can map the same pages.
///
/// # Errors
/// [`Error::MemoryMap`] likewise.
pub(crate) fn allocate_shared(memory: u64) -> Result<GuestMemory, Error> {
    let file = memory_file(memory).map_err(Error::memory_map(memory))?;
    let mut ranges = Vec::new();
    let mut offset = 0;
    for range in backed_ranges(memory) {
        let part = file.try_clone().map_err(Error::memory_map(memory))?;
        let part = FileOffset::new(part, offset);
        ranges.push((GuestAddress(range.start), len(range.size), Some(part)));
        offset += range.size;
    }
    GuestMemory::from_ranges_with_files(ranges).map_err(Error::memory_map(memory))
}

/// Bytes of a mapping; what no mapping has room for stays that.
fn len(bytes: u64) -> usize {
    usize::try_from(bytes).unwrap_or(usize::MAX)
}

fn memory_file(size: u64) -> io::Result<File> {
    let file = memfd::create(c"guest")?;
    file.set_len(size)?;
    // Who has the descriptor could cut it, and a mapping of what is cut off is a SIGBUS here.
    memfd::seal_size(&file)?;
    Ok(file)
}

/// The file descriptors of memory that can be shared.
pub(crate) fn descriptors(memory: &GuestMemory) -> Vec<RawFd> {
    let files = memory.iter().filter_map(|region| region.file_offset());
    files.map(|part| part.file().as_raw_fd()).collect()
}

/// Makes `memory` the guest's physical memory. The [`Vcpu`](super::vcpu::Vcpu) keeps it mapped:
/// nothing else runs the guest.
pub(crate) fn register(vm: &VmFd, memory: &GuestMemory) -> Result<(), Error> {
    for (slot, region) in (0..).zip(memory.iter()) {
        let slot = kvm_userspace_memory_region {
            slot,
            flags: 0,
            guest_phys_addr: region.start_addr().0,
            memory_size: region.len(),
            userspace_addr: region.as_ptr() as u64,
        };
        // SAFETY: the range is a live mapping of exactly this size. KVM touches it only for
        // the vCPU, which holds the memory until it is closed itself.
        unsafe { vm.set_user_memory_region(slot) }
            .map_err(Error::kvm("KVM_SET_USER_MEMORY_REGION"))?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::FileExt;

    use vm_memory::Bytes;

    use super::*;

    const GIB: u64 = 1 << 30;

    #[test]
    fn the_hole_below_4_gib_holds_no_memory() {
        assert_eq!(
            backed_ranges(5 * GIB),
            [
                RamRange {
                    start: 0,
                    size: 3 * GIB
                },
                RamRange {
                    start: 4 * GIB,
                    size: 2 * GIB
                },
            ]
        );
        assert_eq!(backed_ranges(3 * GIB).len(), 1);
        assert_eq!(backed_ranges(3 * GIB + PAGE_SIZE)[1].size, PAGE_SIZE);
    }

    #[test]
    fn usable_memory_leaves_out_the_legacy_area() {
        assert_eq!(
            usable_ranges(MIN_MEMORY),
            [
                RamRange {
                    start: 0,
                    size: 0x9_fc00
                },
                RamRange {
                    start: 0x10_0000,
                    size: 0x10_0000
                },
            ]
        );
        let high = usable_ranges(4 * GIB);
        assert_eq!(
            high[2],
            RamRange {
                start: 4 * GIB,
                size: GIB
            }
        );
    }

    #[test]
    fn sizes_are_whole_pages_and_not_too_small() {
        assert_eq!(checked_size(MIN_MEMORY + 5000).unwrap(), MIN_MEMORY + 4096);
        assert!(matches!(
            checked_size(MIN_MEMORY - 1),
            Err(Error::MemoryTooSmall { .. })
        ));
        for memory in [MAX_MEMORY + 1, u64::MAX] {
            assert!(matches!(
                checked_size(memory),
                Err(Error::MemoryTooLarge { .. })
            ));
        }
    }

    #[test]
    fn allocated_memory_has_the_size_asked_for() {
        let memory = allocate(4 * GIB).unwrap();
        assert_eq!(memory.iter().map(|r| r.len()).sum::<u64>(), 4 * GIB);
        assert!(!memory.address_in_range(GuestAddress(HOLE_START)));
        assert!(memory.address_in_range(GuestAddress(HOLE_END)));
        assert!(descriptors(&memory).is_empty());
    }

    #[test]
    fn shared_memory_is_one_file_around_the_hole_and_keeps_its_size() {
        let memory = allocate_shared(4 * GIB).unwrap();
        assert!(!memory.address_in_range(GuestAddress(HOLE_START)));
        let above = GuestAddress(HOLE_END + 8);
        memory.write_obj(7u8, above).unwrap();
        let regions: Vec<_> = memory.iter().collect();
        let offsets = regions.iter().map(|r| r.file_offset().unwrap().start());
        assert_eq!(offsets.collect::<Vec<_>>(), [0, 3 * GIB]);
        assert_eq!(descriptors(&memory).len(), 2);
        let file = regions[0].file_offset().unwrap().file();
        let mut byte = [0];
        file.read_at(&mut byte, 3 * GIB + 8).unwrap();
        assert_eq!(byte, [7]);
        for size in [0, 5 * GIB] {
            assert!(file.set_len(size).is_err());
        }
    }
}
