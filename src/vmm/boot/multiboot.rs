//! Multiboot 1: its header in the kernel file, and the information at entry
//! (Multiboot specification 0.6.96).

use vm_memory::{Bytes, GuestAddress};

use super::elf::Elf;
use super::image::Segment;
use super::layout::{
    BOOT_INFO, BOOT_STACK, CMDLINE, HIGH_RAM_START, LOADER_NAME, LOW_RAM_END, MEMORY_MAP,
    MODULE_LIST, MODULE_NAME,
};
use super::tables;
use super::{BootData, EntryState, Mode};
use crate::vmm::error::{Error, KernelError};
use crate::vmm::memory::{GuestMemory, low_memory_end, usable_ranges};

const HEADER_MAGIC: u32 = 0x1bad_b002;
/// What EAX holds at entry (section 3.2).
const BOOT_MAGIC: u64 = 0x2bad_b002;

/// Header flags (section 3.1.2). The low half are demands: one that is not known means
/// that the kernel must not be started.
const MODULES_ON_PAGES: u32 = 1 << 0;
const MEMORY_INFORMATION: u32 = 1 << 1;
const KNOWN_DEMANDS: u32 = MODULES_ON_PAGES | MEMORY_INFORMATION;
const DEMANDS: u32 = 0xffff;
const ADDRESS_FIELDS: u32 = 1 << 16;

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

/// The header found in the kernel's first bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Header {
    flags: u32,
    /// Its own offset in the file.
    offset: u64,
    /// header_addr, load_addr, load_end_addr, bss_end_addr, entry_addr; only if
    /// `ADDRESS_FIELDS` is set.
    addresses: [u32; 5],
}

impl Header {
    /// The first header in `head`, the kernel's first 8192 bytes or fewer.
    pub fn find(head: &[u8]) -> Option<Header> {
        (0..head.len()).step_by(4).find_map(|at| {
            let magic = word(head, at)?;
            let flags = word(head, at + 4)?;
            let checksum = word(head, at + 8)?;
            let sum = magic.wrapping_add(flags).wrapping_add(checksum);
            if magic != HEADER_MAGIC || sum != 0 {
                return None;
            }
            let mut addresses = [0; 5];
            if flags & ADDRESS_FIELDS != 0 {
                for (i, address) in addresses.iter_mut().enumerate() {
                    *address = word(head, at + 12 + 4 * i)?;
                }
            }
            Some(Header {
                flags,
                offset: at as u64,
                addresses,
            })
        })
    }

    /// The entry point and segments: by the header's address fields where it has them,
    /// as section 3.1.3 demands, else by the ELF headers.
    pub fn image(
        &self,
        elf: Option<Elf>,
        file_size: u64,
    ) -> Result<(u64, Vec<Segment>), KernelError> {
        if self.flags & DEMANDS & !KNOWN_DEMANDS != 0 {
            return Err(bad_header("it demands a video mode or something unknown"));
        }
        if self.flags & ADDRESS_FIELDS != 0 {
            return self.flat_image(file_size);
        }
        let elf = elf.ok_or_else(|| bad_header("it has no address fields and is no ELF file"))?;
        Ok((elf.entry, elf.segments))
    }

    fn flat_image(&self, file_size: u64) -> Result<(u64, Vec<Segment>), KernelError> {
        let [header, load, load_end, bss_end, entry] = self.addresses.map(u64::from);
        let before_header = header
            .checked_sub(load)
            .ok_or_else(|| bad_header("its load address lies past its own address"))?;
        let offset = self
            .offset
            .checked_sub(before_header)
            .ok_or_else(|| bad_header("its load address lies before the file's beginning"))?;
        // Zero means: to the end of the file, and: no zeroed memory.
        let loaded = match load_end {
            0 => file_size - offset,
            end => end
                .checked_sub(load)
                .ok_or_else(|| bad_header("its end lies before its beginning"))?,
        };
        let segment = Segment {
            gpa: load,
            offset,
            file_size: loaded,
            memory_size: bss_end.saturating_sub(load).max(loaded),
        };
        Ok((entry, vec![segment]))
    }
}

/// Writes the information structure and what it points to, and says how to enter.
pub fn prepare(memory: &GuestMemory, entry: u64, boot: &BootData) -> Result<EntryState, Error> {
    let map = memory_map(boot.memory);
    // Addresses below 4 GiB, all of them.
    let mut info = [0u32; INFO_WORDS];
    info[0] = INFO_MEMORY | INFO_CMDLINE | INFO_MEMORY_MAP | INFO_LOADER_NAME;
    info[1] = (LOW_RAM_END / 1024) as u32;
    info[2] = ((low_memory_end(boot.memory) - HIGH_RAM_START) / 1024) as u32;
    info[4] = CMDLINE as u32;
    info[11] = map.len() as u32;
    info[12] = MEMORY_MAP as u32;
    info[16] = LOADER_NAME as u32;
    if let Some(initrd) = boot.initrd {
        info[0] |= INFO_MODULES;
        info[5] = 1;
        info[6] = MODULE_LIST as u32;
        let end = (initrd.gpa + initrd.size) as u32;
        let module = [initrd.gpa as u32, end, MODULE_NAME as u32, 0];
        write(memory, MODULE_LIST, &bytes(&module))?;
        write(memory, MODULE_NAME, b"initrd\0")?;
    }
    write(memory, MEMORY_MAP, &map)?;
    write(memory, LOADER_NAME, b"runu\0")?;
    write(memory, BOOT_INFO, &bytes(&info))?;
    tables::write_flat_gdt(memory)?;
    Ok(EntryState {
        mode: Mode::Protected32,
        rip: entry,
        rsp: BOOT_STACK,
        rax: BOOT_MAGIC,
        rbx: BOOT_INFO,
        rsi: 0,
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

fn word(bytes: &[u8], at: usize) -> Option<u32> {
    let word = bytes.get(at..at + 4)?;
    Some(u32::from_le_bytes(word.try_into().ok()?))
}

fn bad_header(fault: &str) -> KernelError {
    KernelError::BadHeader {
        part: "Multiboot header",
        fault: fault.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::super::image::{BootAbi, KernelImage};
    use super::super::testing::{ElfFile, file, multiboot_header};
    use super::*;

    const ADDRESS_FLAG: u32 = 1 << 16;

    /// A flat file: 0x40 bytes, the header, 0x40 bytes, to be loaded at 1 MiB.
    fn flat(load: u32, load_end: u32, bss_end: u32) -> Vec<u8> {
        let mut bytes = vec![0x90; 0x40];
        let addresses = [0x10_0040, load, load_end, bss_end, 0x10_0004];
        bytes.extend(multiboot_header(ADDRESS_FLAG, addresses));
        bytes.resize(0xa0, 0x90);
        bytes
    }

    fn probe(bytes: &[u8]) -> Result<KernelImage, KernelError> {
        KernelImage::probe(&file(bytes))
    }

    #[test]
    fn a_flat_file_is_placed_by_its_address_fields() {
        let image = probe(&flat(0x10_0000, 0, 0)).unwrap();
        assert_eq!((image.abi, image.entry), (BootAbi::Multiboot1, 0x10_0004));
        let whole = Segment {
            gpa: 0x10_0000,
            offset: 0,
            file_size: 0xa0,
            memory_size: 0xa0,
        };
        assert_eq!(image.segments, [whole]);
        let image = probe(&flat(0x10_0000, 0x10_0080, 0x10_1000)).unwrap();
        let part = Segment {
            file_size: 0x80,
            memory_size: 0x1000,
            ..whole
        };
        assert_eq!(image.segments, [part]);
        let image = probe(&flat(0x10_0010, 0, 0)).unwrap_err();
        assert!(matches!(image, KernelError::BadEntry { .. }), "{image}");
    }

    #[test]
    fn address_fields_that_contradict_themselves_are_refused() {
        for (load, load_end, fault) in [
            (0x10_0080, 0, "past its own address"),
            (0x0f_0000, 0, "before the file's beginning"),
            (0x10_0000, 0x0f_0000, "end lies before its beginning"),
            (0x10_0000, u32::MAX, "truncated"),
        ] {
            let found = probe(&flat(load, load_end, 0)).unwrap_err().to_string();
            assert!(found.contains(fault), "{found}");
        }
    }

    #[test]
    fn an_elf_file_with_a_header_is_loaded_by_its_segments() {
        for mut elf in [ElfFile::kernel32(), ElfFile::kernel()] {
            let header = multiboot_header(3, [0; 5]);
            elf.content[..header.len()].copy_from_slice(&header);
            let image = KernelImage::probe(&elf.file()).unwrap();
            assert_eq!((image.abi, image.entry), (BootAbi::Multiboot1, 0x10_0000));
            assert_eq!(image.memory_end(), 0x10_0200);
        }
    }

    #[test]
    fn headers_that_are_none_or_demand_too_much_are_not_obeyed() {
        let mut broken = flat(0x10_0000, 0, 0);
        broken[0x48] ^= 1;
        assert_eq!(Header::find(&broken), None, "the checksum is wrong");
        let mut shifted = vec![0; 2];
        shifted.extend(flat(0x10_0000, 0, 0));
        assert_eq!(Header::find(&shifted), None, "not on a multiple of 4");
        let cut = &flat(0x10_0000, 0, 0)[..0x58];
        assert_eq!(Header::find(cut), None, "the address fields are cut off");
        let mut elf = ElfFile::kernel32();
        let video = multiboot_header(1 << 2, [0; 5]);
        elf.content[..video.len()].copy_from_slice(&video);
        let fault = KernelImage::probe(&elf.file()).unwrap_err().to_string();
        assert!(fault.contains("demands a video mode"), "{fault}");
        let mut none = vec![0; 0x40];
        none.extend(multiboot_header(0, [0; 5]));
        let fault = probe(&none).unwrap_err().to_string();
        assert!(fault.contains("no address fields"), "{fault}");
    }

    #[test]
    fn the_information_names_the_map_the_module_and_the_command_line() {
        let memory = crate::vmm::memory::allocate(4 << 20).unwrap();
        let boot = BootData {
            memory: 4 << 20,
            cmdline_size: 1,
            initrd: Some(super::super::Placed {
                gpa: 0x3f_0000,
                size: 0x123,
            }),
        };
        let entry = prepare(&memory, 0x10_0000, &boot).unwrap();
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
