//! The kernel's page tables: its memory one to one, each part with the rights that the kernel
//! file gives it. Solo5's promise is that nothing can be written and executed (include/solo5.h,
//! `struct solo5_start_info`; the tenders do what their hosts can).
//!
//! The kernel cannot reach the tables by the addresses that they map.

use crate::arch::layout::PAGE_SIZE;
use crate::arch::tables::write_table;
use crate::boot::elf::Rights;
use crate::error::Error;
use crate::memory::GuestMemory;

/// HVT_GUEST_MIN_BASE: below lies what the monitor tells the kernel.
pub(super) const MIN_BASE: u64 = 0x10_0000;

/// X86_GUEST_PAGE_SIZE: memory comes in the pages that map it.
pub(super) const LARGE_PAGE_SIZE: u64 = 2 << 20;

pub(super) const PML4: u64 = 0x2000;
const PDPT: u64 = 0x3000;
const PAGE_DIRECTORIES: u64 = 0x4000;
/// For pages of 4 KiB: the first 2 MiB's, and where a segment begins or ends in a large page.
const PAGE_TABLES: u64 = 0x8000;

/// What lies below is the monitor's, what follows it tells the kernel.
const FIRST_MAPPED: u64 = 0x1_0000;

/// Bits of an entry (Intel SDM volume 3, section 4.5).
const PRESENT: u64 = 1 << 0;
const WRITABLE: u64 = 1 << 1;
const LARGE_PAGE: u64 = 1 << 7;
const NO_EXECUTE: u64 = 1 << 63;

fn either(a: Rights, b: Rights) -> Rights {
    Rights {
        write: a.write || b.write,
        execute: a.execute || b.execute,
    }
}

/// The bits of an entry with these rights.
fn bits(rights: Rights) -> u64 {
    let write = if rights.write { WRITABLE } else { 0 };
    let execute = if rights.execute { 0 } else { NO_EXECUTE };
    PRESENT | write | execute
}

/// The rights of a loaded segment, over whole pages.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Protected {
    pub start: u64,
    pub end: u64,
    pub rights: Rights,
}

impl Protected {
    /// Those of the pages that `start..end` touches.
    pub(super) fn pages(start: u64, end: u64, rights: Rights) -> Protected {
        Protected {
            start: start & !(PAGE_SIZE - 1),
            end: end.checked_next_multiple_of(PAGE_SIZE).unwrap_or(end),
            rights,
        }
    }

    fn touches(&self, start: u64, end: u64) -> bool {
        self.start < end && start < self.end
    }

    /// Whether a part of the range is this, and a part is not.
    fn splits(&self, start: u64, end: u64) -> bool {
        self.touches(start, end) && (self.start > start || self.end < end)
    }
}

/// Writes the tables for a machine of `size` bytes, a multiple of 2 MiB.
///
/// # Errors
/// [`Error::GuestMemory`] in a machine smaller than any that can be asked for.
pub(super) fn write(memory: &GuestMemory, size: u64, segments: &[Protected]) -> Result<(), Error> {
    write_table(memory, PML4, [PDPT | PRESENT | WRITABLE])?;
    let directories = (0..4).map(|i| (PAGE_DIRECTORIES + i * PAGE_SIZE) | PRESENT | WRITABLE);
    write_table(memory, PDPT, directories)?;
    let mut tables = steps(PAGE_TABLES, FIRST_MAPPED, PAGE_SIZE);
    let mut entries = Vec::new();
    for start in steps(0, size, LARGE_PAGE_SIZE) {
        let end = start + LARGE_PAGE_SIZE;
        let is_split = start == 0 || segments.iter().any(|s| s.splits(start, end));
        let entry = match is_split.then(|| tables.next()).flatten() {
            Some(table) => {
                let pages = steps(start, end, PAGE_SIZE);
                let page = |gpa| small_page(gpa, segments);
                write_table(memory, table, pages.map(page))?;
                table | PRESENT | WRITABLE
            }
            // Where tables run out, which takes more than seven boundaries, all that any
            // segment may do there is allowed.
            None => start | bits(rights(start, end, segments)) | LARGE_PAGE,
        };
        entries.push(entry);
    }
    write_table(memory, PAGE_DIRECTORIES, entries)
}

/// The pages of `size` bytes from `start` to `end`, by their addresses.
fn steps(start: u64, end: u64, size: u64) -> impl Iterator<Item = u64> {
    (0..(end - start) / size).map(move |page| start + page * size)
}

fn small_page(gpa: u64, segments: &[Protected]) -> u64 {
    match gpa {
        ..FIRST_MAPPED => 0,
        FIRST_MAPPED..MIN_BASE => gpa | bits(Rights::default()),
        _ => gpa | bits(rights(gpa, gpa + PAGE_SIZE, segments)),
    }
}

/// What may be done somewhere in the range: what is no segment's is heap.
fn rights(start: u64, end: u64, segments: &[Protected]) -> Rights {
    let touching = segments.iter().filter(|s| s.touches(start, end));
    let is_covered = segments.iter().any(|s| s.start <= start && end <= s.end);
    let heap = Rights {
        write: !is_covered,
        execute: false,
    };
    touching.fold(heap, |rights, s| either(rights, s.rights))
}

#[cfg(test)]
mod tests {
    use vm_memory::{Bytes, GuestAddress};

    use super::*;
    use crate::memory;

    const MIB: u64 = 1 << 20;
    const CODE: Rights = Rights {
        write: false,
        execute: true,
    };
    const CONSTANTS: Rights = Rights {
        write: false,
        execute: false,
    };
    const DATA: Rights = Rights {
        write: true,
        execute: false,
    };

    /// What the tables say of an address: `None`, or whether it can be written and executed.
    fn look_up(memory: &GuestMemory, gpa: u64) -> Option<(bool, bool)> {
        let word = |gpa| memory.read_obj::<u64>(GuestAddress(gpa)).unwrap();
        let address = |entry: u64| entry & 0x000f_ffff_ffff_f000;
        let directory = address(word(address(word(PML4)) + (gpa >> 30) * 8));
        let entry = word(directory + (gpa >> 21) % 512 * 8);
        let (entry, size) = match entry & LARGE_PAGE {
            0 if entry == 0 => return None,
            0 => (word(address(entry) + (gpa >> 12) % 512 * 8), PAGE_SIZE),
            _ => (entry, LARGE_PAGE_SIZE),
        };
        if entry == 0 {
            return None;
        }
        assert_eq!(address(entry), gpa & !(size - 1), "one to one");
        Some((entry & WRITABLE != 0, entry & NO_EXECUTE == 0))
    }

    #[test]
    fn each_part_of_a_large_kernel_has_its_rights_and_the_rest_is_heap() {
        let size = 32 * MIB;
        let memory = memory::allocate(size).unwrap();
        let segments = [
            Protected::pages(MIB, 9 * MIB + 1, CODE),
            Protected::pages(9 * MIB + 4096, 14 * MIB, CONSTANTS),
            Protected::pages(14 * MIB, 15 * MIB, DATA),
        ];
        write(&memory, size, &segments).unwrap();
        let at = |gpa| look_up(&memory, gpa);
        assert_eq!((at(0), at(0xffff)), (None, None), "the monitor's");
        assert_eq!(
            (at(0x1_0000), at(MIB - 1)),
            (Some((false, false)), Some((false, false)))
        );
        for gpa in [MIB, 5 * MIB, 9 * MIB, 9 * MIB + 4095] {
            assert_eq!(at(gpa), Some((false, true)), "code at {gpa:#x}");
        }
        for gpa in [9 * MIB + 4096, 12 * MIB, 14 * MIB - 1] {
            assert_eq!(at(gpa), Some((false, false)), "constants at {gpa:#x}");
        }
        for gpa in [14 * MIB, 15 * MIB, 16 * MIB, size - 1] {
            assert_eq!(at(gpa), Some((true, false)), "data or heap at {gpa:#x}");
        }
        assert_eq!((at(size), at(1 << 30)), (None, None), "past the memory");
    }

    #[test]
    fn where_tables_run_out_the_kernel_still_runs() {
        let size = 64 * MIB;
        let memory = memory::allocate(size).unwrap();
        let code = |n: u64| Protected::pages((2 * n + 1) * MIB, (2 * n + 1) * MIB + 1, CODE);
        let segments: Vec<Protected> = (0..20).map(code).collect();
        write(&memory, size, &segments).unwrap();
        for n in 0..20 {
            let (write, execute) = look_up(&memory, (2 * n + 1) * MIB).unwrap();
            assert!(execute);
            assert_eq!(write, n >= 8, "eight tables are all");
        }
        assert_eq!(look_up(&memory, 41 * MIB), Some((true, false)));
    }
}
