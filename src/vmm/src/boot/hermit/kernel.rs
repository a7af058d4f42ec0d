//! What is known of one of Hermit's kernels, and where it lies.

use super::interface::Interface;
use super::relocate::Relocation;
use crate::arch::layout::HOLE_START;
use crate::boot::elf::Part;

/// Where a kernel that can lie anywhere is put, from the machine's first address.
pub(super) const KERNEL_OFFSET: u64 = 0x4_0000;
/// The boot stack, just below the kernel.
pub(super) const STACK_SIZE: u64 = 0x8000;

/// Where the memory of a kernel begins that has interface 2 or 3, and the most that it can
/// have: uhyve's range of addresses ends at 64 GiB.
const HIGH_START: u64 = 4 << 30;
const HIGH_MAX: u64 = 60 << 30;

/// The longest command line, in bytes without its zero byte: the device tree has 16 KiB.
pub(super) const CMDLINE_MAX: usize = 12 << 10;

/// A Hermit kernel for uhyve.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Hermit {
    pub(super) interface: Interface,
    /// Whether it is older than 0.10, and finds more memory mapped than it needs.
    pub(super) is_old: bool,
    /// Where thread-local storage has its initial content; by guest-physical address.
    pub(super) tls: Option<Part>,
    pub(super) relocations: Vec<Relocation>,
}

impl Hermit {
    /// Where the memory of its machine begins: a guest-physical address.
    pub(super) fn start(&self) -> u64 {
        match self.interface {
            Interface::V1 => 0,
            Interface::V2 => HIGH_START,
        }
    }

    /// The most memory that its machine can have, in bytes. The first interface has 32-bit
    /// addresses, and one piece of memory.
    pub(super) fn most_memory(&self) -> u64 {
        match self.interface {
            Interface::V1 => HOLE_START,
            Interface::V2 => HIGH_MAX,
        }
    }
}
