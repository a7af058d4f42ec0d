//! What can be wrong with a unikernel's bundle, each as one line.

use std::path::{Path, PathBuf};

use serde::{Serialize, Serializer};

use super::cut_line;
use super::quantity::{QuantityError, display};
use super::said::Source;
use super::wishes::MAX_SOCKET;
use bundle::FileError;
use guest::{self, Family, Root};
use image::ImageError;
use net::PortsError;
use vmm::{self, BootAbi};

/// A thing, its fault, and where it helps the cure.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Fault {
    #[error("{by}: unknown mode {value:?}: write auto, unikernel or container")]
    UnknownMode { by: Source, value: String },
    #[error(
        "unknown {by}: known of runu.dev/ are mode, mode.<container>, kernel, initrd, rootfs, block, block.<device>, cmdline, family, memory, vcpus, virtio, network, ports and vsock"
    )]
    UnknownKey { by: Source },
    #[error("{by} has a control character")]
    ControlCharacter { by: Source },
    #[error("{by} is empty: name a file of the image")]
    EmptyPath { by: Source },
    #[error("{by}: {value:?} {why}")]
    Memory {
        by: Source,
        value: String,
        why: QuantityError,
    },
    #[error("{by}: {value:?} is no number of vCPUs: write 1 or more")]
    Count { by: Source, value: String },
    #[error("{by}: {value:?} is no family of unikernels: write {}", Family::NAMED)]
    Family { by: Source, value: String },
    #[error(
        "{by}: {value:?} is no place of a root file system: write {}",
        Root::NAMED
    )]
    UnknownRoot { by: Source, value: String },
    #[error("{by} asks for the root file system by {root}: {why}")]
    NoRoot {
        by: Source,
        root: Root,
        why: &'static str,
    },
    #[error(
        "{by} asks for the root file system by block: the container's rootfs is {what}: say 9p, or name a disk by annotation runu.dev/block"
    )]
    NoRootDisk { by: Source, what: String },
    #[error(
        "{by}: {} is a file of the rootfs, whose device is the guest's own disk: name a block device of the pod's, or say 9p",
        shown(path)
    )]
    DiskOnRootDisk { by: Source, path: PathBuf },
    #[error(
        "{by}: {value:?} is no way to virtio devices: write mmio, mmio-legacy, pci or pci-modern"
    )]
    Virtio { by: Source, value: String },
    #[error(
        "{by} asks for virtio devices, which a kernel of the ABI {abi} does not know: remove it"
    )]
    NoVirtio { by: Source, abi: BootAbi },
    #[error("{by}: {value:?} is no path of a socket: write an absolute one without . and ..")]
    Socket { by: Source, value: String },
    #[error("{by}: {value:?} is too long for a socket's path: write {MAX_SOCKET} bytes at most")]
    LongSocket { by: Source, value: String },
    #[error("{by} asks for sockets, but {why}: remove it")]
    NoVsock { by: Source, why: &'static str },
    #[error("the guest's command line: {0}")]
    CommandLine(guest::Error),
    #[error("{by} asks for {asked} vCPUs: a guest has {max} at most")]
    Vcpus { by: Source, asked: u64, max: u8 },
    #[error("{by} asks for {asked} vCPUs: a kernel of the ABI {abi} uses one: ask for 1")]
    OneVcpu {
        by: Source,
        asked: u64,
        abi: BootAbi,
    },
    #[error("{by} asks for {what}, which this runu cannot give a guest")]
    Unsupported { by: Source, what: &'static str },
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
    #[error("{by}: a disk's name has {max} bytes at most: shorten it")]
    BlockName { by: Source, max: usize },
    #[error("two files are named for block device {device}: remove one of the annotations")]
    BlockTwice { device: String },
    #[error("{by} names a block device, the kernel (of the ABI {abi}) declares {declared}")]
    UnwantedBlock {
        by: Source,
        abi: BootAbi,
        declared: String,
    },
    #[error("{by}: {value:?} is no network: write none, or leave it out")]
    Network { by: Source, value: String },
    #[error("{by}: {value:?} {why}")]
    Ports {
        by: Source,
        value: String,
        why: PortsError,
    },
    #[error("{by} gives ports to a guest that has no network: remove it")]
    PortsWithoutNetwork { by: Source },
    #[error("the kernel needs network device {device}, and {why}")]
    NoNet { device: String, why: String },
    #[error("the kernel needs {count} network devices, a pod has one: use a kernel with one")]
    SeveralNets { count: usize },
    #[error(
        "the container has the host's own network, which a guest cannot share: run the pod without hostNetwork, or give the guest none by annotation runu.dev/network: none"
    )]
    HostNetwork,
    #[error(
        "{by} asks for {}, the container's memory limit of {} leaves {} beside the monitor",
        display(*asked), display(*limit), display(*left)
    )]
    OverLimit {
        by: Source,
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
    cut_line(&path.to_string_lossy())
}

impl Serialize for Fault {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}
