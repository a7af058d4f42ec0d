//! What can be wrong with the files that a guest boots of.

use std::path::PathBuf;

use serde::{Serialize, Serializer};

use super::escape::escape_path;
use super::shared_error::SharedError;
use super::source::Source;
use bundle::FileError;
use nix::errno::Errno;
use vmm::KernelError;

/// A kernel or an initrd that cannot be used.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum KernelFault {
    /// The kernel cannot be opened or read.
    #[error("kernel {}: {source}", escape_path(path))]
    File {
        /// As the container sees it.
        path: PathBuf,
        /// Why not.
        source: FileError,
    },
    /// The monitor cannot boot it.
    #[error("kernel {}: {source}", escape_path(path))]
    Format {
        /// As the container sees it.
        path: PathBuf,
        /// Why not.
        source: SharedError<KernelError>,
    },
    /// The initrd cannot be opened.
    #[error("initrd {}: {source}", escape_path(path))]
    Initrd {
        /// As the container sees it.
        path: PathBuf,
        /// Why not.
        source: FileError,
    },
}

/// What was to be a guest's disk and cannot.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum BlockFault {
    /// A file of the image.
    #[error("block device's image {}: {source}", escape_path(path))]
    File {
        /// As the container sees it.
        path: PathBuf,
        /// Why it cannot be opened.
        source: FileError,
    },
    /// A block device of the container's.
    #[error("block device's image {}: {source}", escape_path(path))]
    Node {
        /// As the container sees it.
        path: PathBuf,
        /// Why it cannot be opened.
        source: NodeError,
    },
    /// The rootfs is on no device of its own.
    #[error(
        "{origin} asks for the root file system by block: the container's rootfs is {rootfs}: say 9p, or name a disk by annotation runu.dev/block"
    )]
    NoRootDisk {
        /// What asks for it.
        origin: Source,
        /// What it is on instead.
        #[source]
        rootfs: RootfsError,
    },
}

/// A block device of the host's that cannot be opened.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("block device {major}:{minor}: {source}")]
pub struct NodeError {
    /// Its number.
    pub major: u32,
    /// Likewise.
    pub minor: u32,
    /// Why not.
    pub source: NodeFault,
}

/// Why a block device cannot be opened.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum NodeFault {
    /// What the system says.
    #[error("{}", std::io::Error::from(*.0))]
    Io(Errno),
    /// sysfs does not say what it is called.
    #[error("entity not found")]
    NoName,
    /// devtmpfs has another device of that name.
    #[error("its name on the host is another's")]
    Renamed,
}

impl From<std::io::Error> for NodeFault {
    fn from(error: std::io::Error) -> Self {
        Self::Io(error.raw_os_error().map_or(Errno::EIO, Errno::from_raw))
    }
}

/// What the rootfs is on, where that is no block device which a guest could have whole.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum RootfsError {
    /// /proc does not say.
    #[error("not to be known: {0}")]
    Unknown(#[source] SharedError<std::io::Error>),
    /// A part of another mount.
    #[error("a directory, and no file system of its own")]
    Directory,
    /// A file system without a device: overlay, btrfs, tmpfs.
    #[error("{0}, on no block device of its own")]
    NoDevice(String),
    /// A directory of a file system that is on a device.
    #[error("a directory of block device {major}:{minor}")]
    DirectoryOf {
        /// The device's number.
        major: u32,
        /// Likewise.
        minor: u32,
    },
    /// A device that cannot be opened.
    #[error("on {0}")]
    Node(#[source] NodeError),
}

impl Serialize for KernelFault {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl Serialize for BlockFault {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}
