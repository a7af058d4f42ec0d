//! Linux's 64-bit entry: the zero page (Documentation/arch/x86/boot.rst, "64-bit Boot
//! Protocol").

use linux_loader::loader::bootparam::{boot_e820_entry, boot_params};
use vm_memory::{ByteValued, Bytes, GuestAddress};

use super::BootData;
use super::bzimage::SETUP_HEADER;
use super::image::Limits;
use crate::arch::layout::{ACPI_TABLES, BOOT_STACK, CMDLINE, ZERO_PAGE};
use crate::arch::registers::{EntryState, SystemRegisters};
use crate::arch::tables;
use crate::error::Error;
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

/// What Linux can take where the file has no setup header to say so.
pub(super) fn limits() -> Limits {
    Limits {
        cmdline: COMMAND_LINE_SIZE - 1,
        ..Limits::default()
    }
}

/// Writes the zero page, page tables and descriptor table, and says how to enter.
/// `setup_header` is a bzImage's own one; for an ELF file one is made.
///
/// # Errors
/// [`Error::GuestMemory`], in a machine smaller than any that can be asked for.
pub(super) fn prepare(
    memory: &GuestMemory,
    entry: u64,
    boot: &BootData,
    setup_header: Option<&[u8]>,
) -> Result<EntryState, Error> {
    memory
        .write_obj(zero_page(boot, setup_header), GuestAddress(ZERO_PAGE))
        .map_err(Error::guest_memory(ZERO_PAGE))?;
    tables::write_identity_map(memory)?;
    tables::write_long_gdt(memory)?;
    Ok(EntryState {
        rsi: ZERO_PAGE,
        ..EntryState::at(SystemRegisters::LONG, entry, BOOT_STACK)
    })
}

fn zero_page(boot: &BootData, setup_header: Option<&[u8]>) -> boot_params {
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
            params.hdr.cmdline_size = boot.cmdline_size;
        }
    }
    params.hdr.type_of_loader = LOADER_UNDEFINED;
    params.hdr.cmd_line_ptr = CMDLINE as u32;
    if let Some(initrd) = boot.initrd {
        // Below the hole, so both fit in 32 bits.
        params.hdr.ramdisk_image = initrd.gpa as u32;
        params.hdr.ramdisk_size = initrd.size as u32;
    }
    for (entry, range) in params.e820_table.iter_mut().zip(usable_ranges(boot.memory)) {
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
    use crate::boot::Placed;
    use crate::boot::testing::bzimage;

    fn boot() -> BootData {
        BootData {
            memory: 5 << 30,
            cmdline_size: 42,
            initrd: Some(Placed {
                gpa: 0xbfff_f000,
                size: 0x123,
            }),
        }
    }

    #[test]
    fn a_bzimages_own_header_stays_but_for_what_the_loader_says() {
        let image = bzimage();
        let params = zero_page(&boot(), Some(&image[SETUP_HEADER..0x268]));
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
        let params = zero_page(&boot(), None);
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
