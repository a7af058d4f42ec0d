//! Whether a kernel and its initrd fit into a machine, and where the initrd goes.

use super::Placed;
use super::image::BootAbi;
use super::image::{KernelImage, Segment};
use super::{hermit, solo5};
use crate::arch::layout::{HIGH_RAM_START, HOLE_END, HOLE_START, PAGE_SIZE};
use crate::error::{Error, KernelError};
use crate::memory::{self, GuestMemory, MAX_MEMORY, checked_size, low_memory_end};

/// Checks that the kernel and an initrd of `initrd_size` bytes (0: none) fit into a
/// machine with `memory` bytes.
///
/// # Errors
/// [`Error::KernelTooLarge`], [`Error::InitrdTooLarge`], [`KernelError::BadSegment`] for a
/// kernel that lies in the hole below 4 GiB, [`Error::MemoryTooSmall`],
/// [`Error::MemoryTooLarge`], [`Error::InitrdUnwanted`].
pub fn check_fits(image: &KernelImage, initrd_size: u64, memory: u64) -> Result<(), Error> {
    place_initrd(image, initrd_size, memory).map(|_| ())
}

/// As [`check_fits`], and says where the initrd goes: as high as possible below the hole, on
/// pages of its own, past the kernel and past the first MiB, which is not all memory.
pub(super) fn place_initrd(image: &KernelImage, size: u64, memory: u64) -> Result<Placed, Error> {
    let memory = memory_size(image, memory)?;
    if image.abi == BootAbi::Hermit {
        return hermit::place(image, size, memory);
    }
    if image.abi == BootAbi::Solo5 {
        solo5::check_fits(image, size, memory)?;
    }
    check_kernel(image, memory)?;
    let kernel_end = image
        .segments
        .iter()
        .map(Segment::memory_end)
        .filter(|end| *end <= HOLE_START)
        .fold(HIGH_RAM_START, u64::max)
        .next_multiple_of(PAGE_SIZE);
    let needs = kernel_end.saturating_add(size);
    let end = image.limits.initrd_end;
    if size > 0 && needs > end {
        let max = end.saturating_sub(kernel_end);
        return Err(Error::InitrdTooLarge { size, max, end });
    }
    let needs = needs.next_multiple_of(PAGE_SIZE);
    let top = low_memory_end(memory).min(end);
    if size > 0 && needs > top {
        let what = "the kernel and its initrd need";
        return Err(Error::KernelTooLarge {
            what,
            needs,
            memory,
        });
    }
    Ok(Placed {
        gpa: top.saturating_sub(size) & !(PAGE_SIZE - 1),
        size,
    })
}

/// The bytes that a machine of `memory` bytes really has for this kernel.
///
/// # Errors
/// [`Error::MemoryTooSmall`], [`Error::MemoryTooLarge`].
pub fn memory_size(image: &KernelImage, memory: u64) -> Result<u64, Error> {
    match image.abi {
        BootAbi::Hermit => hermit::memory_size(&image.hermit, memory),
        BootAbi::Solo5 => solo5::memory_size(memory),
        _ => checked_size(memory),
    }
}

/// The most memory that this kernel can be given, in bytes.
pub fn max_memory(image: &KernelImage) -> u64 {
    match image.abi {
        BootAbi::Hermit => image.hermit.max_memory(),
        BootAbi::Solo5 => solo5::MAX_MEMORY,
        _ => MAX_MEMORY,
    }
}

/// Maps `size` bytes of guest memory, which [`memory_size`] gave, where this kernel has its
/// memory.
///
/// # Errors
/// [`Error::MemoryMap`] where the host has no room for the mapping.
pub(crate) fn allocate(image: &KernelImage, size: u64) -> Result<GuestMemory, Error> {
    match image.abi {
        BootAbi::Hermit => memory::allocate_from(image.hermit.memory_start(), size),
        _ => memory::allocate(size),
    }
}

fn check_kernel(image: &KernelImage, memory: u64) -> Result<(), Error> {
    for segment in &image.segments {
        if segment.memory_end() > HOLE_START && segment.gpa < HOLE_END {
            return Err(Error::Kernel(KernelError::BadSegment {
                gpa: segment.gpa,
                size: segment.memory_size,
                fault: "lies in the hole between 3 and 4 GiB",
            }));
        }
    }
    // A machine whose memory ends at an address past the hole has that much less of it.
    let needs = match image.memory_end() {
        end @ ..=HOLE_START => end,
        end => end - (HOLE_END - HOLE_START),
    };
    if needs > memory {
        let what = "the kernel needs";
        return Err(Error::KernelTooLarge {
            what,
            needs,
            memory,
        });
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::boot::testing::{ElfFile, load};

    const MIB: u64 = 1 << 20;
    const GIB: u64 = 1 << 30;

    fn image(elf: &ElfFile) -> KernelImage {
        KernelImage::probe(&elf.file()).unwrap()
    }

    fn placed(size: u64, memory: u64) -> u64 {
        place_initrd(&image(&ElfFile::kernel()), size, memory)
            .unwrap()
            .gpa
    }

    #[track_caller]
    fn fault(image: &KernelImage, initrd: u64, memory: u64) -> String {
        check_fits(image, initrd, memory).unwrap_err().to_string()
    }

    #[test]
    fn the_initrd_lies_as_high_as_possible_below_the_hole() {
        assert_eq!(placed(1, 4 * MIB), 4 * MIB - PAGE_SIZE);
        assert_eq!(placed(PAGE_SIZE + 1, 4 * MIB), 4 * MIB - 2 * PAGE_SIZE);
        assert_eq!(placed(MIB, 8 * GIB), 3 * GIB - MIB);
    }

    #[test]
    fn what_does_not_fit_says_how_much_it_needs() {
        let kernel = image(&ElfFile::kernel());
        // The kernel ends in the first page past 1 MiB.
        let room = MIB - PAGE_SIZE;
        assert!(check_fits(&kernel, room, 2 * MIB).is_ok());
        assert_eq!(
            fault(&kernel, room + 1, 2 * MIB),
            "the kernel and its initrd need 3 MiB of memory, the machine has 2 MiB: \
             give it more memory"
        );
        let mut elf = ElfFile::kernel();
        elf.program_headers[0].memory_size = 2 * MIB;
        let large = image(&elf);
        assert!(check_fits(&large, 0, 3 * MIB).is_ok());
        assert_eq!(
            fault(&large, 0, 3 * MIB - 1),
            "the kernel needs 3 MiB of memory, the machine has 2 MiB: give it more memory"
        );
    }

    #[test]
    fn an_initrd_that_no_machine_has_room_for_says_so() {
        let kernel = image(&ElfFile::kernel());
        let room = 3 * GIB - MIB - PAGE_SIZE;
        assert!(check_fits(&kernel, room, 8 * GIB).is_ok());
        for size in [room + 1, u64::MAX] {
            let found = fault(&kernel, size, 8 * GIB);
            assert!(found.contains("below 3 GiB"), "{found}");
        }
    }

    /// A kernel may lie low, but the video memory and ROMs below 1 MiB are not memory.
    #[test]
    fn the_initrd_lies_past_the_first_mib() {
        let elf = ElfFile {
            entry: 0x3_0000,
            program_headers: vec![load(0x3_0000, 0x100, 0x100)],
            ..ElfFile::kernel()
        };
        let low = image(&elf);
        assert_eq!(place_initrd(&low, MIB, 2 * MIB).unwrap().gpa, MIB);
        assert!(check_fits(&low, MIB + 1, 2 * MIB).is_err());
    }

    #[test]
    fn a_kernel_in_the_hole_or_past_all_memory_is_refused() {
        let mut elf = ElfFile::kernel();
        elf.program_headers.push(load(3 * GIB, 1, 1));
        let found = fault(&image(&elf), 0, 8 * GIB);
        assert!(found.contains("hole"), "{found}");
        elf.program_headers[1].address = 4 * GIB;
        assert!(check_fits(&image(&elf), 0, 3 * GIB + PAGE_SIZE).is_ok());
        assert_eq!(
            fault(&image(&elf), 0, 2 * GIB),
            "the kernel needs 3073 MiB of memory, the machine has 2 GiB: give it more memory"
        );
        assert!(matches!(
            check_fits(&image(&elf), 0, MIB),
            Err(Error::MemoryTooSmall { .. })
        ));
    }
}
