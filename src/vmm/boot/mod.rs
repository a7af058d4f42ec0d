//! From a kernel file to a guest that is ready for its first instruction.

mod elf;
pub mod image;
pub mod layout;
mod linux;
mod multiboot;
mod notes;
mod pvh;
pub mod tables;
#[cfg(test)]
mod testing;

use std::fs::File;
use std::io::{self, Seek, SeekFrom};

use vm_memory::{Bytes, GuestAddress};

use super::error::{Error, KernelError};
use super::memory::{GuestMemory, checked_size, low_memory_end};
use image::{BootAbi, KernelImage};
use layout::{CMDLINE, CMDLINE_MAX, HOLE_END, HOLE_START, PAGE_SIZE};

/// How the processor stands at the kernel's first instruction.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct EntryState {
    pub mode: Mode,
    pub rip: u64,
    pub rsp: u64,
    pub rax: u64,
    pub rbx: u64,
    pub rsi: u64,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Mode {
    /// 64-bit, with paging over an identity map.
    Long64,
    /// 32-bit, flat segments, no paging.
    Protected32,
}

/// What every ABI tells the kernel, each in its own way.
#[derive(Debug, Clone, Copy)]
struct BootData {
    /// Bytes of guest memory.
    memory: u64,
    /// Bytes of the command line, with its zero byte.
    cmdline_size: u32,
    initrd: Option<Placed>,
}

/// A file in guest memory.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Placed {
    gpa: u64,
    size: u64,
}

/// Checks that the kernel and an initrd of `initrd_size` bytes (0: none) fit into a
/// machine with `memory` bytes.
///
/// # Errors
/// [`KernelError::TooLarge`], [`KernelError::BadSegment`] for a kernel that lies in the
/// hole below 4 GiB, [`Error::MemoryTooSmall`], [`Error::MemoryTooLarge`].
pub fn check_fits(image: &KernelImage, initrd_size: u64, memory: u64) -> Result<(), Error> {
    let memory = checked_size(memory)?;
    for segment in &image.segments {
        if segment.memory_end() > HOLE_START && segment.gpa < HOLE_END {
            return Err(Error::Kernel(KernelError::BadSegment {
                gpa: segment.gpa,
                size: segment.memory_size,
                fault: "lies in the hole between 3 and 4 GiB",
            }));
        }
    }
    place_initrd(image, initrd_size, memory).map(|_| ())
}

/// As high as possible below the hole, on a page of its own, past the kernel.
fn place_initrd(image: &KernelImage, size: u64, memory: u64) -> Result<Placed, Error> {
    let too_large = |needs| Error::Kernel(KernelError::TooLarge { needs, memory });
    let backed_end = match memory {
        0..=HOLE_START => memory,
        more => more - HOLE_START + HOLE_END,
    };
    if image.memory_end() > backed_end {
        return Err(too_large(image.memory_end()));
    }
    let below_hole = image
        .segments
        .iter()
        .map(|segment| segment.memory_end())
        .filter(|end| *end <= HOLE_START)
        .max()
        .unwrap_or(layout::BOOT_AREA_END);
    let needs = below_hole
        .next_multiple_of(PAGE_SIZE)
        .saturating_add(size)
        .saturating_add(PAGE_SIZE - 1)
        & !(PAGE_SIZE - 1);
    let top = low_memory_end(memory);
    if size > 0 && needs > top {
        return Err(too_large(needs));
    }
    Ok(Placed {
        gpa: (top - size) & !(PAGE_SIZE - 1),
        size,
    })
}

/// Loads everything into `memory`, which has `size` bytes, and prepares the entry.
pub fn load(
    memory: &GuestMemory,
    size: u64,
    kernel: &File,
    initrd: Option<&File>,
    cmdline: &str,
) -> Result<EntryState, Error> {
    let image = KernelImage::probe(kernel)?;
    let initrd_size = initrd.map(initrd_size).transpose()?;
    check_fits(&image, initrd_size.unwrap_or(0), size)?;
    write_cmdline(memory, cmdline)?;
    load_kernel(memory, kernel, &image)?;
    let boot = BootData {
        memory: size,
        cmdline_size: cmdline.len() as u32 + 1,
        initrd: initrd
            .zip(initrd_size)
            .map(|(file, bytes)| load_initrd(memory, file, place_initrd(&image, bytes, size)?))
            .transpose()?,
    };
    match image.abi {
        BootAbi::Linux64 => linux::prepare(memory, image.entry, &boot),
        BootAbi::Pvh => pvh::prepare(memory, image.entry, &boot),
        BootAbi::Multiboot1 => multiboot::prepare(memory, image.entry, &boot),
    }
}

/// The command line goes in as it is: linux-loader's `Cmdline` would trim it, and
/// Unikraft reads a trailing ` -- ` otherwise than its absence.
fn write_cmdline(memory: &GuestMemory, cmdline: &str) -> Result<(), Error> {
    let len = cmdline.len();
    if len >= CMDLINE_MAX {
        return Err(Error::CmdlineTooLong {
            len,
            max: CMDLINE_MAX - 1,
        });
    }
    if cmdline.contains('\0') {
        return Err(Error::CmdlineNul);
    }
    let mut bytes = cmdline.as_bytes().to_vec();
    bytes.push(0);
    memory
        .write_slice(&bytes, GuestAddress(CMDLINE))
        .map_err(Error::guest_memory(CMDLINE))
}

/// Memory past a segment's file part is zero already: the mapping is fresh, and no
/// segment overlaps another. Writing zeros would only make the host back the pages.
fn load_kernel(memory: &GuestMemory, file: &File, image: &KernelImage) -> Result<(), Error> {
    for segment in &image.segments {
        read_into(memory, segment.gpa, file, segment.offset, segment.file_size)
            .map_err(KernelError::Io)?;
    }
    Ok(())
}

fn load_initrd(memory: &GuestMemory, file: &File, placed: Placed) -> Result<Placed, Error> {
    read_into(memory, placed.gpa, file, 0, placed.size).map_err(Error::InitrdIo)?;
    Ok(placed)
}

fn initrd_size(file: &File) -> Result<u64, Error> {
    let metadata = file.metadata().map_err(Error::InitrdIo)?;
    match metadata.len() {
        _ if !metadata.is_file() => Err(Error::InitrdNotAFile),
        0 => Err(Error::InitrdEmpty),
        size => Ok(size),
    }
}

/// Reads `size` bytes of `file` at `offset` to the guest-physical address `gpa`.
fn read_into(
    memory: &GuestMemory,
    gpa: u64,
    mut file: &File,
    offset: u64,
    size: u64,
) -> io::Result<()> {
    file.seek(SeekFrom::Start(offset))?;
    let size = usize::try_from(size).map_err(io::Error::other)?;
    memory
        .read_exact_volatile_from(GuestAddress(gpa), &mut file, size)
        .map_err(io::Error::other)
}

#[cfg(test)]
mod tests {
    use super::testing::{CONTENT, ElfFile, file, load as segment};
    use super::*;
    use crate::vmm::memory;

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

    #[test]
    fn the_initrd_lies_as_high_as_possible_below_the_hole() {
        assert_eq!(placed(1, 4 * MIB), 4 * MIB - PAGE_SIZE);
        assert_eq!(placed(PAGE_SIZE + 1, 4 * MIB), 4 * MIB - 2 * PAGE_SIZE);
        assert_eq!(placed(MIB, 8 * GIB), 3 * GIB - MIB);
    }

    #[test]
    fn what_does_not_fit_says_how_much_it_needs() {
        let kernel = image(&ElfFile::kernel());
        let too_large = |initrd, memory| match check_fits(&kernel, initrd, memory) {
            Err(Error::Kernel(KernelError::TooLarge { needs, .. })) => Some(needs),
            Ok(()) => None,
            Err(other) => panic!("{other}"),
        };
        // The kernel ends in the first page past 1 MiB.
        let room = MIB - PAGE_SIZE;
        assert_eq!(too_large(room, 2 * MIB), None);
        assert_eq!(too_large(room + 1, 2 * MIB), Some(2 * MIB + PAGE_SIZE));
        assert_eq!(too_large(u64::MAX, 2 * MIB), Some(!(PAGE_SIZE - 1)));
        let mut elf = ElfFile::kernel();
        elf.program_headers[0].memory_size = 2 * MIB;
        let large = image(&elf);
        assert!(check_fits(&large, 0, 3 * MIB).is_ok());
        assert!(check_fits(&large, 0, 3 * MIB - 1).is_err());
    }

    #[test]
    fn a_kernel_in_the_hole_or_past_all_memory_is_refused() {
        let mut elf = ElfFile::kernel();
        elf.program_headers.push(segment(3 * GIB, 1, 1));
        let fault = check_fits(&image(&elf), 0, 8 * GIB).unwrap_err();
        assert!(fault.to_string().contains("hole"), "{fault}");
        elf.program_headers[1].address = 4 * GIB;
        assert!(check_fits(&image(&elf), 0, 8 * GIB).is_ok());
        assert!(check_fits(&image(&elf), 0, 2 * GIB).is_err());
        assert!(matches!(
            check_fits(&image(&elf), 0, MIB),
            Err(Error::MemoryTooSmall { .. })
        ));
    }

    #[test]
    fn kernel_initrd_and_command_line_arrive_in_memory() {
        let mut elf = ElfFile::kernel();
        elf.content[..4].copy_from_slice(b"code");
        let size = 4 * MIB;
        let memory = memory::allocate(size).unwrap();
        let initrd = file(b"initrd");
        let entry = load(&memory, size, &elf.file(), Some(&initrd), "a  b -- ").unwrap();
        assert_eq!((entry.mode, entry.rip), (Mode::Long64, MIB));
        let bytes = |gpa, len| {
            let mut bytes = vec![0xaa; len];
            memory.read_slice(&mut bytes, GuestAddress(gpa)).unwrap();
            bytes
        };
        assert_eq!(bytes(MIB, 4), b"code");
        assert_eq!(bytes(MIB + 0x100, 0x100), [0; 0x100], "zeroed memory");
        assert_eq!(bytes(size - PAGE_SIZE, 7), b"initrd\0");
        assert_eq!(bytes(CMDLINE, 9), b"a  b -- \0", "byte for byte");
        assert!(
            elf.bytes().len() as u64 > CONTENT + 0x200,
            "the file went on"
        );
    }

    #[test]
    fn command_lines_and_initrds_are_checked() {
        let memory = memory::allocate(4 * MIB).unwrap();
        let load = |initrd: Option<&File>, cmdline: &str| {
            load(&memory, 4 * MIB, &ElfFile::kernel().file(), initrd, cmdline)
        };
        assert!(load(None, &"x".repeat(CMDLINE_MAX - 1)).is_ok());
        assert!(matches!(
            load(None, &"x".repeat(CMDLINE_MAX)),
            Err(Error::CmdlineTooLong { .. })
        ));
        assert!(matches!(load(None, "a\0b"), Err(Error::CmdlineNul)));
        assert!(matches!(
            load(Some(&file(b"")), ""),
            Err(Error::InitrdEmpty)
        ));
        let folder = File::open("/").unwrap();
        assert!(matches!(
            load(Some(&folder), ""),
            Err(Error::InitrdNotAFile)
        ));
    }
}
