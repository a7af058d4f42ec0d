//! The PVH entry: `hvm_start_info` (xen/include/public/arch-x86/hvm/start_info.h, and
//! "Entry point" in Xen's docs/misc/pvh.pandoc).

use linux_loader::loader::elf::start_info::{
    XEN_HVM_MEMMAP_TYPE_RAM, XEN_HVM_START_MAGIC_VALUE, hvm_memmap_table_entry, hvm_modlist_entry,
    hvm_start_info,
};
use vm_memory::{ByteValued, Bytes, GuestAddress};

use super::abi::BootAbi;
use super::cmdline::write_for_pc;
use super::linux;
use super::program::Program;
use super::protocol::{BootParams, BootProtocol, KernelFile, Loaded};
use crate::arch::layout::{ACPI_TABLES, BOOT_INFO, BOOT_STACK, CMDLINE, MEMORY_MAP, MODULE_LIST};
use crate::arch::registers::{EntryState, SystemRegisters};
use crate::arch::tables;
use crate::error::{Error, KernelError};
use crate::memory::{GuestMemory, usable_ranges};

/// The version that has a memory map.
const VERSION: u32 = 1;

/// XEN_ELFNOTE_PHYS32_ENTRY of xen/include/public/elfnote.h: the entry point.
const XEN_PHYS32_ENTRY: u32 = 18;

/// A kernel with a PVH entry.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Pvh;

impl BootProtocol for Pvh {
    fn probe(kernel: &KernelFile<'_>) -> Result<Option<(Program, Pvh)>, KernelError> {
        let Some(elf) = &kernel.elf else {
            return Ok(None);
        };
        let Some(note) = elf.notes.find(b"Xen", XEN_PHYS32_ENTRY) else {
            return Ok(None);
        };
        let program = Program {
            entry: entry(note)?,
            segments: elf.physical_segments(),
            limits: linux::limits(elf),
        };
        Ok(Some((program, Pvh)))
    }

    fn abi(&self) -> BootAbi {
        BootAbi::Pvh
    }

    fn write_boot_params(
        &self,
        memory: &GuestMemory,
        program: &Program,
        loaded: &Loaded,
        params: &BootParams<'_>,
    ) -> Result<EntryState, Error> {
        write_for_pc(memory, program, params)?;
        write_start_info(memory, program.entry, loaded)
    }
}

/// The entry point is a 32-bit address, which some linkers store in 8 bytes.
fn entry(desc: &[u8]) -> Result<u64, KernelError> {
    let entry = match desc.len() {
        4 | 8 => {
            let mut bytes = [0; 8];
            bytes[..desc.len()].copy_from_slice(desc);
            u64::from_le_bytes(bytes)
        }
        _ => u64::MAX,
    };
    if entry > u64::from(u32::MAX) {
        let fault = "the entry point is not a 32-bit address";
        return Err(KernelError::bad_header("PVH note", fault));
    }
    Ok(entry)
}

/// Writes the start information and what it points to, and says how to enter.
///
/// # Errors
/// [`Error::GuestMemory`], in a machine smaller than any that can be asked for.
fn write_start_info(
    memory: &GuestMemory,
    entry: u64,
    loaded: &Loaded,
) -> Result<EntryState, Error> {
    let mut info = hvm_start_info {
        magic: XEN_HVM_START_MAGIC_VALUE,
        version: VERSION,
        cmdline_paddr: CMDLINE,
        memmap_paddr: MEMORY_MAP,
        rsdp_paddr: ACPI_TABLES,
        ..Default::default()
    };
    let mut at = MEMORY_MAP;
    for range in usable_ranges(loaded.memory) {
        let entry = hvm_memmap_table_entry {
            addr: range.start,
            size: range.size,
            type_: XEN_HVM_MEMMAP_TYPE_RAM,
            reserved: 0,
        };
        write(memory, at, entry)?;
        at += size_of::<hvm_memmap_table_entry>() as u64;
        info.memmap_entries += 1;
    }
    if let Some(initrd) = loaded.initrd {
        info.nr_modules = 1;
        info.modlist_paddr = MODULE_LIST;
        let module = hvm_modlist_entry {
            paddr: initrd.gpa,
            size: initrd.size,
            ..Default::default()
        };
        write(memory, MODULE_LIST, module)?;
    }
    write(memory, BOOT_INFO, info)?;
    tables::write_flat_gdt(memory)?;
    Ok(EntryState {
        rbx: BOOT_INFO,
        ..EntryState::at(SystemRegisters::PROTECTED, entry, BOOT_STACK)
    })
}

fn write<T: ByteValued>(memory: &GuestMemory, gpa: u64, value: T) -> Result<(), Error> {
    memory
        .write_obj(value, GuestAddress(gpa))
        .map_err(Error::guest_memory(gpa))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::boot::testing::small_machine;

    #[test]
    fn the_start_information_names_the_map_the_module_and_the_command_line() {
        let (memory, loaded) = small_machine();
        let entry = write_start_info(&memory, 0x10_0000, &loaded).unwrap();
        let state = (entry.system, entry.rbx);
        assert_eq!(state, (SystemRegisters::PROTECTED, BOOT_INFO));
        let info: hvm_start_info = memory.read_obj(GuestAddress(entry.rbx)).unwrap();
        assert_eq!((info.magic, info.version), (0x336e_c578, 1));
        assert_eq!(
            (info.cmdline_paddr, info.rsdp_paddr),
            (CMDLINE, ACPI_TABLES)
        );
        assert_eq!((info.nr_modules, info.memmap_entries), (1, 2));
        let module: hvm_modlist_entry = memory.read_obj(GuestAddress(info.modlist_paddr)).unwrap();
        assert_eq!((module.paddr, module.size), (0x3f_0000, 0x123));
        let high: hvm_memmap_table_entry = memory
            .read_obj(GuestAddress(info.memmap_paddr + 24))
            .unwrap();
        assert_eq!(
            (high.addr, high.size, high.type_),
            (0x10_0000, 0x30_0000, 1)
        );
    }
}
