//! Multiboot 1 (Multiboot specification 0.6.96): [`header`] is what the kernel file says,
//! [`info`] what the kernel is told.

mod header;
mod info;

use super::abi::BootAbi;
use super::cmdline::write_for_pc;
use super::program::{Limits, Program};
use super::protocol::{BootParams, BootProtocol, KernelFile, Loaded};
use crate::arch::registers::EntryState;
use crate::error::{Error, KernelError};
use crate::memory::GuestMemory;
use header::Header;

/// A kernel with a Multiboot header.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Multiboot1;

impl BootProtocol for Multiboot1 {
    fn probe(kernel: &KernelFile<'_>) -> Result<Option<(Program, Multiboot1)>, KernelError> {
        let Some(header) = Header::find(kernel.head) else {
            return Ok(None);
        };
        let (entry, segments) = header.image(kernel.elf.as_ref(), kernel.size)?;
        let program = Program {
            entry,
            segments,
            limits: Limits::default(),
        };
        Ok(Some((program, Multiboot1)))
    }

    fn abi(&self) -> BootAbi {
        BootAbi::Multiboot1
    }

    fn expects_pci(&self) -> bool {
        true
    }

    fn expects_running_timer(&self) -> bool {
        true
    }

    fn write_boot_params(
        &self,
        memory: &GuestMemory,
        program: &Program,
        loaded: &Loaded,
        params: &BootParams<'_>,
    ) -> Result<EntryState, Error> {
        write_for_pc(memory, program, params)?;
        info::write_information(memory, program.entry, loaded)
    }
}
