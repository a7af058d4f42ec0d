//! What can be wrong with a unikernel's bundle, each as one line.

use std::path::{Path, PathBuf};

use serde::{Serialize, Serializer};

use super::escape_line;
use super::guest_config::MAX_SOCKET;
use super::quantity::{QuantityError, display};
use super::source::Source;
use bundle::FileError;
use guest::{self, Family, Root};
use image::ImageError;
use net::PortsError;
use vmm::{self, BootAbi};

/// A thing, its fault, and where it helps the cure.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Fault {
    #[error("{origin}: unknown mode {value:?}: write auto, unikernel or container")]
    UnknownMode { origin: Source, value: String },
    #[error(
        "unknown {origin}: known of runu.dev/ are mode, mode.<container>, kernel, initrd, rootfs, block, block.<device>, cmdline, family, memory, vcpus, virtio, network, ports and vsock"
    )]
    UnknownKey { origin: Source },
    #[error("{origin} has a control character")]
    ControlCharacter { origin: Source },
    #[error("{origin} is empty: name a file of the image")]
    EmptyPath { origin: Source },
    #[error("{origin}: {value:?} {why}")]
    Memory {
        origin: Source,
        value: String,
        why: QuantityError,
    },
    #[error("{origin}: {value:?} is no number of vCPUs: write 1 or more")]
    Count { origin: Source, value: String },
    #[error(
        "{origin}: {value:?} is no family of unikernels: write {}",
        Family::NAMED
    )]
    Family { origin: Source, value: String },
    #[error(
        "{origin}: {value:?} is no place of a root file system: write {}",
        Root::NAMED
    )]
    UnknownRoot { origin: Source, value: String },
    #[error("{origin} asks for the root file system by {root}: {why}")]
    NoRoot {
        origin: Source,
        root: Root,
        why: RootObstacle,
    },
    #[error(
        "{origin} asks for the root file system by block: the container's rootfs is {what}: say 9p, or name a disk by annotation runu.dev/block"
    )]
    NoRootDisk { origin: Source, what: String },
    #[error(
        "{origin}: {} is a file of the rootfs, whose device is the guest's own disk: name a block device of the pod's, or say 9p",
        shown(path)
    )]
    DiskOnRootDisk { origin: Source, path: PathBuf },
    #[error(
        "{origin}: {value:?} is no way to virtio devices: write mmio, mmio-legacy, pci or pci-modern"
    )]
    Virtio { origin: Source, value: String },
    #[error(
        "{origin} asks for virtio devices, which a kernel of the ABI {abi} does not know: remove it"
    )]
    NoVirtio { origin: Source, abi: BootAbi },
    #[error("{origin}: {value:?} is no path of a socket: write an absolute one without . and ..")]
    Socket { origin: Source, value: String },
    #[error(
        "{origin}: {value:?} is too long for a socket's path: write {MAX_SOCKET} bytes at most"
    )]
    LongSocket { origin: Source, value: String },
    #[error("{origin} asks for sockets, but {why}: remove it")]
    NoVsock { origin: Source, why: &'static str },
    #[error("the guest's command line: {0}")]
    CommandLine(guest::Error),
    #[error("{origin} asks for {asked} vCPUs: a guest has {max} at most")]
    Vcpus { origin: Source, asked: u64, max: u8 },
    #[error("{origin} asks for {asked} vCPUs: a kernel of the ABI {abi} uses one: ask for 1")]
    OneVcpu {
        origin: Source,
        asked: u64,
        abi: BootAbi,
    },
    #[error("{origin} asks for {what}, which this runu cannot give a guest")]
    Unsupported { origin: Source, what: &'static str },
    #[error("{one} says {one_says}, {other} says {other_says}: remove one of them")]
    Contradiction {
        one: Source,
        one_says: String,
        other: Source,
        other_says: String,
    },
    #[error("the image: {0}")]
    Image(ImageError),
    #[error("/urunc.json of the image: {why}")]
    UruncJson { why: String },
    #[error(
        "no kernel: set annotation runu.dev/kernel, put one at /unikraft/bin/kernel in the image, or say runu.dev/mode.<container>: container for a sidecar"
    )]
    NoKernel,
    #[error("kernel {}: {why}", shown(path))]
    KernelFile { path: PathBuf, why: FileError },
    #[error("kernel {}: {why}", shown(path))]
    Kernel { path: PathBuf, why: String },
    #[error("initrd {}: {why}", shown(path))]
    InitrdFile { path: PathBuf, why: FileError },
    #[error("block device's image {}: {why}", shown(path))]
    BlockFile { path: PathBuf, why: FileError },
    #[error(
        "block device's image {} has {size} bytes: make that a multiple of 512",
        shown(path)
    )]
    BlockSize { path: PathBuf, size: u64 },
    #[error(
        "the kernel needs block device {device}: name a file of the image by annotation runu.dev/{key}"
    )]
    NoBlock { device: String, key: String },
    #[error("{origin}: a disk's name has {max} bytes at most: shorten it")]
    BlockName { origin: Source, max: usize },
    #[error("two files are named for block device {device}: remove one of the annotations")]
    BlockTwice { device: String },
    #[error("{origin} names a block device, the kernel (of the ABI {abi}) declares {declared}")]
    UnwantedBlock {
        origin: Source,
        abi: BootAbi,
        declared: String,
    },
    #[error("{origin}: {value:?} is no network: write none, or leave it out")]
    Network { origin: Source, value: String },
    #[error("{origin}: {value:?} {why}")]
    Ports {
        origin: Source,
        value: String,
        why: PortsError,
    },
    #[error("{origin} gives ports to a guest that has no network: remove it")]
    PortsWithoutNetwork { origin: Source },
    #[error("the kernel needs network device {device}, and {why}")]
    NoNet { device: String, why: String },
    #[error("the kernel needs {count} network devices, a pod has one: use a kernel with one")]
    SeveralNets { count: usize },
    #[error(
        "the container has the host's own network, which a guest cannot share: run the pod without hostNetwork, or give the guest none by annotation runu.dev/network: none"
    )]
    HostNetwork,
    #[error(
        "{origin} asks for {}, the container's memory limit of {} leaves {} beside the monitor",
        display(*asked), display(*limit), display(*left)
    )]
    OverLimit {
        origin: Source,
        asked: u64,
        limit: u64,
        left: u64,
    },
    #[error("{from} gives the guest {}: {why}", display(*memory))]
    DoesNotFit {
        from: String,
        memory: u64,
        why: String,
    },
}

/// Why a guest cannot have its root file system where it is asked for, and what to do.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum RootObstacle {
    /// There is no initrd.
    #[error("there is none: name one by annotation runu.dev/initrd")]
    NoInitrd,
    /// A Solo5 kernel has no place for a disk, or several.
    #[error("the kernel does not declare one block device: say none")]
    NotOneDisk,
    /// The kernel calls its monitor.
    #[error("kernels of its ABI know of no virtio device: say none")]
    NoVirtio,
    /// The family has no 9P client.
    #[error("guests of its family have no 9P: say initrd, block or none")]
    No9p,
    /// The family has no virtio-fs driver.
    #[error("guests of its family have no virtio-fs: say initrd, block or none")]
    NoVirtiofs,
    /// The kernel was built without what it takes; how to have it.
    #[error("the kernel was built without it: {0}")]
    NotBuilt(&'static str),
    /// virtio-fs is younger than the interface that is asked for.
    #[error(
        "it has no interface of before virtio 1.0: remove annotation runu.dev/virtio, or say 9p"
    )]
    LegacyVirtiofs,
    /// The family mounts no disk.
    #[error("guests of its family mount no block device: say initrd, 9p or none")]
    NoBlock,
    /// There is no disk.
    #[error("there is none: name one by annotation runu.dev/block")]
    NoDisk,
}

impl Fault {
    /// A kernel file that `vmm` cannot make sense of.
    pub fn kernel(path: PathBuf, why: &vmm::KernelError) -> Self {
        Self::Kernel {
            path,
            why: why.to_string(),
        }
    }
}

/// A path in an error's line.
fn shown(path: &Path) -> String {
    escape_line(&path.to_string_lossy())
}

impl Serialize for Fault {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}
