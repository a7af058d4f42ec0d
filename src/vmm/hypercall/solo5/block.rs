//! A block device: a file of whole blocks, which the guest reads and writes.

use std::fs::File;
use std::io::{self, ErrorKind};
use std::os::unix::fs::FileExt;

use super::{Returned, Solo5};
use crate::vmm::boot::solo5::manifest::BLOCK_SIZE;
use crate::vmm::config::BlockDevice;
use crate::vmm::console::Output;
use crate::vmm::error::Error;
use crate::vmm::hypercall::arguments::{Arguments, Buffer};

/// The file and its size in bytes, which stays what it was at the beginning.
pub struct Block {
    pub image: File,
    pub capacity: u64,
    read_only: bool,
}

impl Block {
    /// # Errors
    /// [`Error::BadBlockDevice`] for what is no regular file of one or more whole blocks.
    pub fn open(device: BlockDevice) -> Result<Block, Error> {
        let fault = match device.image.metadata() {
            Err(e) => e.to_string(),
            Ok(metadata) if !metadata.is_file() => "is not a regular file".to_owned(),
            Ok(metadata) => match metadata.len() {
                0 => "is empty: give it one block or more".to_owned(),
                size if !size.is_multiple_of(BLOCK_SIZE) => {
                    format!("has {size} bytes: make that a multiple of {BLOCK_SIZE}")
                }
                capacity => {
                    return Ok(Block {
                        image: device.image,
                        capacity,
                        read_only: device.read_only,
                    });
                }
            },
        };
        let name = device.name;
        Err(Error::BadBlockDevice { name, fault })
    }

    /// Whether the device has these bytes, and they are whole blocks.
    fn has(&self, offset: u64, len: u64) -> bool {
        let end = offset.checked_add(len);
        offset < self.capacity
            && end.is_some_and(|end| end <= self.capacity)
            && offset.is_multiple_of(BLOCK_SIZE)
            && len.is_multiple_of(BLOCK_SIZE)
    }

    fn write(&self, offset: u64, data: &Buffer<'_>, output: &Output) -> Result<Returned, String> {
        if self.read_only || !self.has(offset, data.len) {
            return Ok(Returned::InvalidArgument);
        }
        let written = data.for_each(|at, part| {
            check_stop(output)?;
            self.image.write_all_at(part, offset + at)
        })?;
        Ok(written.map_or(Returned::Unspecified, |()| Returned::Ok))
    }

    fn read(&self, offset: u64, data: &Buffer<'_>, output: &Output) -> Result<Returned, String> {
        if !self.has(offset, data.len) {
            return Ok(Returned::InvalidArgument);
        }
        let read = data.fill(|at, part| {
            check_stop(output)?;
            self.image.read_exact_at(part, offset + at)
        })?;
        Ok(read.map_or(Returned::Unspecified, |()| Returned::Ok))
    }
}

/// Ends a transfer, which may be of GiBs, where the guest is to stop.
fn check_stop(output: &Output) -> io::Result<()> {
    match output.is_stopped() {
        true => Err(ErrorKind::Interrupted.into()),
        false => Ok(()),
    }
}

impl Solo5 {
    /// `hvt_hc_block_write`: handle, offset, data, len; what it returns.
    pub(super) fn block_write(&mut self, args: &Arguments<'_>) -> Result<(), String> {
        self.block(args, Block::write)
    }

    /// `hvt_hc_block_read`: likewise.
    pub(super) fn block_read(&mut self, args: &Arguments<'_>) -> Result<(), String> {
        self.block(args, Block::read)
    }

    fn block(
        &mut self,
        args: &Arguments<'_>,
        act: impl Fn(&Block, u64, &Buffer<'_>, &Output) -> Result<Returned, String>,
    ) -> Result<(), String> {
        let returned = match self.devices.block(args.word(0)?) {
            None => Returned::InvalidArgument,
            Some(block) => {
                let data = args.buffer(args.word(16)?, args.word(24)?)?;
                act(block, args.word(8)?, &data, &self.output)?
            }
        };
        args.put_int(32, returned as i32)
    }
}
