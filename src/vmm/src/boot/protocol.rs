//! What every boot protocol answers.

use std::fs::File;

use super::abi::BootAbi;
use super::elf::Elf;
use super::hermit::interface::Interface;
use super::place::{Placed, place_below_hole};
use super::program::Program;
use super::solo5::manifest::{Device, Manifest};
use crate::arch::layout::PAGE_SIZE;
use crate::arch::registers::EntryState;
use crate::devices::virtio::slots::DeviceSlots;
use crate::error::{Error, KernelError};
use crate::memory::{GuestMemory, MAX_MEMORY};

/// A kernel file that is looked at.
pub(super) struct KernelFile<'a> {
    pub file: &'a File,
    /// Its first bytes: with all headers that do not say themselves where they lie.
    pub head: &'a [u8],
    /// Bytes of the file.
    pub size: u64,
    /// Its headers, if it is an ELF file.
    pub elf: Option<Elf>,
}

/// What a kernel is told, besides what is in its memory.
#[derive(Debug, Clone, Copy)]
pub(crate) struct BootParams<'a> {
    pub cmdline: &'a str,
    pub vcpus: u8,
    /// How fast the vCPU's TSC counts, if that is known.
    pub tsc_khz: Option<u32>,
    /// Where a Hermit guest finds the container's files: directories of its root.
    pub dirs: &'a [String],
    /// Where virtio devices are.
    pub slots: &'a DeviceSlots,
}

/// What was loaded into guest memory beside the kernel.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Loaded {
    /// Bytes of guest memory.
    pub memory: u64,
    pub initrd: Option<Placed>,
}

/// The hypercalls of a kernel that calls its monitor, with what the boot protocol knows of them.
pub(crate) enum HypercallAbi<'a> {
    /// For the devices that the kernel declares.
    Solo5(&'a mut Manifest),
    Hermit(Interface),
}

/// One way of booting, with what it alone knows of a kernel.
///
/// What is not said otherwise is as for a kernel of a PC with virtio devices.
pub(super) trait BootProtocol {
    /// What `kernel` is, if it is a kernel of this protocol.
    ///
    /// # Errors
    /// What keeps a kernel of this protocol from being booted, as far as that is seen in its
    /// headers; where its segments lie is for others to check.
    fn probe(kernel: &KernelFile<'_>) -> Result<Option<(Program, Self)>, KernelError>
    where
        Self: Sized;

    fn abi(&self) -> BootAbi;

    /// Whether the kernel finds a PC's devices and virtio's: those that call their monitor
    /// know of none.
    fn has_virtio(&self) -> bool {
        true
    }

    /// Whether the kernel can find the other processors: by ACPI's tables, which Linux and PVH
    /// are told of, and Multiboot's kernels look for below 1 MiB.
    fn uses_several_vcpus(&self) -> bool {
        true
    }

    /// Whether kernels by this protocol were built for a PC with a PCI bus.
    fn expects_pci(&self) -> bool {
        false
    }

    /// Whether the machine has interrupt controllers and a timer.
    fn has_interrupt_controllers(&self) -> bool {
        true
    }

    /// Whether the timer ticks at the entry, as a PC's firmware leaves it.
    fn expects_running_timer(&self) -> bool {
        false
    }

    /// Where memory is one piece, without the hole below 4 GiB: the guest-physical address of its
    /// first byte.
    fn memory_start(&self) -> Option<u64> {
        None
    }

    /// The most memory that the machine can have, in bytes.
    fn max_memory(&self) -> u64 {
        MAX_MEMORY
    }

    /// Memory comes in multiples of this, in bytes: a power of two.
    fn memory_granularity(&self) -> u64 {
        PAGE_SIZE
    }

    /// Whether `program` lies where this protocol lets it.
    ///
    /// # Errors
    /// [`KernelError::BadSegment`], [`KernelError::BadEntry`].
    fn check_place(&self, program: &Program) -> Result<(), KernelError> {
        program.check_place()
    }

    /// Where an initrd of `size` bytes goes (0: there is none), if it and `program` fit into
    /// `memory` bytes.
    ///
    /// # Errors
    /// [`Error::KernelTooLarge`], [`Error::InitrdTooLarge`], [`Error::InitrdUnwanted`],
    /// [`KernelError::BadSegment`].
    fn place_initrd(&self, program: &Program, size: u64, memory: u64) -> Result<Placed, Error> {
        place_below_hole(program, size, memory)
    }

    /// Writes what the kernel, which is loaded, is told, and says how it is entered. To write it
    /// again takes the place of what was written before.
    ///
    /// # Errors
    /// [`Error::CmdlineTooLong`], [`Error::CmdlineNul`]; [`Error::GuestMemory`] in a machine
    /// smaller than any that can be asked for.
    fn write_boot_params(
        &self,
        memory: &GuestMemory,
        program: &Program,
        loaded: &Loaded,
        params: &BootParams<'_>,
    ) -> Result<EntryState, Error>;

    /// Whether a kernel declares the devices that it needs.
    fn declares_devices(&self) -> bool {
        false
    }

    /// The devices that the kernel declares.
    fn declared(&self) -> &[Device] {
        &[]
    }

    /// The calls that the kernel makes, if it has no devices but calls its monitor.
    fn hypercalls(&mut self) -> Option<HypercallAbi<'_>> {
        None
    }
}
