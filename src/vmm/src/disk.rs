//! A file that is a guest's disk.

use std::fs::File;
use std::io::{Seek, SeekFrom};
use std::os::unix::fs::FileTypeExt;

use super::boot::solo5::manifest::BLOCK_SIZE;
use super::config::BlockDevice;
use super::error::{BlockDeviceError, Error};

/// A regular file or a block device of the host's, and its size in bytes, which stays what it
/// was at the beginning.
#[derive(Debug)]
pub(crate) struct Disk {
    pub image: File,
    pub capacity: u64,
    pub read_only: bool,
}

impl Disk {
    /// # Errors
    /// [`Error::BadBlockDevice`] for what is neither of the two, and what does not have one or
    /// more whole blocks.
    pub(crate) fn open(device: BlockDevice) -> Result<Disk, Error> {
        match capacity(&device.image) {
            Ok(capacity) => Ok(Disk {
                image: device.image,
                capacity,
                read_only: device.read_only,
            }),
            Err(source) => Err(Error::BadBlockDevice {
                name: device.name,
                source,
            }),
        }
    }

    /// Whether the disk has these bytes, and they are whole blocks.
    pub(crate) fn has(&self, offset: u64, len: u64) -> bool {
        let end = offset.checked_add(len);
        offset < self.capacity
            && end.is_some_and(|end| end <= self.capacity)
            && offset.is_multiple_of(BLOCK_SIZE)
            && len.is_multiple_of(BLOCK_SIZE)
    }
}

/// Bytes of the file.
fn capacity(mut image: &File) -> Result<u64, BlockDeviceError> {
    let kind = image.metadata()?.file_type();
    if !kind.is_file() && !kind.is_block_device() {
        return Err(BlockDeviceError::NotADisk);
    }
    // The metadata of a block device say nothing of its size. Nobody reads by the position.
    match image.seek(SeekFrom::End(0))? {
        0 => Err(BlockDeviceError::Empty),
        size if !size.is_multiple_of(BLOCK_SIZE) => Err(BlockDeviceError::Size { size }),
        size => Ok(size),
    }
}
