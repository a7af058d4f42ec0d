//! Whether a kernel and its initrd fit into a machine, and where the initrd goes.

use super::program::{Program, Segment};
use crate::arch::layout::{HIGH_RAM_START, HOLE_END, HOLE_START, PAGE_SIZE};
use crate::error::Error;
use crate::memory::low_memory_end;

/// A file in guest memory.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Placed {
    /// Guest-physical address of the first byte.
    pub gpa: u64,
    /// Bytes.
    pub size: u64,
}

/// Where an initrd of `size` bytes (0: there is none) goes in a machine with `memory` bytes: as
/// high as possible below the hole, on pages of its own, past the kernel and past the first MiB,
/// which is not all memory.
///
/// # Errors
/// [`Error::KernelTooLarge`], [`Error::InitrdTooLarge`], [`KernelError::BadSegment`](crate::KernelError::BadSegment) for a kernel
/// that lies in the hole below 4 GiB.
pub(super) fn place_below_hole(program: &Program, size: u64, memory: u64) -> Result<Placed, Error> {
    check_kernel(program, memory)?;
    let kernel_end = program
        .segments
        .iter()
        .map(Segment::memory_end)
        .filter(|end| *end <= HOLE_START)
        .fold(HIGH_RAM_START, u64::max)
        .next_multiple_of(PAGE_SIZE);
    let needs = kernel_end.saturating_add(size);
    let end = program.limits.initrd_end;
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

fn check_kernel(program: &Program, memory: u64) -> Result<(), Error> {
    for segment in &program.segments {
        if segment.memory_end() > HOLE_START && segment.gpa < HOLE_END {
            let fault = "lies in the hole between 3 and 4 GiB";
            return Err(Error::Kernel(segment.fault(fault)));
        }
    }
    // A machine whose memory ends at an address past the hole has that much less of it.
    let needs = match program.memory_end() {
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
    use crate::boot::KernelImage;
    use crate::boot::testing::{ElfFile, load};

    const MIB: u64 = 1 << 20;
    const GIB: u64 = 1 << 30;

    fn image(elf: &ElfFile) -> KernelImage {
        KernelImage::probe(&elf.file()).unwrap()
    }

    fn placed(size: u64, memory: u64) -> u64 {
        image(&ElfFile::kernel())
            .place_initrd(size, memory)
            .unwrap()
            .gpa
    }

    #[track_caller]
    fn fault(image: &KernelImage, initrd: u64, memory: u64) -> String {
        image.check_fits(initrd, memory).unwrap_err().to_string()
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
        assert!(kernel.check_fits(room, 2 * MIB).is_ok());
        assert_eq!(
            fault(&kernel, room + 1, 2 * MIB),
            "the kernel and its initrd need 3 MiB of memory, the machine has 2 MiB: \
             give it more memory"
        );
        let mut elf = ElfFile::kernel();
        elf.program_headers[0].memory_size = 2 * MIB;
        let large = image(&elf);
        assert!(large.check_fits(0, 3 * MIB).is_ok());
        assert_eq!(
            fault(&large, 0, 3 * MIB - 1),
            "the kernel needs 3 MiB of memory, the machine has 2 MiB: give it more memory"
        );
    }

    #[test]
    fn an_initrd_that_no_machine_has_room_for_says_so() {
        let kernel = image(&ElfFile::kernel());
        let room = 3 * GIB - MIB - PAGE_SIZE;
        assert!(kernel.check_fits(room, 8 * GIB).is_ok());
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
        assert_eq!(low.place_initrd(MIB, 2 * MIB).unwrap().gpa, MIB);
        assert!(low.check_fits(MIB + 1, 2 * MIB).is_err());
    }

    #[test]
    fn a_kernel_in_the_hole_or_past_all_memory_is_refused() {
        let mut elf = ElfFile::kernel();
        elf.program_headers.push(load(3 * GIB, 1, 1));
        let found = fault(&image(&elf), 0, 8 * GIB);
        assert!(found.contains("hole"), "{found}");
        elf.program_headers[1].address = 4 * GIB;
        assert!(image(&elf).check_fits(0, 3 * GIB + PAGE_SIZE).is_ok());
        assert_eq!(
            fault(&image(&elf), 0, 2 * GIB),
            "the kernel needs 3073 MiB of memory, the machine has 2 GiB: give it more memory"
        );
        assert!(matches!(
            image(&elf).check_fits(0, MIB),
            Err(Error::MemoryTooSmall { .. })
        ));
    }
}
