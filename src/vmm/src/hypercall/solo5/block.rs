//! A block device: a file of whole blocks, which the guest reads and writes.

use std::io::{self, ErrorKind};
use std::os::unix::fs::FileExt;

use super::returned::Returned;
use crate::console::Output;
use crate::disk::Disk;
use crate::hypercall::arguments::{Arguments, Buffer};
use crate::hypercall::fault::HypercallFault;

/// Reads and writes by the kernel's hypercalls.
pub(crate) struct Block(pub Disk);

impl Block {
    fn write(
        &self,
        offset: u64,
        data: &Buffer<'_>,
        output: &Output,
    ) -> Result<Returned, HypercallFault> {
        if self.0.read_only || !self.0.has(offset, data.len) {
            return Ok(Returned::InvalidArgument);
        }
        let written = data.for_each(|at, part| {
            check_stop(output)?;
            self.0.image.write_all_at(part, offset + at)
        })?;
        Ok(written.map_or(Returned::Unspecified, |()| Returned::Ok))
    }

    fn read(
        &self,
        offset: u64,
        data: &Buffer<'_>,
        output: &Output,
    ) -> Result<Returned, HypercallFault> {
        if !self.0.has(offset, data.len) {
            return Ok(Returned::InvalidArgument);
        }
        let read = data.fill(|at, part| {
            check_stop(output)?;
            self.0.image.read_exact_at(part, offset + at)
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

/// `hvt_hc_block_write`: handle, offset, data, len; what it returns. `block` is the device of that
/// handle, if there is one.
pub(super) fn write(
    args: &Arguments<'_>,
    block: Option<&Block>,
    output: &Output,
) -> Result<(), HypercallFault> {
    transfer(args, block, output, Block::write)
}

/// `hvt_hc_block_read`: likewise.
pub(super) fn read(
    args: &Arguments<'_>,
    block: Option<&Block>,
    output: &Output,
) -> Result<(), HypercallFault> {
    transfer(args, block, output, Block::read)
}

fn transfer(
    args: &Arguments<'_>,
    block: Option<&Block>,
    output: &Output,
    act: impl Fn(&Block, u64, &Buffer<'_>, &Output) -> Result<Returned, HypercallFault>,
) -> Result<(), HypercallFault> {
    let returned = match block {
        None => Returned::InvalidArgument,
        Some(block) => {
            let data = args.buffer(args.word(16)?, args.word(24)?)?;
            act(block, args.word(8)?, &data, output)?
        }
    };
    args.put_int(32, returned as i32)
}
