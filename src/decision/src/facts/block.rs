//! What the guest is to have as block devices: files of the image, and block devices that the
//! container was given.

use std::fs::{self, File};
use std::io::{self, Seek, SeekFrom};
use std::os::unix::fs::{FileTypeExt, MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use nix::libc;
use serde::Serialize;

use super::Fault;
use super::source::{Source, Sourced};
use bundle::{BlockNode, FileError, Rootfs};

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
    #[serde(skip_serializing_if = "Option::is_none")]
    pub fault: Option<Fault>,
}

/// A block device's number.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct Number {
    pub major: u32,
    pub minor: u32,
}

/// Opens what is asked for, for reading: a look must change nothing, and an overlay copies a
/// file that is opened for writing. A file is `None` where there is a fault.
pub(super) fn find(
    rootfs: &Rootfs,
    read_only: bool,
    nodes: &[BlockNode],
    guest_config: &[BlockConfig],
) -> (Vec<Block>, Vec<Option<File>>) {
    let open = |config: &BlockConfig| {
        let is_it = |node: &&BlockNode| node.path == config.image.value;
        match nodes.iter().find(is_it) {
            Some(node) => block(config, open_node(node), Some(node), node.read_only),
            None => {
                let opened = rootfs.open_file(&config.image.value);
                block(config, opened, None, read_only)
            }
        }
    };
    guest_config.iter().map(open).unzip()
}

/// What is behind a config, by its opened file: of a device's node, or of the image.
pub(super) fn block(
    config: &BlockConfig,
    opened: Result<File, FileError>,
    node: Option<&BlockNode>,
    read_only: bool,
) -> (Block, Option<File>) {
    let Sourced {
        value: path,
        origin,
    } = config.image.clone();
    let sized = opened.and_then(|mut file| {
        let size = file.seek(SeekFrom::End(0));
        Ok((size.map_err(|e| FileError::Io(e.to_string()))?, file))
    });
    let (file, size, fault) = match sized {
        Ok((size, file)) => (Some(file), size, None),
        Err(why) => {
            let path = path.clone();
            (None, 0, Some(Fault::BlockFile { path, why }))
        }
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
pub(super) fn open_node(node: &BlockNode) -> Result<File, FileError> {
    let BlockNode { major, minor, .. } = *node;
    let failed = |e: io::Error| FileError::Io(format!("block device {major}:{minor}: {e}"));
    let path = host_path(Path::new("/sys/dev/block"), major, minor).map_err(failed)?;
    let file = File::options()
        .read(true)
        .custom_flags(libc::O_NONBLOCK)
        .open(path)
        .map_err(failed)?;
    let metadata = file.metadata().map_err(failed)?;
    let is_it = metadata.rdev() == libc::makedev(major, minor);
    match metadata.file_type().is_block_device() && is_it {
        true => Ok(file),
        false => Err(failed(io::Error::other(
            "its name on the host is another's",
        ))),
    }
}

/// The node of a block device on the host (Linux's Documentation/ABI/stable/sysfs-block; the
/// name in `uevent` is devtmpfs's).
fn host_path(sysfs: &Path, major: u32, minor: u32) -> io::Result<PathBuf> {
    let text = fs::read_to_string(sysfs.join(format!("{major}:{minor}/uevent")))?;
    let mut names = text
        .lines()
        .filter_map(|line| line.strip_prefix("DEVNAME="));
    let name = names.next().ok_or(io::ErrorKind::NotFound)?;
    Ok(Path::new("/dev").join(name))
}
