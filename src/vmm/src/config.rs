//! What the caller decides about a machine.

use std::fmt;
use std::fs::File;
use std::os::fd::OwnedFd;
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::PathBuf;

use serde::{Deserialize, Serialize};

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
    /// The kernel's command line as far as it is known, to see whether it fits.
    pub cmdline: String,
    /// Where the guest finds its devices.
    pub transport: Transport,
}

/// How virtio devices are reached (virtio 1.2, chapter 4). Kernels that call their monitor have
/// none.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Transport {
    /// Registers in memory, version 2.
    #[default]
    Mmio,
    /// The same, version 1: the legacy interface.
    MmioLegacy,
    /// Functions on a PCI bus that have both interfaces.
    Pci,
    /// The same with the modern interface alone.
    PciModern,
}

impl Transport {
    /// All of them, in the order of their names' documentation.
    pub const ALL: [Transport; 4] = [
        Transport::Mmio,
        Transport::MmioLegacy,
        Transport::Pci,
        Transport::PciModern,
    ];
}

impl fmt::Display for Transport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Transport::Mmio => "mmio",
            Transport::MmioLegacy => "mmio-legacy",
            Transport::Pci => "pci",
            Transport::PciModern => "pci-modern",
        })
    }
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
    /// The directory whose regular files a Hermit guest may read and write, open as a path
    /// (O_PATH). Without it there are none.
    pub root: Option<OwnedFd>,
    /// One for each block device that the kernel declares.
    pub blocks: Vec<BlockDevice>,
    /// File trees that the guest has by 9P.
    pub shares: Vec<Share>,
    /// File trees that it has by virtio-fs. With one, guest memory is shared.
    pub served: Vec<ServedShare>,
    /// Where the guest's streams to its neighbours begin and end.
    pub vsock: Option<Vsock>,
}

/// A guest's sockets, by Firecracker's convention (its docs/vsock.md).
#[derive(Debug)]
pub struct Vsock {
    /// Who connects here and says `CONNECT PORT` is connected with that port of the guest's. It is
    /// made non-blocking.
    pub listener: UnixListener,
    /// The guest's connections with port N of its host go to the Unix socket at this path and
    /// `_N`, which is looked for when the guest asks.
    pub path: PathBuf,
}

/// A file tree that a guest reads and writes as this process may.
#[derive(Debug)]
pub struct Share {
    /// By which the guest finds it.
    pub tag: String,
    /// The tree's root with all that is mounted beneath, a directory, open as a path (O_PATH).
    pub root: OwnedFd,
}

/// A file tree that another process serves.
#[derive(Debug)]
pub struct ServedShare {
    /// By which the guest finds it, of 36 bytes at most.
    pub tag: String,
    /// Connected with that process, a back end of vhost-user, which answers when the machine is
    /// finished. It gets the guest's memory by this.
    pub back_end: UnixStream,
}

/// A file that a guest has as a disk.
#[derive(Debug)]
pub struct BlockDevice {
    /// The kernel's own name for it.
    pub name: String,
    /// A regular file or a block device, of whole blocks of 512 bytes, open for reading, and for
    /// writing unless it is `read_only`.
    pub image: File,
    /// Whether the guest cannot write to it.
    pub read_only: bool,
}

/// A network that a guest is connected with.
#[derive(Debug)]
pub struct NetDevice {
    /// The kernel's own name for it.
    pub name: String,
    /// Takes and gives one Ethernet packet, without its checksum, by each write and read: a
    /// tap device (IFF_NO_PI), or a datagram or seqpacket socket. It is made non-blocking. Over
    /// a tap with IFF_VNET_HDR a virtio guest may leave checksums and the cutting of large
    /// packets to the host.
    pub packets: OwnedFd,
    /// The guest's Ethernet address.
    pub mac: [u8; 6],
    /// The most bytes of a packet without the Ethernet header.
    pub mtu: u16,
}
