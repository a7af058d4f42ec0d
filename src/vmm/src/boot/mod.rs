//! From a kernel file to a guest that is ready for its first instruction.
//!
//! | module | what it knows |
//! |---|---|
//! | [`image`] | what a kernel file is, by its headers ([`elf`]) and notes ([`notes`]) |
//! | [`place`] | whether kernel and initrd fit into a machine, and where the initrd goes |
//! | [`linux`], [`pvh`], [`multiboot`] | one boot ABI each: what the kernel is told and how it is entered |
//! | [`bzimage`] | Linux's kernel as distributions ship it |
//! | [`gzip`], [`tar`] | Hermit's kernels as they are shipped |
//! | [`hermit`], [`solo5`] | likewise, each with its notes |
//! | [`tables`] | descriptor and page tables |
//! | [`layout`] | where things lie in guest memory |

mod bzimage;
mod elf;
pub(crate) mod gzip;
pub(crate) mod hermit;
pub(crate) mod image;
pub(crate) mod layout;
mod linux;
mod multiboot;
mod notes;
pub(crate) mod place;
mod pvh;
mod segment;
pub(crate) mod solo5;
#[cfg(test)]
mod spoilt;
pub(crate) mod tables;
mod tar;
#[cfg(test)]
pub(crate) mod testing;

use std::fs::File;
use std::io::{self, Seek, SeekFrom};

use vm_memory::{Bytes, GuestAddress, GuestMemoryBackend, ReadVolatile, VolatileMemoryError};

use super::acpi;
use super::config::MachineConfig;
use super::devices::virtio::slots::DeviceSlots;
use super::error::{Error, KernelError};
use super::memory::GuestMemory;
use image::{BootAbi, KernelImage};
use layout::CMDLINE;
use place::place_initrd;
pub(crate) use place::{allocate, memory_size};

/// How the processor stands at the kernel's first instruction.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct EntryState {
    pub mode: Mode,
    pub rip: u64,
    pub rsp: u64,
    pub rax: u64,
    pub rbx: u64,
    pub rsi: u64,
    pub rdi: u64,
    /// Where the kernel reads the TSC's frequency, 8 bytes of Hz: a guest-physical address.
    pub frequency: Option<u64>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Mode {
    /// 64-bit, with paging over an identity map.
    Long64,
    /// 32-bit, flat segments, no paging.
    Protected32,
    /// 64-bit, over Solo5's tables.
    Solo5,
    /// 64-bit, over Hermit's tables, which lie at the machine's first address.
    Hermit { start: u64 },
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
pub(crate) struct Placed {
    pub gpa: u64,
    pub size: u64,
}

/// What [`load`] has put into guest memory.
#[derive(Debug)]
pub(crate) struct Loaded {
    /// Bytes of guest memory.
    memory: u64,
    initrd: Option<Placed>,
    /// A bzImage's own.
    setup_header: Option<Vec<u8>>,
}

/// What a kernel is told, besides what is in its memory.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Told<'a> {
    pub cmdline: &'a str,
    pub vcpus: u8,
    /// How fast the vCPU's TSC counts, if that is known.
    pub tsc_khz: Option<u32>,
    /// Where a Hermit guest finds the container's files: directories of its root.
    pub dirs: &'a [String],
    /// Where virtio devices are.
    pub places: &'a DeviceSlots,
}

/// Loads kernel and initrd into `memory`, which has `size` bytes and is all zeros. `image` is
/// what the kernel was probed to be.
///
/// The files may change meanwhile: that can only make the guest another one.
///
/// # Errors
/// What [`check_fits`] finds, an unreadable file.
pub(crate) fn load(
    memory: &GuestMemory,
    size: u64,
    image: &KernelImage,
    kernel: &File,
    initrd: Option<&File>,
) -> Result<Loaded, Error> {
    let initrd_size = initrd.map_or(Ok(0), initrd_size)?;
    let place = place_initrd(image, initrd_size, size)?;
    load_kernel(memory, kernel, image)?;
    let initrd = initrd
        .map(|file| load_initrd(memory, file, place))
        .transpose()?;
    let setup_header = match image.abi {
        BootAbi::BzImage => Some(bzimage::setup_header(kernel)?),
        _ => None,
    };
    Ok(Loaded {
        memory: size,
        initrd,
        setup_header,
    })
}

/// Tells the kernel that was loaded all else, and prepares the entry of the first vCPU. To tell
/// it again takes the place of what it was told before.
///
/// # Errors
/// [`Error::CmdlineTooLong`], [`Error::CmdlineNul`].
pub(crate) fn tell(
    memory: &GuestMemory,
    image: &KernelImage,
    loaded: &Loaded,
    told: &Told<'_>,
) -> Result<EntryState, Error> {
    let cmdline = told.cmdline;
    // The others have their own places for all this.
    if image.abi != BootAbi::Solo5 && image.abi != BootAbi::Hermit {
        write_cmdline(memory, cmdline, CMDLINE, image.limits.cmdline + 1)?;
        acpi::write(memory, told.vcpus, told.places)?;
    }
    let boot = BootData {
        memory: loaded.memory,
        cmdline_size: cmdline.len() as u32 + 1,
        initrd: loaded.initrd,
    };
    match image.abi {
        BootAbi::Linux64 | BootAbi::BzImage => {
            linux::prepare(memory, image.entry, &boot, loaded.setup_header.as_deref())
        }
        BootAbi::Pvh => pvh::prepare(memory, image.entry, &boot),
        BootAbi::Multiboot1 => multiboot::prepare(memory, image.entry, &boot),
        BootAbi::Solo5 => solo5::start::prepare(memory, loaded.memory, image, cmdline),
        BootAbi::Hermit => hermit::start::prepare(memory, image, loaded, told),
    }
}

/// Loads a guest into memory that nobody runs: as much of making a machine as needs no KVM.
///
/// # Errors
/// Those of [`Prepared::new`](super::Prepared::new) that are the files' or the sizes'.
pub fn rehearse(config: &MachineConfig, kernel: &File, initrd: Option<&File>) -> Result<(), Error> {
    let image = KernelImage::probe(kernel)?;
    let size = memory_size(&image, config.memory)?;
    let memory = allocate(&image, size)?;
    let loaded = load(&memory, size, &image, kernel, initrd)?;
    let told = Told {
        cmdline: &config.cmdline,
        vcpus: config.vcpus,
        tsc_khz: None,
        dirs: &[],
        places: &DeviceSlots::NONE,
    };
    tell(&memory, &image, &loaded, &told).map(|_| ())
}

/// The command line goes in as it is: linux-loader's `Cmdline` would trim it, and
/// Unikraft reads a trailing ` -- ` otherwise than its absence.
///
/// It goes to `gpa`; `room` is what it has there in bytes, with its zero byte.
fn write_cmdline(memory: &GuestMemory, cmdline: &str, gpa: u64, room: usize) -> Result<(), Error> {
    let len = cmdline.len();
    if len >= room {
        let max = room - 1;
        return Err(Error::CmdlineTooLong { len, max });
    }
    if cmdline.contains('\0') {
        return Err(Error::CmdlineNul);
    }
    let mut bytes = cmdline.as_bytes().to_vec();
    bytes.push(0);
    memory
        .write_slice(&bytes, GuestAddress(gpa))
        .map_err(Error::guest_memory(gpa))
}

/// Memory past a segment's file part is zero already: the mapping is fresh, and no
/// segment overlaps another. Writing zeros would only make the host back the pages.
fn load_kernel(memory: &GuestMemory, file: &File, image: &KernelImage) -> Result<(), Error> {
    for segment in image.segments.iter().filter(|s| s.file_size > 0) {
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
    let mut place = memory
        .get_slice(GuestAddress(gpa), size)
        .map_err(io::Error::other)?;
    // Guest memory's own `read_exact_volatile_from` reads once, and one read gives 2 GiB at most.
    file.read_exact_volatile(&mut place).map_err(|e| match e {
        VolatileMemoryError::IOError(e) if e.kind() == io::ErrorKind::UnexpectedEof => {
            io::Error::other("it became shorter while it was read")
        }
        VolatileMemoryError::IOError(e) => e,
        other => io::Error::other(other),
    })
}

#[cfg(test)]
mod tests {
    use super::layout::{CMDLINE_MAX, PAGE_SIZE};
    use super::testing::{CONTENT, ElfFile, file, load_guest, told};
    use super::*;
    use crate::memory;

    const MIB: u64 = 1 << 20;

    #[test]
    fn kernel_initrd_and_command_line_arrive_in_memory() {
        let mut elf = ElfFile::kernel();
        elf.content[..4].copy_from_slice(b"code");
        let size = 4 * MIB;
        let memory = memory::allocate(size).unwrap();
        let initrd = file(b"initrd");
        let kernel = elf.file();
        let image = KernelImage::probe(&kernel).unwrap();
        let files = (&kernel, Some(&initrd));
        let entry = load_guest(&memory, size, &image, files, &told("a  b -- ")).unwrap();
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
        let kernel = ElfFile::kernel().file();
        let image = KernelImage::probe(&kernel).unwrap();
        let load = |initrd: Option<&File>, cmdline: &str| {
            load_guest(&memory, 4 * MIB, &image, (&kernel, initrd), &told(cmdline))
        };
        assert!(load(None, &"x".repeat(CMDLINE_MAX - 1)).is_ok());
        assert!(matches!(
            load(None, &"x".repeat(CMDLINE_MAX)),
            Err(Error::CmdlineTooLong { .. })
        ));
        assert!(matches!(load(None, "a\0b"), Err(Error::CmdlineNul)));
        let linux = ElfFile::kernel().with_note(b"Linux", 0x101, &[0]).file();
        let long = "x".repeat(2048);
        let image = KernelImage::probe(&linux).unwrap();
        let fault = load_guest(&memory, 4 * MIB, &image, (&linux, None), &told(&long)).unwrap_err();
        assert!(fault.to_string().contains("at most 2047"), "{fault}");
        assert!(matches!(
            load(Some(&file(b"")), ""),
            Err(Error::InitrdEmpty)
        ));
        let dir = File::open("/").unwrap();
        assert!(matches!(load(Some(&dir), ""), Err(Error::InitrdNotAFile)));
    }

    #[test]
    fn files_that_become_shorter_meanwhile_are_errors() {
        let memory = memory::allocate(4 * MIB).unwrap();
        let kernel = ElfFile::kernel().file();
        let image = KernelImage::probe(&kernel).unwrap();
        kernel.set_len(CONTENT + 0x80).unwrap();
        let fault = load_kernel(&memory, &kernel, &image).unwrap_err();
        assert_eq!(
            fault.to_string(),
            "the kernel cannot be read: it became shorter while it was read"
        );
        let placed = Placed {
            gpa: 2 * MIB,
            size: 7,
        };
        let fault = load_initrd(&memory, &file(b"initrd"), placed).unwrap_err();
        assert!(fault.to_string().contains("became shorter"), "{fault}");
    }
}
