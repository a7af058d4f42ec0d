//! Linux's 64-bit entry: the zero page (Documentation/arch/x86/boot.rst, "64-bit Boot
//! Protocol").

use linux_loader::loader::bootparam::{boot_e820_entry, boot_params};
use vm_memory::{ByteValued, Bytes, GuestAddress};

use super::abi::BootAbi;
use super::cmdline::write_for_pc;
use super::elf::{Class, Elf};
use super::program::{Limits, Program};
use super::protocol::{BootParams, BootProtocol, KernelFile, Loaded};
use crate::arch::layout::{ACPI_TABLES, BOOT_STACK, CMDLINE, ZERO_PAGE};
use crate::arch::registers::{EntryState, SystemRegisters};
use crate::arch::tables;
use crate::bits::low;
use crate::error::{Error, KernelError};
use crate::memory::{GuestMemory, usable_ranges};

const BOOT_FLAG: u16 = 0xaa55;
/// "HdrS".
const HEADER_MAGIC: u32 = 0x5372_6448;
/// A boot loader without an assigned number.
const LOADER_UNDEFINED: u8 = 0xff;
const KERNEL_ALIGNMENT: u32 = 0x100_0000;
const E820_RAM: u32 = 1;
/// Bytes of the command line that the kernel keeps, with the zero byte: COMMAND_LINE_SIZE in
/// arch/x86/include/asm/setup.h. What is longer it cuts without a word.
const COMMAND_LINE_SIZE: usize = 2048;

/// Where a setup header begins, in a bzImage and in the zero page.
pub(super) const SETUP_HEADER: usize = 0x1f1;

/// An ELF note that tells Xen what system it is: XEN_ELFNOTE_GUEST_OS of
/// xen/include/public/elfnote.h.
const XEN_GUEST_OS: u32 = 6;

/// The 64-bit entry of an ELF file: what is entered so that says nothing else of itself.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Linux64;

impl BootProtocol for Linux64 {
    fn probe(kernel: &KernelFile<'_>) -> Result<Option<(Program, Linux64)>, KernelError> {
        let is_kernel = |elf: &&Elf| !elf.interpreted && elf.class == Class::Elf64;
        let Some(elf) = kernel.elf.as_ref().filter(is_kernel) else {
            return Ok(None);
        };
        let program = Program {
            entry: elf.entry,
            segments: elf.physical_segments(),
            limits: limits(elf),
        };
        Ok(Some((program, Linux64)))
    }

    fn abi(&self) -> BootAbi {
        BootAbi::Linux64
    }

    fn write_boot_params(
        &self,
        memory: &GuestMemory,
        program: &Program,
        loaded: &Loaded,
        params: &BootParams<'_>,
    ) -> Result<EntryState, Error> {
        write_for_linux(memory, program, loaded, params, None)
    }
}

/// What an ELF file can take: one that by its notes is Linux has no setup header to say so.
pub(super) fn limits(elf: &Elf) -> Limits {
    let tells_xen = elf.notes.of(b"Xen").filter(|n| n.kind == XEN_GUEST_OS);
    let is_linux = elf.notes.of(b"Linux").next().is_some() || { tells_xen }
        .any(|n| n.desc.starts_with(b"linux"));
    match is_linux {
        true => Limits {
            cmdline: COMMAND_LINE_SIZE - 1,
            ..Limits::default()
        },
        false => Limits::default(),
    }
}

/// Writes the zero page, page tables and descriptor table, and says how to enter.
/// `setup_header` is a bzImage's own one; for an ELF file one is made.
///
/// # Errors
/// [`Error::CmdlineTooLong`], [`Error::CmdlineNul`]; [`Error::GuestMemory`] in a machine smaller
/// than any that can be asked for.
pub(super) fn write_for_linux(
    memory: &GuestMemory,
    program: &Program,
    loaded: &Loaded,
    params: &BootParams<'_>,
    setup_header: Option<&[u8]>,
) -> Result<EntryState, Error> {
    write_for_pc(memory, program, params)?;
    let zero_page = zero_page(loaded, low(params.cmdline.len() as u64 + 1), setup_header);
    memory
        .write_obj(zero_page, GuestAddress(ZERO_PAGE))
        .map_err(Error::guest_memory(ZERO_PAGE))?;
    tables::write_identity_map(memory)?;
    tables::write_long_gdt(memory)?;
    Ok(EntryState {
        rsi: ZERO_PAGE,
        ..EntryState::at(SystemRegisters::LONG, program.entry, BOOT_STACK)
    })
}

fn zero_page(loaded: &Loaded, cmdline_size: u32, setup_header: Option<&[u8]>) -> boot_params {
    let mut params = boot_params {
        acpi_rsdp_addr: ACPI_TABLES,
        ..Default::default()
    };
    match setup_header {
        Some(header) => {
            params.as_mut_slice()[SETUP_HEADER..][..header.len()].copy_from_slice(header);
        }
        None => {
            params.hdr.boot_flag = BOOT_FLAG;
            params.hdr.header = HEADER_MAGIC;
            params.hdr.kernel_alignment = KERNEL_ALIGNMENT;
            // Unikraft takes this for the length of this very command line.
            params.hdr.cmdline_size = cmdline_size;
        }
    }
    params.hdr.type_of_loader = LOADER_UNDEFINED;
    params.hdr.cmd_line_ptr = low(CMDLINE);
    if let Some(initrd) = loaded.initrd {
        // Below the hole, so both fit in 32 bits.
        params.hdr.ramdisk_image = low(initrd.gpa);
        params.hdr.ramdisk_size = low(initrd.size);
    }
    for (entry, range) in params
        .e820_table
        .iter_mut()
        .zip(usable_ranges(loaded.memory))
    {
        *entry = boot_e820_entry {
            addr: range.start,
            size: range.size,
            r#type: E820_RAM,
        };
        params.e820_entries += 1;
    }
    params
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::boot::place::Placed;
    use crate::boot::testing::bzimage;

    fn loaded() -> Loaded {
        Loaded {
            memory: 5 << 30,
            initrd: Some(Placed {
                gpa: 0xbfff_f000,
                size: 0x123,
            }),
        }
    }

    #[test]
    fn a_bzimages_own_header_stays_but_for_what_the_loader_says() {
        let image = bzimage();
        let params = zero_page(&loaded(), 42, Some(&image[SETUP_HEADER..0x268]));
        assert_eq!({ params.hdr.version }, 0x20f);
        assert_eq!({ params.hdr.cmdline_size }, 2047, "the kernel's own limit");
        assert_eq!({ params.hdr.pref_address }, 0x10_0000);
        assert_eq!({ params.hdr.init_size }, 0x4_0000);
        assert_eq!({ params.hdr.type_of_loader }, 0xff);
        assert_eq!({ params.hdr.cmd_line_ptr }, 0x2_0000);
        assert_eq!({ params.hdr.ramdisk_size }, 0x123);
    }

    #[test]
    fn the_zero_page_tells_memory_initrd_and_command_line() {
        let params = zero_page(&loaded(), 42, None);
        // The structure is packed: its fields are copied before they are compared.
        assert_eq!({ params.hdr.boot_flag }, 0xaa55);
        assert_eq!(&{ params.hdr.header }.to_le_bytes(), b"HdrS");
        assert_eq!({ params.hdr.cmd_line_ptr }, 0x2_0000);
        assert_eq!({ params.hdr.cmdline_size }, 42);
        assert_eq!({ params.hdr.ramdisk_image }, 0xbfff_f000);
        assert_eq!({ params.hdr.ramdisk_size }, 0x123);
        assert_eq!({ params.acpi_rsdp_addr }, 0xe_0000);
        assert_eq!(params.e820_entries, 3);
        let high = params.e820_table[2];
        assert_eq!(({ high.addr }, { high.size }), (4 << 30, 2 << 30));
    }
}
