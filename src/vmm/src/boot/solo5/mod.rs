//! Solo5's hvt ABI, version 2: what MirageOS and its relatives boot by.
//!
//! | module | what it knows |
//! |---|---|
//! | [`notes`] | the kernel's two ELF notes: its target, its manifest |
//! | [`manifest`] | the devices that the kernel declares, and those that are attached |
//! | [`pages`] | what the kernel may do with which part of its memory |
//! | [`start`] | low memory and registers at the kernel's first instruction |
//!
//! The hypercalls are in [`hypercall::solo5`](crate::hypercall::solo5).
//!
//! Source: Solo5, include/hvt_abi.h, mft_abi.h, elf_abi.h; tenders/hvt/hvt_cpu_x86_64.[ch].

pub(crate) mod manifest;
mod notes;
mod pages;
mod start;

use super::abi::BootAbi;
use super::elf::{Class, Elf, Load};
use super::place::{Placed, place_below_hole};
use super::program::{Limits, Program};
use super::protocol::{BootParams, BootProtocol, HypercallAbi, KernelFile, Loaded};
use crate::arch::layout::{HOLE_START, PAGE_SIZE};
use crate::arch::registers::EntryState;
use crate::error::{Error, KernelError};
use crate::memory::GuestMemory;
use manifest::{Device, Manifest};
use notes::Notes;
use pages::{LARGE_PAGE_SIZE, MIN_BASE, Protected};

/// What the bindings ask for beyond the kernel, for stack and heap (mem_init in
/// bindings/mem.c), in bytes.
const LEAST_HEAP: u64 = 512 << 10;

/// The most memory that a Solo5 kernel can have here, in bytes. It has no hole; the ABI ends
/// at 4 GiB, where KVM needs some pages of its own.
const MAX_MEMORY: u64 = HOLE_START;

/// A Solo5 kernel for hvt.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Solo5 {
    /// The devices that it declares.
    manifest: Manifest,
    /// What it may do with its segments.
    protected: Vec<Protected>,
}

impl Solo5 {
    /// Whether `kernel` is one of Solo5's for virtio, and so boots by Multiboot.
    pub(super) fn is_for_virtio(kernel: &KernelFile<'_>) -> bool {
        let notes = kernel.elf.as_ref().and_then(notes_of);
        notes.is_some_and(|notes| notes.is_for_virtio())
    }
}

/// Solo5's notes, if there is one.
fn notes_of(elf: &Elf) -> Option<Notes> {
    elf.notes.of(notes::NAME).next()?;
    Some(Notes::of(elf.notes.segments()))
}

impl BootProtocol for Solo5 {
    /// Also refuses what is built for another target than hvt.
    fn probe(kernel: &KernelFile<'_>) -> Result<Option<(Program, Solo5)>, KernelError> {
        let Some(elf) = &kernel.elf else {
            return Ok(None);
        };
        let Some(notes) = notes_of(elf).filter(|notes| !notes.is_for_virtio()) else {
            return Ok(None);
        };
        notes.check_target()?;
        let manifest = notes.manifest()?;
        check(elf)?;
        let protected = |load: &Load| {
            let segment = load.by_virtual_address;
            let end = segment.gpa.saturating_add(segment.memory_size);
            Protected::pages(segment.gpa, end, load.rights)
        };
        let solo5 = Solo5 {
            manifest,
            protected: elf.loads.iter().map(protected).collect(),
        };
        let program = Program {
            entry: elf.entry,
            segments: elf.virtual_segments(),
            limits: Limits::default(),
        };
        Ok(Some((program, solo5)))
    }

    fn abi(&self) -> BootAbi {
        BootAbi::Solo5
    }

    fn has_virtio(&self) -> bool {
        false
    }

    fn uses_several_vcpus(&self) -> bool {
        false
    }

    fn has_interrupt_controllers(&self) -> bool {
        false
    }

    fn max_memory(&self) -> u64 {
        MAX_MEMORY
    }

    fn memory_granularity(&self) -> u64 {
        LARGE_PAGE_SIZE
    }

    /// Checks that the kernel, its stack and its first heap fit; an initrd is refused.
    fn place_initrd(&self, program: &Program, size: u64, memory: u64) -> Result<Placed, Error> {
        if size > 0 {
            return Err(Error::InitrdUnwanted { abi: self.abi() });
        }
        let needs = kernel_end(program)
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
        place_below_hole(program, 0, memory)
    }

    fn write_boot_params(
        &self,
        memory: &GuestMemory,
        program: &Program,
        loaded: &Loaded,
        params: &BootParams<'_>,
    ) -> Result<EntryState, Error> {
        let kernel = start::Kernel {
            entry: program.entry,
            end: kernel_end(program),
            manifest: &self.manifest,
            protected: &self.protected,
        };
        start::prepare(memory, loaded.memory, &kernel, params.cmdline)
    }

    fn declares_devices(&self) -> bool {
        true
    }

    fn declared(&self) -> &[Device] {
        &self.manifest.devices
    }

    fn hypercalls(&mut self) -> Option<HypercallAbi<'_>> {
        Some(HypercallAbi::Solo5(&mut self.manifest))
    }
}

/// Holds the file's headers against what the ABI wants.
fn check(elf: &Elf) -> Result<(), KernelError> {
    let segments = elf.virtual_segments();
    if let Some(segment) = segments.iter().find(|s| s.gpa < MIN_BASE) {
        return Err(segment.fault("lies below 0x100000, where Solo5's begin"));
    }
    let is_both = |load: &&Load| load.rights.write && load.rights.execute;
    if let Some(load) = elf.loads.iter().find(is_both) {
        let fault = "is writable and executable, which Solo5 forbids";
        return Err(load.by_virtual_address.fault(fault));
    }
    if elf.class != Class::Elf64 {
        return Err(KernelError::NotAKernel {
            found: "it is a 32-bit ELF file with a note of Solo5's",
        });
    }
    Ok(())
}

/// The first page past the kernel.
fn kernel_end(program: &Program) -> u64 {
    let end = program.memory_end();
    end.checked_next_multiple_of(PAGE_SIZE).unwrap_or(end)
}

#[cfg(test)]
mod tests;
