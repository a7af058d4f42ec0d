//! From a kernel file to a guest that is ready for its first instruction.

use std::fs::File;
use std::io::{self, Seek, SeekFrom};

use vm_memory::{GuestAddress, GuestMemoryBackend, ReadVolatile, VolatileMemoryError};

use super::image::KernelImage;
use super::place::Placed;
use super::program::Program;
use super::protocol::{BootParams, Loaded};
use crate::config::MachineConfig;
use crate::devices::virtio::slots::DeviceSlots;
use crate::error::{Error, KernelError};
use crate::memory::GuestMemory;

/// Loads kernel and initrd into `memory`, which has `size` bytes and is all zeros. `image` is
/// what the kernel was probed to be.
///
/// The files may change meanwhile: that can only make the guest another one.
///
/// # Errors
/// What [`KernelImage::check_fits`] finds, an unreadable file.
pub(crate) fn load(
    memory: &GuestMemory,
    size: u64,
    image: &KernelImage,
    kernel: &File,
    initrd: Option<&File>,
) -> Result<Loaded, Error> {
    let initrd_size = initrd.map_or(Ok(0), initrd_size)?;
    let place = image.place_initrd(initrd_size, size)?;
    load_kernel(memory, kernel, &image.program)?;
    let initrd = initrd
        .map(|file| load_initrd(memory, file, place))
        .transpose()?;
    Ok(Loaded {
        memory: size,
        initrd,
    })
}

/// Loads a guest into memory that nobody runs: as much of making a machine as needs no KVM.
///
/// # Errors
/// Those of [`Prepared::new`](crate::Prepared::new) that are the files' or the sizes'.
pub fn dry_run(config: &MachineConfig, kernel: &File, initrd: Option<&File>) -> Result<(), Error> {
    let image = KernelImage::probe(kernel)?;
    let size = image.memory_size(config.memory)?;
    let memory = image.allocate(size)?;
    let loaded = load(&memory, size, &image, kernel, initrd)?;
    let params = BootParams {
        cmdline: &config.cmdline,
        vcpus: config.vcpus,
        tsc_khz: None,
        dirs: &[],
        slots: &DeviceSlots::NONE,
    };
    let entry = image.write_boot_params(&memory, &loaded, &params);
    entry.map(|_| ())
}

/// Memory past a segment's file part is zero already: the mapping is fresh, and no
/// segment overlaps another. Writing zeros would only make the host back the pages.
fn load_kernel(memory: &GuestMemory, file: &File, program: &Program) -> Result<(), Error> {
    for segment in program.segments.iter().filter(|s| s.file_size > 0) {
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
    use super::*;
    use crate::boot::testing::{CONTENT, ElfFile, boot_params, file, load_guest};
    use vm_memory::Bytes;

    use crate::arch::layout::{CMDLINE, CMDLINE_MAX, PAGE_SIZE};
    use crate::arch::registers::SystemRegisters;
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
        let entry = load_guest(&memory, size, &image, files, &boot_params("a  b -- ")).unwrap();
        assert_eq!((entry.system, entry.rip), (SystemRegisters::LONG, MIB));
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
            load_guest(
                &memory,
                4 * MIB,
                &image,
                (&kernel, initrd),
                &boot_params(cmdline),
            )
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
        let fault = load_guest(
            &memory,
            4 * MIB,
            &image,
            (&linux, None),
            &boot_params(&long),
        )
        .unwrap_err();
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
        let fault = load_kernel(&memory, &kernel, &image.program).unwrap_err();
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
