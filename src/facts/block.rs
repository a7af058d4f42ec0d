//! Files of the image that the guest is to have as block devices.

use std::fs::File;
use std::path::PathBuf;

use serde::Serialize;

use super::Fault;
use super::said::{Said, Source};
use crate::bundle::{FileError, Rootfs};

/// A block device that is wished for.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct BlockWish {
    /// The guest's own name for it; without one it is the guest's only one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub device: Option<String>,
    /// A path in the container's rootfs.
    #[serde(flatten)]
    pub image: Said<PathBuf>,
}

/// The file behind a block device.
#[derive(Debug, Serialize)]
pub struct Block {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub device: Option<String>,
    /// As the container sees it.
    pub path: PathBuf,
    /// Who named it.
    pub by: Source,
    /// Bytes of the file, 0 where there is a fault.
    pub size: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub fault: Option<Fault>,
}

/// Opens the files that are wished for, for reading: a look must change nothing, and an
/// overlay copies a file that is opened for writing. A file is `None` where there is a fault.
pub fn find(rootfs: &Rootfs, wishes: &[BlockWish]) -> (Vec<Block>, Vec<Option<File>>) {
    wishes.iter().map(|wish| open(rootfs, wish)).unzip()
}

fn open(rootfs: &Rootfs, wish: &BlockWish) -> (Block, Option<File>) {
    let Said { value: path, by } = wish.image.clone();
    let opened = rootfs.open_file(&path).and_then(|file| {
        let metadata = file.metadata();
        let size = metadata.map_err(|e| FileError::Io(e.to_string()))?.len();
        Ok((file, size))
    });
    let (file, size, fault) = match opened {
        Ok((file, size)) => (Some(file), size, None),
        Err(why) => {
            let path = path.clone();
            (None, 0, Some(Fault::BlockFile { path, why }))
        }
    };
    let block = Block {
        device: wish.device.clone(),
        path,
        by,
        size,
        fault,
    };
    (block, file)
}
