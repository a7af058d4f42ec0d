//! Hermit's kernels, as its own monitor (uhyve) boots them.
//!
//! | module | what it knows |
//! |---|---|
//! | [`notes`] | what the kernel's notes say: the versions of its interfaces |
//! | [`relocate`] | the dynamic section: what must be written where the kernel lies |
//! | [`start`] | low memory and registers at the kernel's first instruction; [`fdt`] is the device tree |
//!
//! The hypercalls are in [`hypercall::hermit`](crate::hypercall::hermit).
//!
//! Source: hermit-entry 0.10.11 (elf.rs, boot_info, note.rs), uhyve (mem_layout.rs,
//! arch/x86_64, linux/x86_64/kvm_cpu.rs). What Hermit's loader builds for other monitors boots
//! by Multiboot or as Linux, and has no note.

mod fdt;
pub(crate) mod notes;
mod relocate;
pub(crate) mod start;

use std::fs::File;

use super::elf::{Class, Elf, Part};
use super::image::{KernelImage, Limits, Segment};
use super::{Placed, image::BootAbi};
use crate::arch::layout::{HOLE_START, PAGE_SIZE};
use crate::error::{Error, KernelError};
use crate::memory::checked_size;
pub(crate) use notes::Interface;
use relocate::Relocation;

/// Where a kernel that can lie anywhere is put, from the machine's first address.
const KERNEL_OFFSET: u64 = 0x4_0000;
/// The boot stack, just below the kernel.
const STACK_SIZE: u64 = 0x8000;

/// Where the memory of a kernel begins that has interface 2 or 3, and the most that it can
/// have: uhyve's range of addresses ends at 64 GiB.
const HIGH_START: u64 = 4 << 30;
const HIGH_MAX: u64 = 60 << 30;

/// How far the initrd may reach past the machine's first address: there is room for the page
/// tables of so much.
const MAPPED_MAX: u64 = 32 << 30;

/// The longest command line, in bytes without its zero byte: the device tree has 16 KiB.
const CMDLINE_MAX: usize = 12 << 10;

/// What is special to one of Hermit's kernels.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Kernel {
    pub interface: Interface,
    /// Whether it is older than 0.10, and finds more memory mapped than it needs.
    is_old: bool,
    /// Where thread-local storage has its initial content; by guest-physical address.
    tls: Option<Part>,
    relocations: Vec<Relocation>,
}

impl Kernel {
    /// Where the memory of its machine begins: a guest-physical address.
    pub fn memory_start(&self) -> u64 {
        match self.interface {
            Interface::V1 => 0,
            Interface::V2 => HIGH_START,
        }
    }

    /// The most memory that its machine can have, in bytes. The first interface has 32-bit
    /// addresses, and one piece of memory.
    pub fn max_memory(&self) -> u64 {
        match self.interface {
            Interface::V1 => HOLE_START,
            Interface::V2 => HIGH_MAX,
        }
    }
}

/// What an ELF file that has a note of Hermit's is.
///
/// # Errors
/// For a version that is not known, a file that is not as Hermit's loader wants it, and
/// relocations out of the kernel's bounds.
pub(crate) fn image_of(file: &File, elf: Elf, file_size: u64) -> Result<KernelImage, KernelError> {
    if elf.class != Class::Elf64 {
        return Err(KernelError::NotAKernel {
            found: "it is a 32-bit ELF file with a note of Hermit's",
        });
    }
    let mut kernel = Kernel {
        interface: elf.notes.hermit.interface()?,
        is_old: elf.notes.hermit.is_old(),
        tls: None,
        relocations: Vec::new(),
    };
    let lowest = kernel.memory_start() + KERNEL_OFFSET;
    // Addresses that wrap are found with the segments below.
    let slide = match elf.is_relocatable {
        true => lowest,
        false => 0,
    };
    let segments: Vec<Segment> = elf.segments.iter().map(|s| s.moved(slide)).collect();
    if let Some(segment) = segments.iter().find(|s| s.gpa < lowest) {
        return Err(KernelError::BadSegment {
            gpa: segment.gpa,
            size: segment.memory_size,
            fault: match kernel.interface {
                Interface::V1 => "lies below 0x40000, where Hermit's kernels begin",
                Interface::V2 => "lies below 0x100040000, where Hermit's kernels begin",
            },
        });
    }
    kernel.tls = elf.tls.map(|tls| Part {
        segment: tls.segment.moved(slide),
        ..tls
    });
    if elf.is_relocatable {
        kernel.relocations = relocate::read(file, &elf, slide, file_size)?;
    }
    Ok(KernelImage {
        entry: elf.entry.wrapping_add(slide),
        segments,
        limits: Limits {
            cmdline: CMDLINE_MAX,
            initrd_end: kernel.memory_start() + MAPPED_MAX,
        },
        hermit: kernel,
        ..KernelImage::of(BootAbi::Hermit, file_size)
    })
}

/// The bytes that a machine of `memory` bytes really has: whole pages.
///
/// # Errors
/// [`Error::MemoryTooSmall`], [`Error::MemoryTooLarge`].
pub(crate) fn memory_size(kernel: &Kernel, memory: u64) -> Result<u64, Error> {
    let max = kernel.max_memory();
    match checked_size(memory)? {
        size if size > max => Err(Error::MemoryTooLarge { memory, max }),
        size => Ok(size),
    }
}

/// Where the initrd goes: on the first page past the kernel, where Hermit's loaders put it.
///
/// # Errors
/// [`Error::KernelTooLarge`] where it does not fit into `memory` bytes together with the
/// kernel, [`Error::InitrdTooLarge`].
pub(crate) fn place(image: &KernelImage, size: u64, memory: u64) -> Result<Placed, Error> {
    let start = image.hermit.memory_start();
    let kernel_end = image.memory_end();
    if let Some(far) = image
        .segments
        .iter()
        .find(|s| s.memory_end() > start + MAPPED_MAX)
    {
        return Err(Error::Kernel(KernelError::BadSegment {
            gpa: far.gpa,
            size: far.memory_size,
            fault: "reaches further than the page tables at boot",
        }));
    }
    // A kernel at the very end of the address space has no page past it.
    let gpa = kernel_end
        .checked_next_multiple_of(PAGE_SIZE)
        .unwrap_or(kernel_end);
    let end = gpa.saturating_add(size);
    let (what, needs) = match size {
        0 => ("the kernel needs", kernel_end - start),
        _ => ("the kernel and its initrd need", end - start),
    };
    if needs > memory {
        return Err(Error::KernelTooLarge {
            what,
            needs,
            memory,
        });
    }
    if size > 0 && end > image.limits.initrd_end {
        return Err(Error::InitrdTooLarge {
            size,
            max: image.limits.initrd_end.saturating_sub(gpa),
            end: image.limits.initrd_end,
        });
    }
    Ok(Placed { gpa, size })
}

#[cfg(test)]
mod tests;
