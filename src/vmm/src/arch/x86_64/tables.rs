//! Descriptor and page tables (Intel SDM volume 3, chapters 3.4.5 and 4.5).

use kvm_bindings::kvm_segment;
use vm_memory::{Bytes, GuestAddress};

use super::layout::{GDT, MAPPED_GIB, PAGE_DIRECTORIES, PAGE_SIZE, PDPT, PML4};
use crate::bits::low;
use crate::error::Error;
use crate::memory::GuestMemory;

/// Selectors of the descriptors below.
pub(crate) const CODE: u16 = 0x08;
pub(crate) const DATA: u16 = 0x10;
pub(crate) const TSS: u16 = 0x18;
/// Bytes of a table with these and the null descriptor.
pub(crate) const GDT_SIZE: u16 = 32;

/// 64-bit code, execute/read, accessed.
pub(crate) const LONG_CODE: u64 = 0x00af_9b00_0000_ffff;
/// 32-bit code over 4 GiB, execute/read, accessed.
pub(crate) const FLAT_CODE: u64 = 0x00cf_9b00_0000_ffff;
/// Data over 4 GiB, read/write, accessed.
pub(crate) const FLAT_DATA: u64 = 0x00cf_9300_0000_ffff;
/// A busy 64-bit or 32-bit task state segment at 0.
pub(crate) const LONG_TSS: u64 = 0x008f_8b00_0000_ffff;
pub(crate) const FLAT_TSS: u64 = 0x0000_8b00_0000_0067;

const PRESENT_WRITABLE: u64 = 0b11;
/// In a page directory entry: a page of 2 MiB.
const LARGE_PAGE: u64 = 1 << 7;
const LARGE_PAGE_SIZE: u64 = 2 << 20;
const ENTRIES: u64 = 512;

pub(crate) fn write_long_gdt(memory: &GuestMemory) -> Result<(), Error> {
    write_table(memory, GDT, [0, LONG_CODE, FLAT_DATA, LONG_TSS])
}

pub(crate) fn write_flat_gdt(memory: &GuestMemory) -> Result<(), Error> {
    write_table(memory, GDT, [0, FLAT_CODE, FLAT_DATA, FLAT_TSS])
}

/// Maps the first [`MAPPED_GIB`] GiB of virtual addresses to the same physical ones.
pub(crate) fn write_identity_map(memory: &GuestMemory) -> Result<(), Error> {
    write_table(memory, PML4, [PDPT | PRESENT_WRITABLE])?;
    let directory = |gib| PAGE_DIRECTORIES + gib * PAGE_SIZE;
    let directories = (0..MAPPED_GIB).map(|gib| directory(gib) | PRESENT_WRITABLE);
    write_table(memory, PDPT, directories)?;
    let pages =
        (0..MAPPED_GIB * ENTRIES).map(|i| (i * LARGE_PAGE_SIZE) | LARGE_PAGE | PRESENT_WRITABLE);
    write_table(memory, PAGE_DIRECTORIES, pages)
}

/// Writes `entries` to `gpa`, one after the other.
pub(crate) fn write_table(
    memory: &GuestMemory,
    gpa: u64,
    entries: impl IntoIterator<Item = u64>,
) -> Result<(), Error> {
    let bytes: Vec<u8> = entries.into_iter().flat_map(u64::to_le_bytes).collect();
    memory
        .write_slice(&bytes, GuestAddress(gpa))
        .map_err(Error::guest_memory(gpa))
}

/// What a segment register holds once `descriptor` is loaded into it by `selector`.
pub(crate) fn segment(descriptor: u64, selector: u16) -> kvm_segment {
    let bits = |from: u32, count: u32| (descriptor >> from) & ((1 << count) - 1);
    let byte = |from, count| {
        let [byte, ..] = bits(from, count).to_le_bytes();
        byte
    };
    let limit = low((bits(48, 4) << 16) | bits(0, 16));
    let granular = bits(55, 1) == 1;
    kvm_segment {
        base: (bits(56, 8) << 24) | bits(16, 24),
        limit: if granular {
            (limit << 12) | 0xfff
        } else {
            limit
        },
        selector,
        type_: byte(40, 4),
        s: byte(44, 1),
        dpl: byte(45, 2),
        present: byte(47, 1),
        avl: byte(52, 1),
        l: byte(53, 1),
        db: byte(54, 1),
        g: byte(55, 1),
        unusable: 0,
        padding: 0,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn descriptors_become_flat_segments() {
        let code = segment(FLAT_CODE, CODE);
        assert_eq!((code.base, code.limit, code.type_), (0, u32::MAX, 0xb));
        assert_eq!(
            (code.s, code.db, code.l, code.g, code.present),
            (1, 1, 0, 1, 1)
        );
        let long = segment(LONG_CODE, CODE);
        assert_eq!((long.db, long.l), (0, 1));
        let tss = segment(FLAT_TSS, TSS);
        assert_eq!((tss.limit, tss.type_, tss.s), (0x67, 0xb, 0));
        let based = segment(0x1200_9334_5678_ffff, DATA);
        assert_eq!((based.base, based.limit), (0x1234_5678, 0xffff));
    }

    #[test]
    fn the_identity_map_reaches_the_last_page_below_4_gib() {
        let memory = crate::memory::allocate(2 << 20).unwrap();
        write_identity_map(&memory).unwrap();
        let entry = |gpa| memory.read_obj::<u64>(GuestAddress(gpa)).unwrap();
        assert_eq!(entry(PML4), PDPT | 3);
        assert_eq!(entry(PDPT + 3 * 8), (PAGE_DIRECTORIES + 3 * PAGE_SIZE) | 3);
        let last = PAGE_DIRECTORIES + 4 * PAGE_SIZE - 8;
        assert_eq!(entry(last), ((4 << 30) - LARGE_PAGE_SIZE) | 0x83);
    }
}
