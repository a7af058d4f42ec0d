//! A bzImage: Linux's kernel as distributions ship it (Documentation/arch/x86/boot.rst).
//!
//! The file is a real-mode part, which no virtual machine needs, and a compressed kernel that
//! unpacks itself. The real-mode part begins with a setup header: it says where the rest wants
//! to lie, and goes into the zero page.

use super::abi::BootAbi;
use super::linux::{SETUP_HEADER, write_for_linux};
use super::program::{Limits, Program, Segment};
use super::protocol::{BootParams, BootProtocol, KernelFile, Loaded};
use crate::arch::layout::{CMDLINE_MAX, HOLE_START};
use crate::arch::registers::EntryState;
use crate::error::{Error, KernelError};
use crate::memory::GuestMemory;

/// Where the zero page has room for it no longer: another table begins.
const SETUP_HEADER_END: usize = 0x290;

/// Fields, by their offset in the file ("Details of Header Fields").
const SETUP_SECTS: usize = 0x1f1;
const SYSSIZE: usize = 0x1f4;
/// The operand of a jump over the rest of the header: where that ends.
const JUMP_OFFSET: usize = 0x201;
const MAGIC: usize = 0x202;
const VERSION: usize = 0x206;
const INITRD_ADDR_MAX: usize = 0x22c;
const XLOADFLAGS: usize = 0x236;
const CMDLINE_SIZE: usize = 0x238;
const PREF_ADDRESS: usize = 0x258;
const INIT_SIZE: usize = 0x260;

const SECTOR: u64 = 512;
const PARAGRAPH: u64 = 16;
/// What 0 means in `setup_sects`.
const DEFAULT_SETUP_SECTS: u64 = 4;
/// The first version that has `xloadflags`, of Linux 3.8.
const VERSION_2_12: u16 = 0x20c;
const XLF_KERNEL_64: u16 = 1 << 0;
/// Where the 64-bit entry lies in the loaded kernel.
const ENTRY_64: u64 = 0x200;

/// A bzImage.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct BzImage {
    /// As it goes into the zero page at [`SETUP_HEADER`].
    setup_header: Vec<u8>,
}

impl BootProtocol for BzImage {
    /// A relocatable kernel that is loaded below the address it prefers moves itself up to it, so
    /// that loading it elsewhere saves no memory.
    fn probe(kernel: &KernelFile<'_>) -> Result<Option<(Program, BzImage)>, KernelError> {
        let magic = kernel.head.get(MAGIC..).unwrap_or_default();
        if kernel.elf.is_some() || !magic.starts_with(b"HdrS") {
            return Ok(None);
        }
        let header = setup_header_of(kernel.head, kernel.size)?;
        let setup_header = header.for_zero_page().to_vec();
        Ok(Some((program(&header)?, BzImage { setup_header })))
    }

    fn abi(&self) -> BootAbi {
        BootAbi::BzImage
    }

    fn expects_pci(&self) -> bool {
        true
    }

    fn write_boot_params(
        &self,
        memory: &GuestMemory,
        program: &Program,
        loaded: &Loaded,
        params: &BootParams<'_>,
    ) -> Result<EntryState, Error> {
        write_for_linux(memory, program, loaded, params, Some(&self.setup_header))
    }
}

/// What the setup header says.
///
/// # Errors
/// A kernel without a 64-bit entry, by its flags or its age.
fn program(header: &Header<'_>) -> Result<Program, KernelError> {
    let version = header.u16(VERSION);
    if version < VERSION_2_12 {
        return Err(KernelError::OldLinux {
            major: version >> 8,
            minor: version & 0xff,
        });
    }
    if header.u16(XLOADFLAGS) & XLF_KERNEL_64 == 0 {
        return Err(KernelError::Linux32);
    }
    let setup_sects = match header.0[SETUP_SECTS] {
        0 => DEFAULT_SETUP_SECTS,
        sectors => sectors.into(),
    };
    let load = header.u64(PREF_ADDRESS);
    let kernel = Segment {
        gpa: load,
        offset: (setup_sects + 1) * SECTOR,
        file_size: u64::from(header.u32(SYSSIZE)) * PARAGRAPH,
        memory_size: header.u32(INIT_SIZE).into(),
    };
    let limits = Limits {
        cmdline: (header.u32(CMDLINE_SIZE) as usize).min(CMDLINE_MAX - 1),
        initrd_end: (u64::from(header.u32(INITRD_ADDR_MAX)) + 1).min(HOLE_START),
    };
    Ok(Program {
        // An address that wraps is in no segment, and refused for that.
        entry: load.wrapping_add(ENTRY_64),
        segments: vec![kernel],
        limits,
    })
}

/// The first bytes of the file, with all of the header: the kernel lies past them.
struct Header<'a>(&'a [u8; SETUP_HEADER_END]);

fn setup_header_of(head: &[u8], file_size: u64) -> Result<Header<'_>, KernelError> {
    match head.first_chunk() {
        Some(bytes) => Ok(Header(bytes)),
        None => Err(KernelError::Truncated {
            part: "setup header",
            needs: SETUP_HEADER_END as u64,
            size: file_size,
        }),
    }
}

impl Header<'_> {
    /// What of it goes into the zero page: "64-bit Boot Protocol" says how long it is, the zero
    /// page how long it may be.
    fn for_zero_page(&self) -> &[u8] {
        let end = MAGIC + usize::from(self.0[JUMP_OFFSET]);
        &self.0[SETUP_HEADER..end.min(SETUP_HEADER_END)]
    }

    fn bytes<const N: usize>(&self, at: usize) -> [u8; N] {
        std::array::from_fn(|i| self.0[at + i])
    }

    fn u16(&self, at: usize) -> u16 {
        u16::from_le_bytes(self.bytes(at))
    }

    fn u32(&self, at: usize) -> u32 {
        u32::from_le_bytes(self.bytes(at))
    }

    fn u64(&self, at: usize) -> u64 {
        u64::from_le_bytes(self.bytes(at))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::boot::KernelImage;
    use crate::boot::protocols::Protocol;
    use crate::boot::testing::{bzimage, file};

    fn probe(bytes: &[u8]) -> Result<KernelImage, KernelError> {
        KernelImage::probe(&file(bytes))
    }

    #[track_caller]
    fn fault(at: usize, bytes: &[u8]) -> String {
        let mut image = bzimage();
        image[at..at + bytes.len()].copy_from_slice(bytes);
        probe(&image).unwrap_err().to_string()
    }

    #[test]
    fn a_bzimage_is_placed_where_it_prefers_and_entered_in_64_bit_mode() {
        let image = probe(&bzimage()).unwrap();
        assert_eq!(image.abi(), BootAbi::BzImage);
        assert_eq!(image.program.entry, 0x10_0200);
        let kernel = Segment {
            gpa: 0x10_0000,
            offset: 0x400,
            file_size: 0x400,
            memory_size: 0x4_0000,
        };
        assert_eq!(image.program.segments, [kernel]);
        let limits = Limits {
            cmdline: 2047,
            initrd_end: 0x8000_0000,
        };
        assert_eq!(image.program.limits, limits);
    }

    #[test]
    fn limits_are_no_larger_than_the_monitors_own() {
        let mut image = bzimage();
        for at in [CMDLINE_SIZE, INITRD_ADDR_MAX] {
            image[at..at + 4].fill(0xff);
        }
        assert_eq!(probe(&image).unwrap().program.limits, Limits::default());
    }

    #[test]
    fn kernels_that_have_no_64_bit_entry_are_refused() {
        let old = fault(VERSION, &[0x0b, 2]);
        assert!(old.contains("boot protocol 2.11"), "{old}");
        let short = fault(XLOADFLAGS, &[0]);
        assert!(short.contains("32-bit Linux"), "{short}");
    }

    #[test]
    fn numbers_that_cannot_be_are_refused() {
        assert!(fault(INIT_SIZE, &[0, 1, 0, 0]).contains("more bytes in the file"));
        assert!(fault(PREF_ADDRESS, &[0xff; 8]).contains("wraps"));
        assert!(fault(PREF_ADDRESS, &[0; 8]).contains("boot structures"));
        assert!(fault(SYSSIZE, &[0xff; 4]).contains("more bytes in the file"));
        // 0 means 4 sectors, and these are not there.
        assert!(fault(SETUP_SECTS, &[0]).contains("truncated"));
        for len in [0x206, 0x263, 0x400, 0x7ff] {
            let fault = probe(&bzimage()[..len]).unwrap_err();
            assert!(
                matches!(fault, KernelError::Truncated { .. }),
                "{len:#x}: {fault}"
            );
        }
    }

    #[test]
    fn the_setup_header_ends_where_it_says_but_no_later_than_there_is_room() {
        let mut image = bzimage();
        let setup_header = |image: &[u8]| match probe(image).unwrap().protocol {
            Protocol::BzImage(bzimage) => bzimage.setup_header,
            other => panic!("{other:?}"),
        };
        assert_eq!(setup_header(&image), image[SETUP_HEADER..0x202 + 0x66]);
        image[JUMP_OFFSET] = 0xff;
        let whole = &image[SETUP_HEADER..SETUP_HEADER_END];
        assert_eq!(setup_header(&image), whole);
    }
}
