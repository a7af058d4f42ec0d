//! Low memory and registers at the kernel's first instruction.
//!
//! | from the machine's first address | what lies there |
//! |---|---|
//! | 0 | the descriptor table |
//! | 0x1000 | the device tree |
//! | 0x5000 | the boot information |
//! | 0x10000 | PML4, PDPT, page directories |
//! | 0x40000 | the kernel; a stack of 32 KiB below it |

use time::OffsetDateTime;
use vm_memory::{Bytes, GuestAddress};

use super::fdt::Tree;
use super::kernel::{CMDLINE_MAX, Hermit, KERNEL_OFFSET, STACK_SIZE};
use crate::arch::layout::PAGE_SIZE;
use crate::arch::registers::{EFER_LONG_MODE, EFER_NO_EXECUTE, EntryState, SystemRegisters};
use crate::arch::tables::{FLAT_DATA, LONG_CODE, write_table};
use crate::bits::halves;
use crate::boot::place::Placed;
use crate::boot::program::{Program, Segment};
use crate::boot::protocol::{BootParams, Loaded};
use crate::error::Error;
use crate::memory::GuestMemory;

/// Offsets from the machine's first address.
const GDT: u64 = 0;
const FDT: u64 = 0x1000;
const FDT_SIZE: usize = 0x4000;
const BOOT_INFO: u64 = 0x5000;
const PML4: u64 = 0x1_0000;
const PDPT: u64 = 0x1_1000;
const PAGE_DIRECTORIES: u64 = 0x1_2000;

/// `RawPlatformInfo::Uhyve` among its siblings.
const PLATFORM_UHYVE: u64 = 1;

const LARGE_PAGE_SIZE: u64 = 2 << 20;
const GIB: u64 = 1 << 30;
const ENTRIES: u64 = 512;
const PRESENT_WRITABLE: u64 = 0b11;
/// In a page directory entry: a page of 2 MiB.
const LARGE_PAGE: u64 = 1 << 7;

/// Control registers and EFER: paging in 64-bit mode, native FPU errors, no-execute pages.
const CR0: u64 = 0x8000_0031;
const CR4: u64 = 0x20;
const EFER: u64 = EFER_LONG_MODE | EFER_NO_EXECUTE;

/// Relocates the kernel, which is loaded, writes low memory, and says how to enter.
///
/// # Errors
/// [`Error::CmdlineTooLong`], [`Error::CmdlineNul`]; [`Error::GuestMemory`] in a machine
/// smaller than any that can be asked for.
pub(super) fn prepare(
    memory: &GuestMemory,
    kernel: &Hermit,
    program: &Program,
    loaded: &Loaded,
    params: &BootParams<'_>,
) -> Result<EntryState, Error> {
    let start = kernel.start();
    let kernel_start = kernel_start(start, program);
    for relocation in &kernel.relocations {
        memory
            .write_obj(relocation.value, GuestAddress(relocation.gpa))
            .map_err(Error::guest_memory(relocation.gpa))?;
    }
    write_table(memory, start + GDT, [0, LONG_CODE, FLAT_DATA])?;
    let mapped = loaded.initrd.map(|initrd| initrd.gpa + initrd.size);
    let mapped = mapped.unwrap_or(program.memory_end());
    write_page_tables(memory, start, last_mapped(kernel, kernel_start, mapped))?;
    let tree = device_tree(start, loaded, params)?;
    write(memory, start + FDT, &tree)?;
    let info = boot_info(kernel, program, loaded.memory, params);
    write_table(memory, start + BOOT_INFO, info)?;
    // Its lower end: the kernel finds the upper one by itself.
    let stack = kernel_start - STACK_SIZE;
    Ok(EntryState {
        // The processor's number.
        rsi: 0,
        rdi: start + BOOT_INFO,
        ..EntryState::at(system_registers(start), program.entry, stack)
    })
}

/// Where the kernel begins in a machine that begins at `start`.
fn kernel_start(start: u64, program: &Program) -> u64 {
    let lowest = program.segments.iter().map(|s| s.gpa).min();
    lowest.unwrap_or(start + KERNEL_OFFSET)
}

/// The last address that is mapped. Older kernels lean on the whole GiB in which they lie.
fn last_mapped(kernel: &Hermit, kernel_start: u64, end: u64) -> u64 {
    match kernel.is_old {
        true => end.max(kernel_start / GIB * GIB + GIB - 1),
        false => end,
    }
}

/// Maps from the machine's first address, a multiple of 1 GiB, to the page of `last`; and the
/// PML4 itself by its last entry, by which kernels know that what is below them is in use.
fn write_page_tables(memory: &GuestMemory, start: u64, last: u64) -> Result<(), Error> {
    let pml4 = start + PML4;
    write_table(memory, pml4, [(start + PDPT) | PRESENT_WRITABLE])?;
    let last_entry = pml4 + (ENTRIES - 1) * 8;
    write_table(memory, last_entry, [pml4 | PRESENT_WRITABLE])?;
    let directories = start / GIB..=last / GIB;
    let directory = |gib: u64| start + PAGE_DIRECTORIES + (gib - start / GIB) * PAGE_SIZE;
    write_table(
        memory,
        start + PDPT + start / GIB * 8,
        directories.map(|gib| directory(gib) | PRESENT_WRITABLE),
    )?;
    let pages = start / LARGE_PAGE_SIZE..=last / LARGE_PAGE_SIZE;
    // The directories follow each other, as the pages do.
    write_table(
        memory,
        start + PAGE_DIRECTORIES,
        pages.map(|page| (page * LARGE_PAGE_SIZE) | LARGE_PAGE | PRESENT_WRITABLE),
    )
}

fn device_tree(start: u64, loaded: &Loaded, params: &BootParams<'_>) -> Result<Vec<u8>, Error> {
    let len = params.cmdline.len();
    if len > CMDLINE_MAX {
        return Err(Error::CmdlineTooLong {
            len,
            max: CMDLINE_MAX,
        });
    }
    let tree = Tree {
        memory: Placed {
            gpa: start,
            size: loaded.memory,
        },
        cmdline: params.cmdline,
        initrd: loaded.initrd,
        tsc_khz: params.tsc_khz,
        mounts: params.dirs,
    };
    // Of all that is in it only the command line can be wrong.
    let bytes = tree.bytes().map_err(|_| Error::CmdlineNul)?;
    debug_assert!(bytes.len() <= FDT_SIZE);
    Ok(bytes)
}

/// `RawBootInfo` (hermit-entry, boot_info/mod.rs), as 64-bit words: the hardware, the kernel,
/// the platform.
fn boot_info(
    kernel: &Hermit,
    program: &Program,
    memory: u64,
    params: &BootParams<'_>,
) -> [u64; 16] {
    let start = kernel.start();
    let port = kernel.interface.console_port();
    let tls = kernel.tls.map_or([0; 4], |tls| {
        let Segment {
            gpa,
            file_size,
            memory_size,
            ..
        } = tls.segment;
        [gpa, file_size, memory_size, tls.align]
    });
    let khz = params.tsc_khz.unwrap_or(0);
    let now = OffsetDateTime::now_utc().unix_timestamp_nanos();
    let [now_low, now_high] = halves(now.cast_unsigned());
    [
        start,
        start + memory,
        port.into(),
        start + FDT,
        kernel_start(start, program),
        program.memory_end(),
        tls[0],
        tls[1],
        tls[2],
        tls[3],
        PLATFORM_UHYVE,
        // No PCI device; one processor.
        0,
        1,
        khz.into(),
        now_low,
        now_high,
    ]
}

/// The registers with the tables of a machine that begins at `start`.
pub(super) fn system_registers(start: u64) -> SystemRegisters {
    SystemRegisters {
        code: LONG_CODE,
        task: None,
        has_ldt: true,
        gdt: (start + GDT, 3 * 8),
        idt: 0,
        cr0: CR0,
        cr3: start + PML4,
        cr4: CR4,
        efer: EFER,
    }
}

fn write(memory: &GuestMemory, gpa: u64, bytes: &[u8]) -> Result<(), Error> {
    memory
        .write_slice(bytes, GuestAddress(gpa))
        .map_err(Error::guest_memory(gpa))
}
