//! What the caller decides about a machine.

use std::fs::File;

/// The size and the command line of a machine. It has one vCPU.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MachineConfig {
    /// Guest memory in bytes; rounded down to whole pages, at least
    /// [`MIN_MEMORY`](super::MIN_MEMORY).
    pub memory: u64,
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
