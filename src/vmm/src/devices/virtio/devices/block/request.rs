//! One request to the disk (virtio 1.2, section 5.2.6): a header, data, and a byte for how it
//! went.

use std::io;
use std::os::unix::fs::FileExt;

use nix::errno::Errno;
use nix::fcntl::{FallocateFlags, fallocate};
use virtio_bindings::virtio_blk::*;

use super::Block;
use super::limits::{DISCARD, HEADER, ZEROES};
use crate::boot::solo5::manifest::BLOCK_SIZE;
use crate::devices::virtio::device::Broken;
use crate::devices::virtio::queue::chain::{Buffer, Piece};
use crate::devices::virtio::queue::pieces::{self, Vectors};
use crate::memory::GuestMemory;

/// Bytes of a range to be discarded or zeroed: sector, number of sectors, flags.
const RANGE: usize = 16;
/// Of a range's flags: what is to be zeroed need not stay allocated.
const UNMAP: u32 = 1;
/// How many zeros are written at a time where the host has no other way.
const PORTION: usize = 64 << 10;

// How it went (VIRTIO_BLK_S_…).
const OK: u8 = 0;
const IO_ERROR: u8 = 1;
const UNSUPPORTED: u8 = 2;

/// Why a request was not carried out.
pub(super) enum Fault {
    /// It cannot be, or the host could not.
    Io,
    Unsupported,
    Broken(Broken),
}

impl From<io::Error> for Fault {
    fn from(_: io::Error) -> Fault {
        Fault::Io
    }
}

impl From<Broken> for Fault {
    fn from(broken: Broken) -> Fault {
        Fault::Broken(broken)
    }
}

impl Block {
    /// Carries out a request and says in it how that went; gives the number of bytes written.
    ///
    /// # Errors
    /// [`Broken`] for a request without its header or room for its status.
    pub(crate) fn answer(&self, buffer: &Buffer, memory: &GuestMemory) -> Result<u32, Broken> {
        let mut header = [0; HEADER];
        if pieces::read(&buffer.readable, memory, &mut header)? < HEADER {
            return Err(Broken("a request without its header"));
        }
        let (_, output) = pieces::split_at(&buffer.readable, HEADER as u64);
        let room = pieces::len(&buffer.writable);
        let Some(input_len) = room.checked_sub(1) else {
            return Err(Broken("a request without room for its status"));
        };
        let (input, status) = pieces::split_at(&buffer.writable, input_len);
        let code = match self.carry_out(header, &output, &input, memory) {
            Ok(()) => OK,
            Err(Fault::Io) => IO_ERROR,
            Err(Fault::Unsupported) => UNSUPPORTED,
            Err(Fault::Broken(broken)) => return Err(broken),
        };
        pieces::write(&status, memory, &[code])?;
        // Of a failed request only the status counts as written, behind what was not.
        match code == OK || input_len == 0 {
            // A buffer has less than 2^32 bytes.
            true => Ok(room as u32),
            false => Ok(0),
        }
    }

    fn carry_out(
        &self,
        header: [u8; HEADER],
        output: &[Piece],
        input: &[Piece],
        memory: &GuestMemory,
    ) -> Result<(), Fault> {
        let [kind, _, sector_low, sector_high] = words(header);
        let sector = u64::from(sector_high) << 32 | u64::from(sector_low);
        match kind {
            VIRTIO_BLK_T_IN => self.read(sector, input, memory),
            VIRTIO_BLK_T_OUT => self.write(sector, output, memory),
            VIRTIO_BLK_T_FLUSH => Ok(self.disk.image.sync_data()?),
            VIRTIO_BLK_T_GET_ID => match pieces::write(input, memory, &self.serial)? {
                0 => Err(Fault::Io),
                _ => Ok(()),
            },
            VIRTIO_BLK_T_DISCARD => {
                let (range, flags) = self.range(output, memory, DISCARD)?;
                match flags {
                    0 => self.deallocate(range, FallocateFlags::FALLOC_FL_PUNCH_HOLE),
                    _ => Err(Fault::Unsupported),
                }
            }
            VIRTIO_BLK_T_WRITE_ZEROES => {
                let (range, flags) = self.range(output, memory, ZEROES)?;
                match flags & !UNMAP {
                    0 => self.zero(range, flags & UNMAP != 0),
                    _ => Err(Fault::Unsupported),
                }
            }
            _ => Err(Fault::Unsupported),
        }
    }

    /// Where in the file the disk's `len` bytes from `sector` on are.
    fn offset(&self, sector: u64, len: u64) -> Result<u64, Fault> {
        let offset = sector.checked_mul(BLOCK_SIZE).ok_or(Fault::Io)?;
        match self.disk.has(offset, len) {
            true => Ok(offset),
            false => Err(Fault::Io),
        }
    }

    fn read(&self, sector: u64, data: &[Piece], memory: &GuestMemory) -> Result<(), Fault> {
        let offset = self.offset(sector, pieces::len(data))?;
        transfer(data, memory, |vectors, at| {
            vectors.read_at(&self.disk.image, offset + at)
        })
    }

    fn write(&self, sector: u64, data: &[Piece], memory: &GuestMemory) -> Result<(), Fault> {
        let offset = self.offset(sector, pieces::len(data))?;
        self.check_writable()?;
        transfer(data, memory, |vectors, at| {
            vectors.write_at(&self.disk.image, offset + at)
        })?;
        self.keep()
    }

    fn check_writable(&self) -> Result<(), Fault> {
        match self.disk.read_only {
            true => Err(Fault::Io),
            false => Ok(()),
        }
    }

    /// Makes sure of what was written, where the driver will not ask for that.
    fn keep(&self) -> Result<(), Fault> {
        match self.writes_through {
            true => Ok(self.disk.image.sync_data()?),
            false => Ok(()),
        }
    }

    /// The one range that a request to discard or to zero names, in bytes, and its flags.
    fn range(
        &self,
        data: &[Piece],
        memory: &GuestMemory,
        max: u32,
    ) -> Result<((u64, u64), u32), Fault> {
        let mut range = [0; RANGE];
        if pieces::len(data) != RANGE as u64 || pieces::read(data, memory, &mut range)? != RANGE {
            return Err(Fault::Io);
        }
        self.check_writable()?;
        let [sector_low, sector_high, sectors, flags] = words(range);
        let len = u64::from(sectors) * BLOCK_SIZE;
        let sector = u64::from(sector_high) << 32 | u64::from(sector_low);
        let offset = self.offset(sector, len)?;
        match sectors {
            0 => Err(Fault::Io),
            _ if sectors > max => Err(Fault::Io),
            _ => Ok(((offset, len), flags)),
        }
    }

    fn zero(&self, range: (u64, u64), unmap: bool) -> Result<(), Fault> {
        let first = match unmap {
            true => FallocateFlags::FALLOC_FL_PUNCH_HOLE,
            false => FallocateFlags::FALLOC_FL_ZERO_RANGE,
        };
        match self.deallocate(range, first) {
            Err(Fault::Unsupported) => self.write_zeros(range),
            result => result,
        }
    }

    fn deallocate(&self, (offset, len): (u64, u64), how: FallocateFlags) -> Result<(), Fault> {
        let how = how | FallocateFlags::FALLOC_FL_KEEP_SIZE;
        // A file has less than 2^63 bytes.
        match fallocate(&self.disk.image, how, offset as i64, len as i64) {
            Ok(()) => self.keep(),
            Err(Errno::EOPNOTSUPP) => Err(Fault::Unsupported),
            Err(_) => Err(Fault::Io),
        }
    }

    pub(super) fn write_zeros(&self, (offset, len): (u64, u64)) -> Result<(), Fault> {
        let zeros = [0; PORTION];
        let mut done = 0;
        while done < len {
            let part = (len - done).min(PORTION as u64);
            let zeros = &zeros[..part as usize];
            self.disk.image.write_all_at(zeros, offset + done)?;
            done += part;
        }
        self.keep()
    }
}

fn words(bytes: [u8; 16]) -> [u32; 4] {
    let (words, _) = bytes.as_chunks::<4>();
    std::array::from_fn(|i| u32::from_le_bytes(words[i]))
}

/// Moves all of `data`, by as many calls as that takes; each is told how much is done.
fn transfer(
    data: &[Piece],
    memory: &GuestMemory,
    call: impl Fn(&mut Vectors<'_>, u64) -> io::Result<usize>,
) -> Result<(), Fault> {
    let mut rest = data.to_vec();
    let mut done = 0;
    while pieces::len(&rest) > 0 {
        match call(&mut Vectors::of(&rest, memory)?, done) {
            // The file ends where the disk does not: somebody has cut it.
            Ok(0) => return Err(Fault::Io),
            Ok(len) => {
                done += len as u64;
                rest = pieces::split_at(&rest, len as u64).1;
            }
            Err(e) if e.kind() == io::ErrorKind::Interrupted => {}
            Err(e) => return Err(e.into()),
        }
    }
    Ok(())
}
