//! The information that a Multiboot kernel finds at entry (sections 3.2 and 3.3 of the
//! specification).

use vm_memory::{Bytes, GuestAddress};

use crate::arch::layout::{
    BOOT_INFO, BOOT_STACK, CMDLINE, HIGH_RAM_START, LOADER_NAME, LOW_RAM_END, MEMORY_MAP,
    MODULE_LIST, MODULE_NAME,
};
use crate::arch::registers::{EntryState, SystemRegisters};
use crate::arch::tables;
use crate::bits::low;
use crate::boot::protocol::Loaded;
use crate::error::Error;
use crate::memory::{GuestMemory, low_memory_end, usable_ranges};

/// What EAX holds at entry (section 3.2).
const BOOT_MAGIC: u64 = 0x2bad_b002;

/// Flags of the information structure (section 3.3).
const INFO_MEMORY: u32 = 1 << 0;
const INFO_CMDLINE: u32 = 1 << 2;
const INFO_MODULES: u32 = 1 << 3;
const INFO_MEMORY_MAP: u32 = 1 << 6;
const INFO_LOADER_NAME: u32 = 1 << 9;

/// The information structure up to its last field used, as 32-bit words.
const INFO_WORDS: usize = 17;
/// Size of a memory map entry without its own size field.
const MAP_ENTRY_SIZE: u32 = 20;
const MAP_TYPE_RAM: u32 = 1;

/// Writes the information structure and what it points to, and says how to enter.
///
/// # Errors
/// [`Error::GuestMemory`], in a machine smaller than any that can be asked for.
pub(super) fn write_information(
    memory: &GuestMemory,
    entry: u64,
    loaded: &Loaded,
) -> Result<EntryState, Error> {
    let map = memory_map(loaded.memory);
    // Addresses below 4 GiB, all of them.
    let mut info = [0u32; INFO_WORDS];
    info[0] = INFO_MEMORY | INFO_CMDLINE | INFO_MEMORY_MAP | INFO_LOADER_NAME;
    info[1] = low(LOW_RAM_END / 1024);
    info[2] = low((low_memory_end(loaded.memory) - HIGH_RAM_START) / 1024);
    info[4] = low(CMDLINE);
    info[11] = low(map.len() as u64);
    info[12] = low(MEMORY_MAP);
    info[16] = low(LOADER_NAME);
    if let Some(initrd) = loaded.initrd {
        info[0] |= INFO_MODULES;
        info[5] = 1;
        info[6] = low(MODULE_LIST);
        let end = low(initrd.gpa + initrd.size);
        let module = [low(initrd.gpa), end, low(MODULE_NAME), 0];
        write(memory, MODULE_LIST, &bytes(&module))?;
        write(memory, MODULE_NAME, b"initrd\0")?;
    }
    write(memory, MEMORY_MAP, &map)?;
    write(memory, LOADER_NAME, b"runu\0")?;
    write(memory, BOOT_INFO, &bytes(&info))?;
    tables::write_flat_gdt(memory)?;
    Ok(EntryState {
        rax: BOOT_MAGIC,
        rbx: BOOT_INFO,
        ..EntryState::at(SystemRegisters::PROTECTED, entry, BOOT_STACK)
    })
}

fn memory_map(memory: u64) -> Vec<u8> {
    let mut map = Vec::new();
    for range in usable_ranges(memory) {
        map.extend(MAP_ENTRY_SIZE.to_le_bytes());
        map.extend(range.start.to_le_bytes());
        map.extend(range.size.to_le_bytes());
        map.extend(MAP_TYPE_RAM.to_le_bytes());
    }
    map
}

fn write(memory: &GuestMemory, gpa: u64, bytes: &[u8]) -> Result<(), Error> {
    memory
        .write_slice(bytes, GuestAddress(gpa))
        .map_err(Error::guest_memory(gpa))
}

fn bytes(words: &[u32]) -> Vec<u8> {
    words.iter().flat_map(|word| word.to_le_bytes()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::boot::testing::small_machine;

    #[test]
    fn the_information_names_the_map_the_module_and_the_command_line() {
        let (memory, loaded) = small_machine();
        let entry = write_information(&memory, 0x10_0000, &loaded).unwrap();
        assert_eq!((entry.rax, entry.rbx), (0x2bad_b002, BOOT_INFO));
        let word = |gpa: u64| memory.read_obj::<u32>(GuestAddress(gpa)).unwrap();
        assert_eq!(word(BOOT_INFO), 0b10_0100_1101);
        assert_eq!((word(BOOT_INFO + 4), word(BOOT_INFO + 8)), (639, 3072));
        assert_eq!(u64::from(word(BOOT_INFO + 16)), CMDLINE);
        assert_eq!(word(BOOT_INFO + 20), 1);
        let module = u64::from(word(BOOT_INFO + 24));
        assert_eq!((word(module), word(module + 4)), (0x3f_0000, 0x3f_0123));
        assert_eq!(word(BOOT_INFO + 44), 48, "two entries");
        let second = u64::from(word(BOOT_INFO + 48)) + 24;
        assert_eq!(word(second), 20);
        assert_eq!(word(second + 4), 0x10_0000, "starts exactly at 1 MiB");
        assert_eq!(word(second + 12), 0x30_0000);
    }
}
