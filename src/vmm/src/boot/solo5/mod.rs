//! Solo5's hvt ABI, version 2: what MirageOS and its relatives boot by.
//!
//! | module | what it knows |
//! |---|---|
//! | [`notes`] | the kernel's two ELF notes: its target, its manifest |
//! | [`manifest`] | the devices that the kernel declares, and those that it is given |
//! | [`pages`] | what the kernel may do with which part of its memory |
//! | [`start`] | low memory and registers at the kernel's first instruction |
//!
//! The hypercalls are in [`hypercall::solo5`](crate::hypercall::solo5).
//!
//! Source: Solo5, include/hvt_abi.h, mft_abi.h, elf_abi.h; tenders/hvt/hvt_cpu_x86_64.[ch].

pub(crate) mod manifest;
pub(crate) mod notes;
pub(crate) mod pages;
pub(crate) mod start;

use super::elf::{Class, Elf};
use super::image::{KernelImage, Segment};
use crate::arch::layout::{HOLE_START, PAGE_SIZE};
use crate::error::{Error, KernelError};
use crate::memory::checked_size;
use manifest::Manifest;
use pages::Protected;

/// HVT_GUEST_MIN_BASE: below lies what the monitor tells the kernel.
const MIN_BASE: u64 = 0x10_0000;

/// X86_GUEST_PAGE_SIZE: memory comes in the pages that map it.
const LARGE_PAGE_SIZE: u64 = 2 << 20;

/// What the bindings ask for beyond the kernel, for stack and heap (mem_init in
/// bindings/mem.c), in bytes.
const LEAST_HEAP: u64 = 512 << 10;

/// The most memory that a Solo5 kernel can have here, in bytes. It has no hole; the ABI ends
/// at 4 GiB, where KVM needs some pages of its own.
pub(crate) const MAX_MEMORY: u64 = HOLE_START;

/// The manifest of an ELF file that has a note of Solo5's.
///
/// # Errors
/// For another target than hvt, and for a file that is not as the ABI wants it.
pub(crate) fn manifest_of(elf: &Elf) -> Result<Manifest, KernelError> {
    elf.notes.solo5.check_target()?;
    let manifest = elf.notes.solo5.manifest()?;
    let refused = |segment: &Segment, fault| KernelError::BadSegment {
        gpa: segment.gpa,
        size: segment.memory_size,
        fault,
    };
    if let Some(segment) = elf.segments.iter().find(|s| s.gpa < MIN_BASE) {
        return Err(refused(segment, "lies below 0x100000, where Solo5's begin"));
    }
    let is_both = |p: &Protected| p.rights.write && p.rights.execute;
    let mut rights = elf.segments.iter().zip(&elf.protected);
    if let Some((segment, _)) = rights.find(|(_, p)| is_both(p)) {
        return Err(refused(
            segment,
            "is writable and executable, which Solo5 forbids",
        ));
    }
    if elf.class != Class::Elf64 {
        return Err(KernelError::NotAKernel {
            found: "it is a 32-bit ELF file with a note of Solo5's",
        });
    }
    Ok(manifest)
}

/// The bytes that a machine of `memory` bytes really has: whole large pages.
///
/// # Errors
/// [`Error::MemoryTooSmall`]; [`Error::MemoryTooLarge`] above [`MAX_MEMORY`].
pub(crate) fn memory_size(memory: u64) -> Result<u64, Error> {
    let max = MAX_MEMORY;
    match checked_size(memory)? {
        size @ ..=MAX_MEMORY => Ok(size & !(LARGE_PAGE_SIZE - 1)),
        _ => Err(Error::MemoryTooLarge { memory, max }),
    }
}

/// Checks that the kernel, its stack and its first heap fit into `memory` bytes.
///
/// # Errors
/// [`Error::InitrdUnwanted`] for an initrd, [`Error::KernelTooLarge`].
pub(crate) fn check_fits(image: &KernelImage, initrd_size: u64, memory: u64) -> Result<(), Error> {
    if initrd_size > 0 {
        return Err(Error::InitrdUnwanted { abi: image.abi });
    }
    let needs = kernel_end(image)
        .saturating_add(LEAST_HEAP)
        .checked_next_multiple_of(LARGE_PAGE_SIZE)
        .unwrap_or(u64::MAX);
    if needs > memory {
        let what = "the kernel and its stack need";
        return Err(Error::KernelTooLarge {
            what,
            needs,
            memory,
        });
    }
    Ok(())
}

/// The first page past the kernel.
fn kernel_end(image: &KernelImage) -> u64 {
    let end = image.memory_end();
    end.checked_next_multiple_of(PAGE_SIZE).unwrap_or(end)
}

#[cfg(test)]
mod tests;
