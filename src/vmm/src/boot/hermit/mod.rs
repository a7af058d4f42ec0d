//! Hermit's kernels, as its own monitor (uhyve) boots them.
//!
//! | module | what it knows |
//! |---|---|
//! | [`kernel`] | what is known of a kernel |
//! | [`interface`] | how it calls its monitor |
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
pub(crate) mod interface;
mod kernel;
mod notes;
mod relocate;
mod start;

use super::abi::BootAbi;
use super::elf::{Class, Part};
use super::place::Placed;
use super::program::{Limits, Program, Segment};
use super::protocol::{BootParams, BootProtocol, HypercallAbi, KernelFile, Loaded};
use crate::arch::layout::PAGE_SIZE;
use crate::arch::registers::EntryState;
use crate::error::{Error, KernelError};
use crate::memory::GuestMemory;
use interface::Interface;
pub(crate) use kernel::Hermit;
use kernel::{CMDLINE_MAX, KERNEL_OFFSET};
use notes::Notes;

/// How far the initrd may reach past the machine's first address: there is room for the page
/// tables of so much.
const MAPPED_MAX: u64 = 32 << 30;

impl BootProtocol for Hermit {
    fn probe(kernel: &KernelFile<'_>) -> Result<Option<(Program, Hermit)>, KernelError> {
        let Some(elf) = &kernel.elf else {
            return Ok(None);
        };
        let Some(notes) = Notes::of(&elf.notes) else {
            return Ok(None);
        };
        if elf.class != Class::Elf64 {
            return Err(KernelError::NotAKernel {
                found: "it is a 32-bit ELF file with a note of Hermit's",
            });
        }
        let mut hermit = Hermit {
            interface: notes.interface()?,
            is_old: notes.is_old(),
            tls: None,
            relocations: Vec::new(),
        };
        let lowest = hermit.start() + KERNEL_OFFSET;
        // Addresses that wrap are found with the segments below.
        let slide = match elf.is_relocatable {
            true => lowest,
            false => 0,
        };
        let moved = |segment: Segment| segment.moved(slide);
        let segments: Vec<Segment> = elf.virtual_segments().into_iter().map(moved).collect();
        if let Some(segment) = segments.iter().find(|s| s.gpa < lowest) {
            return Err(segment.fault(match hermit.interface {
                Interface::V1 => "lies below 0x40000, where Hermit's kernels begin",
                Interface::V2 => "lies below 0x100040000, where Hermit's kernels begin",
            }));
        }
        hermit.tls = elf.tls.map(|tls| Part {
            segment: moved(tls.segment),
            ..tls
        });
        if elf.is_relocatable {
            hermit.relocations = relocate::read(kernel.file, elf, slide, kernel.size)?;
        }
        let program = Program {
            entry: elf.entry.wrapping_add(slide),
            segments,
            limits: Limits {
                cmdline: CMDLINE_MAX,
                initrd_end: hermit.start() + MAPPED_MAX,
            },
        };
        Ok(Some((program, hermit)))
    }

    fn abi(&self) -> BootAbi {
        BootAbi::Hermit
    }

    fn has_virtio(&self) -> bool {
        false
    }

    /// They could, by a way of their own.
    fn uses_several_vcpus(&self) -> bool {
        false
    }

    fn memory_start(&self) -> Option<u64> {
        Some(self.start())
    }

    fn max_memory(&self) -> u64 {
        self.most_memory()
    }

    /// They have a layout of their own, and no firmware.
    fn check_place(&self, _: &Program) -> Result<(), KernelError> {
        Ok(())
    }

    /// On the first page past the kernel, where Hermit's loaders put it.
    fn place_initrd(&self, program: &Program, size: u64, memory: u64) -> Result<Placed, Error> {
        let start = self.start();
        let is_far = |s: &&Segment| s.memory_end() > start + MAPPED_MAX;
        if let Some(far) = program.segments.iter().find(is_far) {
            let fault = "reaches further than the page tables at boot";
            return Err(Error::Kernel(far.fault(fault)));
        }
        let kernel_end = program.memory_end();
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
        let limit = program.limits.initrd_end;
        if size > 0 && end > limit {
            return Err(Error::InitrdTooLarge {
                size,
                max: limit.saturating_sub(gpa),
                end: limit,
            });
        }
        Ok(Placed { gpa, size })
    }

    fn write_boot_params(
        &self,
        memory: &GuestMemory,
        program: &Program,
        loaded: &Loaded,
        params: &BootParams<'_>,
    ) -> Result<EntryState, Error> {
        start::prepare(memory, self, program, loaded, params)
    }

    fn hypercalls(&mut self) -> Option<HypercallAbi<'_>> {
        Some(HypercallAbi::Hermit(self.interface))
    }
}

#[cfg(test)]
mod tests;
