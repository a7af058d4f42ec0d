//! What the guest is to have as block devices: files of the image, and block devices that the
//! container was given.

use std::fs::{self, File};
use std::io::{self, Seek, SeekFrom};
use std::os::unix::fs::{FileTypeExt, MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use nix::libc;
use serde::Serialize;

use super::file_fault::{BlockFault, NodeError, NodeFault};
use super::source::{Source, Sourced};
use bundle::{BlockNode, Rootfs};

/// A block device that is asked for.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct BlockConfig {
    /// The guest's own name for it; without one it is the guest's only one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub device: Option<String>,
    /// A path in the container's rootfs, or of a block device of the container's.
    #[serde(flatten)]
    pub image: Sourced<PathBuf>,
}

/// What is behind a block device.
#[derive(Debug, Serialize)]
pub struct Block {
    /// The guest's own name for it, as in [`BlockConfig::device`].
    #[serde(skip_serializing_if = "Option::is_none")]
    pub device: Option<String>,
    /// As the container sees it.
    pub path: PathBuf,
    /// Who named it.
    #[serde(rename = "by")]
    pub origin: Source,
    /// Bytes, 0 where there is a fault.
    pub size: u64,
    /// Of a block device of the container's; `None` for a file.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub number: Option<Number>,
    /// Nothing may be written to it.
    pub read_only: bool,
    /// Why it cannot be a disk.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub fault: Option<BlockFault>,
}

/// A block device's number.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct Number {
    /// The driver's.
    pub major: u32,
    /// The device's, among the driver's.
    pub minor: u32,
}

/// Opens what is asked for, for reading: a look must change nothing, and an overlay copies a
/// file that is opened for writing. A file is `None` where there is a fault.
pub(super) fn find(
    rootfs: &Rootfs,
    read_only: bool,
    nodes: &[BlockNode],
    configs: &[BlockConfig],
) -> (Vec<Block>, Vec<Option<File>>) {
    let open = |config: &BlockConfig| {
        let path = &config.image.value;
        match nodes.iter().find(|node| node.path == *path) {
            Some(node) => {
                let opened = open_node(node).map_err(|source| BlockFault::Node {
                    path: path.clone(),
                    source,
                });
                block(config, opened, Some(node), node.read_only)
            }
            None => {
                let opened = rootfs.open_file(path).map_err(|source| BlockFault::File {
                    path: path.clone(),
                    source,
                });
                block(config, opened, None, read_only)
            }
        }
    };
    configs.iter().map(open).unzip()
}

/// What is behind a block device, by its opened file: a device's node, or one of the image.
pub(super) fn block(
    config: &BlockConfig,
    opened: Result<File, BlockFault>,
    node: Option<&BlockNode>,
    read_only: bool,
) -> (Block, Option<File>) {
    let Sourced {
        value: path,
        origin,
    } = config.image.clone();
    let sized = opened.and_then(|mut file| {
        let size = file.seek(SeekFrom::End(0));
        let file_fault = |source: io::Error| BlockFault::File {
            path: path.clone(),
            source: source.into(),
        };
        Ok((size.map_err(file_fault)?, file))
    });
    let (file, size, fault) = match sized {
        Ok((size, file)) => (Some(file), size, None),
        Err(fault) => (None, 0, Some(fault)),
    };
    let number = node.map(|node| Number {
        major: node.major,
        minor: node.minor,
    });
    let block = Block {
        device: config.device.clone(),
        path,
        origin,
        size,
        number,
        read_only,
        fault,
    };
    (block, file)
}

/// Opens the host's device of that number: the container's own node is not there yet.
pub(super) fn open_node(node: &BlockNode) -> Result<File, NodeError> {
    let BlockNode { major, minor, .. } = *node;
    open_number(major, minor).map_err(|source| NodeError {
        major,
        minor,
        source,
    })
}

fn open_number(major: u32, minor: u32) -> Result<File, NodeFault> {
    let path = host_path(Path::new("/sys/dev/block"), major, minor)?;
    let file = File::options()
        .read(true)
        .custom_flags(libc::O_NONBLOCK)
        .open(path)?;
    let metadata = file.metadata()?;
    let is_it = metadata.rdev() == libc::makedev(major, minor);
    match metadata.file_type().is_block_device() && is_it {
        true => Ok(file),
        false => Err(NodeFault::Renamed),
    }
}

/// The node of a block device on the host (Linux's Documentation/ABI/stable/sysfs-block; the
/// name in `uevent` is devtmpfs's).
fn host_path(sysfs: &Path, major: u32, minor: u32) -> Result<PathBuf, NodeFault> {
    let text = fs::read_to_string(sysfs.join(format!("{major}:{minor}/uevent")))?;
    let mut names = text
        .lines()
        .filter_map(|line| line.strip_prefix("DEVNAME="));
    let name = names.next().ok_or(NodeFault::NoName)?;
    Ok(Path::new("/dev").join(name))
}
