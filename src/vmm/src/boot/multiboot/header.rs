//! The Multiboot header in the kernel file (section 3.1 of the specification).

use crate::boot::elf::Elf;
use crate::boot::program::Segment;
use crate::error::KernelError;

const HEADER_MAGIC: u32 = 0x1bad_b002;

/// Header flags (section 3.1.2). The low half are demands: one that is not known means
/// that the kernel must not be started.
const MODULES_ON_PAGES: u32 = 1 << 0;
const MEMORY_INFORMATION: u32 = 1 << 1;
const KNOWN_DEMANDS: u32 = MODULES_ON_PAGES | MEMORY_INFORMATION;
const DEMANDS: u32 = 0xffff;
const ADDRESS_FIELDS: u32 = 1 << 16;

/// The header found in the kernel's first bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Header {
    flags: u32,
    /// Its own offset in the file.
    offset: u64,
    /// header_addr, load_addr, load_end_addr, bss_end_addr, entry_addr; only if
    /// `ADDRESS_FIELDS` is set.
    addresses: [u32; 5],
}

impl Header {
    /// The first header in `head`, the kernel's first 8192 bytes or fewer.
    pub(super) fn find(head: &[u8]) -> Option<Header> {
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
    pub(super) fn image(
        &self,
        elf: Option<&Elf>,
        file_size: u64,
    ) -> Result<(u64, Vec<Segment>), KernelError> {
        if self.flags & DEMANDS & !KNOWN_DEMANDS != 0 {
            return Err(bad_header("it demands a video mode or something unknown"));
        }
        if self.flags & ADDRESS_FIELDS != 0 {
            return self.flat_image(file_size);
        }
        let elf = elf.ok_or_else(|| bad_header("it has no address fields and is no ELF file"))?;
        Ok((elf.entry, elf.physical_segments()))
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

fn word(bytes: &[u8], at: usize) -> Option<u32> {
    let word = bytes.get(at..at + 4)?;
    Some(u32::from_le_bytes(word.try_into().ok()?))
}

fn bad_header(fault: &'static str) -> KernelError {
    KernelError::bad_header("Multiboot header", fault)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::boot::testing::{ElfFile, file, multiboot_header};
    use crate::boot::{BootAbi, KernelImage};

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
        assert_eq!(
            (image.abi(), image.program.entry),
            (BootAbi::Multiboot1, 0x10_0004)
        );
        let whole = Segment {
            gpa: 0x10_0000,
            offset: 0,
            file_size: 0xa0,
            memory_size: 0xa0,
        };
        assert_eq!(image.program.segments, [whole]);
        let image = probe(&flat(0x10_0000, 0x10_0080, 0x10_1000)).unwrap();
        let part = Segment {
            file_size: 0x80,
            memory_size: 0x1000,
            ..whole
        };
        assert_eq!(image.program.segments, [part]);
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
            assert_eq!(
                (image.abi(), image.program.entry),
                (BootAbi::Multiboot1, 0x10_0000)
            );
            assert_eq!(image.program.memory_end(), 0x10_0200);
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
}
