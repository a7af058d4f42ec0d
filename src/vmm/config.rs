//! What the caller decides about a machine.

use std::fs::File;

/// The most virtual processors that a machine can have: an APIC ID has eight bits, the last
/// one means all of them, and ACPI's processor list and KVM's I/O APIC take no wider ones.
pub const MAX_VCPUS: u8 = 254;

/// The size and the command line of a machine.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MachineConfig {
    /// Guest memory in bytes; rounded down to whole pages, at least
    /// [`MIN_MEMORY`](super::MIN_MEMORY).
    pub memory: u64,
    /// Virtual processors, 1 to [`MAX_VCPUS`].
    pub vcpus: u8,
    /// The kernel's command line, handed over byte for byte.
    pub cmdline: String,
}

/// The open files that a machine is made of. They are opened by the caller, while
/// it still has the rights and the root to do so.
#[derive(Debug)]
pub struct Files {
    /// /dev/kvm, open for reading and writing.
    pub kvm: File,
    /// The kernel, a regular file open for reading.
    pub kernel: File,
    /// The initrd or boot module, a regular file open for reading.
    pub initrd: Option<File>,
}
