//! What a kernel file is: how it boots, its entry point and its segments.

use std::fs::File;

use super::abi::BootAbi;
use super::elf::Elf;
use super::place::Placed;
use super::program::Program;
use super::protocol::{BootParams, BootProtocol, HypercallAbi, KernelFile, Loaded};
use super::protocols::Protocol;
use super::read::read_at;
use super::solo5::manifest::{Device, Kind};
use crate::arch::registers::EntryState;
use crate::error::{Error, KernelError};
use crate::memory::{self, GuestMemory, checked_size};

/// How much of the file's beginning is looked at: Multiboot's header lies in the
/// first 8192 bytes (Multiboot specification 0.6.96, section 3.1), and the headers of
/// the other formats lie before that.
const HEAD_SIZE: u64 = 8192;

const GZIP_MAGIC: &[u8] = &[0x1f, 0x8b];

/// What must be known of a kernel file to load and enter it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KernelImage {
    pub(super) program: Program,
    pub(super) protocol: Protocol,
}

impl KernelImage {
    /// Finds out what kernel `file` is, from its headers and notes alone.
    ///
    /// What the file says is not believed: whatever it holds, at most about 100 KiB of
    /// it are read, and the image returned lies clear of the boot structures, within
    /// the file, and nowhere over itself. Whether it fits into a machine's memory is
    /// [`check_fits`](Self::check_fits)'s question.
    ///
    /// # Errors
    /// The first fault found, as a [`KernelError`].
    pub fn probe(file: &File) -> Result<KernelImage, KernelError> {
        let metadata = file.metadata()?;
        if !metadata.is_file() {
            return Err(KernelError::NotAFile);
        }
        let size = metadata.len();
        if size == 0 {
            return Err(KernelError::Empty);
        }
        let head = read_at(file, 0, HEAD_SIZE.min(size), "headers", size)?;
        if head.starts_with(GZIP_MAGIC) {
            // Whoever wants what is inside unpacks it first.
            return Err(KernelError::NotAKernel {
                found: "it is gzip-compressed",
            });
        }
        let kernel = KernelFile {
            file,
            head: &head,
            size,
            elf: Elf::read(file, &head, size)?,
        };
        let found = match &kernel.elf {
            Some(elf) if elf.interpreted => "it is a dynamically linked program",
            Some(_) => "it is a 32-bit ELF file",
            None => "it is no ELF file",
        };
        let (program, protocol) =
            Protocol::probe(&kernel)?.ok_or(KernelError::NotAKernel { found })?;
        program.check(size)?;
        protocol.get().check_place(&program)?;
        Ok(KernelImage { program, protocol })
    }

    /// A kernel of which no more is known than how it is entered: of no bytes, and without
    /// devices that it declares.
    pub fn synthetic(abi: BootAbi) -> KernelImage {
        KernelImage {
            program: Program::default(),
            protocol: Protocol::synthetic(abi),
        }
    }

    /// How the kernel is entered.
    pub fn abi(&self) -> BootAbi {
        self.protocol().abi()
    }

    /// The devices of one kind that the kernel declares; none where its ABI knows no such
    /// declarations.
    pub fn declared(&self, kind: Kind) -> impl Iterator<Item = &Device> {
        let devices = self.protocol().declared().iter();
        devices.filter(move |device| device.kind == kind)
    }

    /// Checks that the kernel and an initrd of `initrd_size` bytes (0: none) fit into a
    /// machine with `memory` bytes.
    ///
    /// # Errors
    /// [`Error::KernelTooLarge`], [`Error::InitrdTooLarge`], [`KernelError::BadSegment`] for a
    /// kernel that lies in the hole below 4 GiB, [`Error::MemoryTooSmall`],
    /// [`Error::MemoryTooLarge`], [`Error::InitrdUnwanted`].
    pub fn check_fits(&self, initrd_size: u64, memory: u64) -> Result<(), Error> {
        self.place_initrd(initrd_size, memory).map(|_| ())
    }

    /// As [`KernelImage::check_fits`], and says where the initrd goes.
    pub(super) fn place_initrd(&self, size: u64, memory: u64) -> Result<Placed, Error> {
        let memory = self.memory_size(memory)?;
        self.protocol().place_initrd(&self.program, size, memory)
    }

    /// The bytes that a machine of `memory` bytes really has for this kernel.
    ///
    /// # Errors
    /// [`Error::MemoryTooSmall`], [`Error::MemoryTooLarge`].
    pub fn memory_size(&self, memory: u64) -> Result<u64, Error> {
        let max = self.max_memory();
        match checked_size(memory)? {
            size if size > max => Err(Error::MemoryTooLarge { memory, max }),
            size => Ok(size & !(self.protocol().memory_granularity() - 1)),
        }
    }

    /// The most memory that this kernel can be given, in bytes.
    pub fn max_memory(&self) -> u64 {
        self.protocol().max_memory()
    }

    /// Whether the machine has interrupt controllers and a timer.
    pub(crate) fn has_interrupt_controllers(&self) -> bool {
        self.protocol().has_interrupt_controllers()
    }

    /// Whether the timer ticks at the entry, as a PC's firmware leaves it.
    pub(crate) fn expects_running_timer(&self) -> bool {
        self.protocol().expects_running_timer()
    }

    /// The calls that the kernel makes, if it has no devices but calls its monitor.
    pub(crate) fn hypercalls(&mut self) -> Option<HypercallAbi<'_>> {
        self.protocol.get_mut().hypercalls()
    }

    /// Maps `size` bytes of guest memory, which [`KernelImage::memory_size`] gave, where this
    /// kernel has its memory.
    ///
    /// # Errors
    /// [`Error::MemoryMap`] where the host has no room for the mapping.
    pub(crate) fn allocate(&self, size: u64) -> Result<GuestMemory, Error> {
        match self.protocol().memory_start() {
            Some(start) => memory::allocate_from(start, size),
            None => memory::allocate(size),
        }
    }

    /// Tells the kernel, which is loaded, all else, and prepares the entry of the first vCPU. To
    /// tell it again takes the place of what it was told before.
    ///
    /// # Errors
    /// [`Error::CmdlineTooLong`], [`Error::CmdlineNul`].
    pub(crate) fn write_boot_params(
        &self,
        memory: &GuestMemory,
        loaded: &Loaded,
        params: &BootParams<'_>,
    ) -> Result<EntryState, Error> {
        self.protocol()
            .write_boot_params(memory, &self.program, loaded, params)
    }

    fn protocol(&self) -> &dyn BootProtocol {
        self.protocol.get()
    }
}

#[cfg(test)]
mod tests;
