//! What can be wrong with a kernel file, and what can fail while a machine is made.

mod kernel;
mod size;

use std::io;

use crate::boot::BootAbi;
use crate::boot::solo5::manifest::{BLOCK_SIZE, Kind};
use crate::devices::virtio::devices::vhost_user::BackEndError;
pub use kernel::{HeaderError, KernelError};
use size::Size;

/// Why the host maps no guest memory.
#[derive(Debug, thiserror::Error)]
#[error(transparent)]
pub enum MemoryMapError {
    /// There is no room for a mapping.
    Region(#[from] vm_memory::mmap::FromRangesError),
    /// There is no file for memory that another process is to share.
    File(#[from] io::Error),
}

/// What keeps a file from being a guest's disk: the verb of a sentence and what follows.
#[derive(Debug, thiserror::Error)]
pub enum BlockDeviceError {
    /// The file system does not say how large it is.
    #[error(transparent)]
    Io(#[from] io::Error),
    /// A directory, a pipe or the like.
    #[error("is neither a regular file nor a block device")]
    NotADisk,
    /// It has no blocks.
    #[error("is empty: give it one block or more")]
    Empty,
    /// It ends within a block.
    #[error("has {size} bytes: make that a multiple of {BLOCK_SIZE}")]
    Size {
        /// Bytes.
        size: u64,
    },
}

/// Why a machine could not be made.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The kernel file is at fault.
    #[error(transparent)]
    Kernel(#[from] KernelError),

    /// The machine's memory is too small for the kernel.
    #[error(
        "{what} {} of memory, the machine has {}: give it more memory",
        Size::at_least(*needs), Size(*memory)
    )]
    KernelTooLarge {
        /// The sentence's subject and verb: the kernel, or it and its initrd.
        what: &'static str,
        /// Bytes.
        needs: u64,
        /// Bytes.
        memory: u64,
    },

    /// No machine has room for the initrd.
    #[error(
        "the initrd has {}, at most {} fit below {} beside this kernel: make it smaller",
        Size::at_least(*size), Size(*max), Size(*end)
    )]
    InitrdTooLarge {
        /// Bytes.
        size: u64,
        /// Bytes.
        max: u64,
        /// The first guest-physical address past the place where it could lie.
        end: u64,
    },

    /// The boot ABI has no initrd.
    #[error("a kernel of the ABI {abi} takes no initrd: name none")]
    InitrdUnwanted {
        /// The kernel's.
        abi: BootAbi,
    },

    /// The directory of a share cannot be served.
    #[error("the files of share {tag}: {source}")]
    Share {
        /// By which the guest finds it.
        tag: String,
        /// What the system says.
        source: io::Error,
    },

    /// The process that serves a share does not answer as vhost-user wants it.
    #[error("the server of share {tag} {source}")]
    BackEnd {
        /// By which the guest finds it.
        tag: String,
        /// What is wrong: the sentence's verb and what follows.
        source: BackEndError,
    },

    /// The sockets behind a guest's vsock cannot be polled.
    #[error("the guest's sockets cannot be waited for: {0}")]
    Vsock(#[source] io::Error),

    /// A Solo5 kernel declares a device that it is not given.
    #[error("the kernel's {kind} {name} is not attached")]
    NotAttached {
        /// A disk or a network.
        kind: Kind,
        /// The kernel's name for it.
        name: String,
    },

    /// A Solo5 kernel is given a device that it does not declare.
    #[error("the kernel declares no {kind} {name}")]
    NotDeclared {
        /// A disk or a network.
        kind: Kind,
        /// The name that it was given by.
        name: String,
    },

    /// A file that cannot be a disk.
    #[error("the image of block device {name} {source}")]
    BadBlockDevice {
        /// The guest's name for the device.
        name: String,
        /// What is wrong with the file.
        source: BlockDeviceError,
    },

    /// A descriptor that cannot give whole packets without blocking.
    #[error("the packets' descriptor of network device {name}: {fault}")]
    BadNetDevice {
        /// The guest's name for the device.
        name: String,
        /// What the system says.
        #[source]
        fault: io::Error,
    },

    /// More devices than the transport has places for.
    #[error("{count} virtio devices are more than the {max} of a machine: let it have fewer")]
    TooManyDevices {
        /// How many there would be.
        count: usize,
        /// How many there may be.
        max: usize,
    },

    /// A Solo5 kernel cannot do without the frequency, and this KVM does not say it.
    #[error("KVM does not tell the TSC's frequency, which the kernel keeps time by")]
    NoTscFrequency,

    /// A directory, a device or the like.
    #[error("the initrd is not a regular file")]
    InitrdNotAFile,

    /// A file of no bytes, which some kernels take for an error and others for none.
    #[error("the initrd is an empty file: name another one, or none")]
    InitrdEmpty,

    /// The file system does not give its bytes.
    #[error("the initrd cannot be read: {0}")]
    InitrdIo(#[source] io::Error),

    /// Longer than the kernel, or its boot protocol, takes.
    #[error("the kernel's command line is {len} bytes long, at most {max} fit: shorten it")]
    CmdlineTooLong {
        /// Bytes, without the zero byte.
        len: usize,
        /// The most, likewise.
        max: usize,
    },

    /// It would end there for the kernel.
    #[error("the kernel's command line contains a zero byte")]
    CmdlineNul,

    /// Less than any machine has.
    #[error("{} of memory are too few for a machine: give it {} or more", Size(*memory), Size(*min))]
    MemoryTooSmall {
        /// Bytes asked for.
        memory: u64,
        /// The least bytes.
        min: u64,
    },

    /// More than this kernel's machine can have.
    #[error("{} of memory are too many for a machine: give it {} or less", Size(*memory), Size(*max))]
    MemoryTooLarge {
        /// Bytes asked for.
        memory: u64,
        /// The most bytes.
        max: u64,
    },

    /// The host has no room for the mapping.
    #[error("{} of guest memory cannot be mapped: {source}", Size(*memory))]
    MemoryMap {
        /// Bytes.
        memory: u64,
        /// What the host says.
        source: MemoryMapError,
    },

    /// The machine's memory ends before what the monitor writes into it.
    #[error("guest memory cannot be written at {gpa:#x}: {source}")]
    GuestMemory {
        /// Guest-physical address.
        gpa: u64,
        /// What is wrong there.
        source: vm_memory::GuestMemoryError,
    },

    /// More vCPUs than KVM or an APIC ID takes, or none.
    #[error("a machine cannot have {count} vCPUs: give it 1 to {max}")]
    Vcpus {
        /// How many were asked for.
        count: u8,
        /// How many there may be.
        max: usize,
    },

    /// It refuses the first ioctl.
    #[error("/dev/kvm does not answer as KVM does: is it another device, made by hand?")]
    NotKvm,

    /// Not the version since Linux 2.6.22.
    #[error("/dev/kvm speaks version {found} of the KVM API, this monitor speaks version 12")]
    KvmVersion {
        /// KVM's.
        found: i32,
    },

    /// One of KVM's ioctls failed.
    #[error("KVM refuses {call}: {source}")]
    Kvm {
        /// The ioctl's name in Documentation/virt/kvm/api.rst.
        call: &'static str,
        /// The error number.
        source: kvm_ioctls::Error,
    },

    /// sigaction(2) or its like failed.
    #[error("signals cannot be handled: {0}")]
    Signals(#[source] io::Error),

    /// eventfd(2) or dup(2) failed.
    #[error("an event descriptor cannot be made: {0}")]
    EventFd(#[source] io::Error),
}

impl Error {
    /// For `map_err`: names the ioctl that KVM refused.
    pub(crate) fn kvm(call: &'static str) -> impl Fn(kvm_ioctls::Error) -> Error {
        move |source| Error::Kvm { call, source }
    }

    /// For `map_err`: names the bytes that could not be mapped.
    pub(crate) fn memory_map<E: Into<MemoryMapError>>(memory: u64) -> impl Fn(E) -> Error {
        move |source| Error::MemoryMap {
            memory,
            source: source.into(),
        }
    }

    /// For `map_err`: names the guest-physical address that could not be written.
    pub(crate) fn guest_memory(gpa: u64) -> impl Fn(vm_memory::GuestMemoryError) -> Error {
        move |source| Error::GuestMemory { gpa, source }
    }
}
