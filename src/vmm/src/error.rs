//! What can be wrong with a kernel file, and what can fail while a machine is made.

use std::{fmt, io};

use super::boot::image::BootAbi;
use super::boot::solo5::manifest::Kind;
use super::devices::virtio::devices::vhost_user::BackEndError;

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
        "the kernel is of no known boot ABI: {found}; looked for a note of Solo5's, Hermit's or PVH's, \
         a Multiboot1 header, a 64-bit ELF entry and a bzImage's header"
    )]
    NotAKernel { found: &'static str },

    #[error("the kernel is built for Solo5's {target}: build it for hvt, or virtio with Multiboot")]
    Solo5Target { target: &'static str },

    #[error("the kernel speaks version {version} of Solo5's hvt ABI, this monitor version 2")]
    Solo5Version { version: u32 },

    #[error(
        "the kernel is a Linux of boot protocol {major}.{minor:02}, this monitor needs 2.12: \
         use Linux 3.8 or a later one"
    )]
    OldLinux { major: u16, minor: u16 },

    #[error("the kernel is a 32-bit Linux, this monitor runs 64-bit ones: use one for x86-64")]
    Linux32,

    #[error("the kernel has version {version} of Hermit's entry, this monitor has 4")]
    HermitEntry { version: u8 },

    #[error("the kernel has version {version} of uhyve's interface, this monitor has 1, 2 and 3")]
    HermitInterface { version: u32 },

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

    /// Bytes.
    #[error("the kernel is gzip-compressed, and unpacked it has more than {}: ship it unpacked", Size(*max))]
    UnpacksTooLarge { max: u64 },

    #[error("the kernel cannot be read: {0}")]
    Io(#[from] io::Error),
}

/// Why a machine could not be made.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    #[error(transparent)]
    Kernel(#[from] KernelError),

    /// `what` is the sentence's subject: the kernel, or it and its initrd. Bytes.
    #[error(
        "{what} {} of memory, the machine has {}: give it more memory",
        Size::at_least(*needs), Size(*memory)
    )]
    KernelTooLarge {
        what: &'static str,
        needs: u64,
        memory: u64,
    },

    /// Bytes.
    #[error(
        "the initrd has {}, at most {} fit below {} beside this kernel: make it smaller",
        Size::at_least(*size), Size(*max), Size(*end)
    )]
    InitrdTooLarge { size: u64, max: u64, end: u64 },

    #[error("a kernel of the ABI {abi} takes no initrd: name none")]
    InitrdUnwanted { abi: BootAbi },

    #[error("the files of share {tag}: {source}")]
    Share { tag: String, source: io::Error },

    #[error("the server of share {tag} {source}")]
    BackEnd { tag: String, source: BackEndError },
    #[error("the guest's sockets cannot be waited for: {0}")]
    Vsock(#[source] io::Error),

    #[error("the kernel's {kind} {name} is not attached")]
    NotAttached { kind: Kind, name: String },

    #[error("the kernel declares no {kind} {name}")]
    NotDeclared { kind: Kind, name: String },

    #[error("the image of block device {name} {fault}")]
    BadBlockDevice { name: String, fault: String },

    #[error("the packets' descriptor of network device {name}: {fault}")]
    BadNetDevice { name: String, fault: io::Error },

    #[error("{count} virtio devices are more than the {max} of a machine: let it have fewer")]
    TooManyDevices { count: usize, max: usize },

    #[error("KVM does not tell the TSC's frequency, which the kernel keeps time by")]
    NoTscFrequency,

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

    #[error("{} of memory are too few for a machine: give it {} or more", Size(*memory), Size(*min))]
    MemoryTooSmall { memory: u64, min: u64 },

    #[error("{} of memory are too many for a machine: give it {} or less", Size(*memory), Size(*max))]
    MemoryTooLarge { memory: u64, max: u64 },

    #[error("{} of guest memory cannot be mapped: {fault}", Size(*memory))]
    MemoryMap { memory: u64, fault: String },

    #[error("guest memory cannot be written at {gpa:#x}: {source}")]
    GuestMemory {
        gpa: u64,
        source: vm_memory::GuestMemoryError,
    },

    #[error("a machine cannot have {count} vCPUs: give it 1 to {max}")]
    Vcpus { count: u8, max: usize },

    #[error("/dev/kvm does not answer as KVM does: is it another device, made by hand?")]
    NotKvm,

    #[error("/dev/kvm speaks version {found} of the KVM API, this monitor speaks version 12")]
    KvmVersion { found: i32 },

    #[error("KVM refuses {call}: {source}")]
    Kvm {
        call: &'static str,
        source: kvm_ioctls::Error,
    },

    #[error("signals cannot be handled: {0}")]
    Signals(#[source] io::Error),

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

/// An amount of memory in bytes, told in the unit that a person would use. What is no round
/// number is rounded down.
struct Size(u64);

impl Size {
    /// The next whole MiB, for what must be had in full.
    fn at_least(bytes: u64) -> Size {
        Size(bytes.checked_next_multiple_of(MIB).unwrap_or(bytes))
    }
}

const MIB: u64 = 1 << 20;
const GIB: u64 = 1 << 30;

impl fmt::Display for Size {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            bytes @ 0..MIB => write!(f, "{bytes} bytes"),
            bytes if bytes.is_multiple_of(GIB) => write!(f, "{} GiB", bytes / GIB),
            bytes => write!(f, "{} MiB", bytes / MIB),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_are_told_in_round_numbers() {
        for (bytes, text) in [
            (12, "12 bytes"),
            (MIB, "1 MiB"),
            (64 * MIB + 4096, "64 MiB"),
            (3 * GIB, "3 GiB"),
            (3 * GIB + MIB, "3073 MiB"),
            (u64::MAX, "17592186044415 MiB"),
        ] {
            assert_eq!(Size(bytes).to_string(), text);
        }
        assert_eq!(Size::at_least(64 * MIB + 1).to_string(), "65 MiB");
        assert_eq!(Size::at_least(64 * MIB).to_string(), "64 MiB");
        assert_eq!(Size::at_least(u64::MAX).to_string(), "17592186044415 MiB");
    }
}
