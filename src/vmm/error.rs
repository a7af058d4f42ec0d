//! What can be wrong with a kernel file, and what can fail while a machine is made.

use std::io;

/// A fault of a kernel file. The messages do not name the path: the caller, who
/// knows it, puts it in front.
#[derive(Debug, thiserror::Error)]
pub enum KernelError {
    #[error("the kernel is an empty file")]
    Empty,

    #[error("the kernel is not a regular file")]
    NotAFile,

    #[error("the kernel is truncated: its {part} end at byte {needs}, the file has {size} bytes")]
    Truncated {
        part: &'static str,
        needs: u64,
        size: u64,
    },

    #[error("the kernel is built for {found}, this monitor runs x86 and x86-64")]
    WrongMachine { found: String },

    #[error(
        "the file is not a kernel of a known boot ABI: {found} without a PVH note, \
         a Multiboot1 header or a 64-bit ELF entry"
    )]
    NotAKernel { found: &'static str },

    #[error("kernels of the kind {name} are not supported yet")]
    Unsupported { name: &'static str },

    #[error("the kernel's {part} cannot be read: {fault}")]
    BadHeader { part: &'static str, fault: String },

    #[error("the kernel's segment at {gpa:#x} ({size} bytes) {fault}")]
    BadSegment {
        gpa: u64,
        size: u64,
        fault: &'static str,
    },

    #[error("the kernel's entry point {entry:#x} lies {fault}")]
    BadEntry { entry: u64, fault: &'static str },

    #[error(
        "the kernel, with its initrd if it has one, needs {needs} bytes of memory, the machine \
         has {memory}: give it more"
    )]
    TooLarge { needs: u64, memory: u64 },

    #[error("the kernel cannot be read: {0}")]
    Io(#[from] io::Error),
}

/// Why a machine could not be made.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    #[error(transparent)]
    Kernel(#[from] KernelError),

    #[error("the initrd is not a regular file")]
    InitrdNotAFile,

    #[error("the initrd is an empty file: name another one, or none")]
    InitrdEmpty,

    #[error("the initrd cannot be read: {0}")]
    InitrdIo(#[source] io::Error),

    #[error("the kernel's command line is {len} bytes long, at most {max} fit: shorten it")]
    CmdlineTooLong { len: usize, max: usize },

    #[error("the kernel's command line contains a zero byte")]
    CmdlineNul,

    #[error("{memory} bytes of memory are too few for a machine: give it {min} or more")]
    MemoryTooSmall { memory: u64, min: u64 },

    #[error("{memory} bytes of memory are too many for a machine: give it {max} or fewer")]
    MemoryTooLarge { memory: u64, max: u64 },

    #[error("{memory} bytes of guest memory cannot be mapped: {fault}")]
    MemoryMap { memory: u64, fault: String },

    #[error("guest memory cannot be written at {gpa:#x}: {source}")]
    GuestMemory {
        gpa: u64,
        source: vm_memory::GuestMemoryError,
    },

    #[error("/dev/kvm speaks version {found} of the KVM API, this monitor speaks version 12")]
    KvmVersion { found: i32 },

    #[error("KVM refuses {call}: {source}")]
    Kvm {
        call: &'static str,
        source: kvm_ioctls::Error,
    },

    #[error("an event descriptor cannot be made: {0}")]
    EventFd(#[source] io::Error),
}

impl Error {
    /// For `map_err`: names the ioctl that KVM refused.
    pub(super) fn kvm(call: &'static str) -> impl Fn(kvm_ioctls::Error) -> Error {
        move |source| Error::Kvm { call, source }
    }

    /// For `map_err`: names the guest-physical address that could not be written.
    pub(super) fn guest_memory(gpa: u64) -> impl Fn(vm_memory::GuestMemoryError) -> Error {
        move |source| Error::GuestMemory { gpa, source }
    }
}
