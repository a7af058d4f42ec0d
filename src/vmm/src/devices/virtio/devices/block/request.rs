//! One request to the disk (virtio 1.2, section 5.2.6): a header, data, and a byte of status.

use std::io;
use std::os::unix::fs::FileExt;

use nix::errno::Errno;
use nix::fcntl::{FallocateFlags, fallocate};
use virtio_bindings::virtio_blk::*;

use super::Block;
use super::limits::{DISCARD, HEADER, ZEROES};
use crate::bits::join;
use crate::boot::solo5::manifest::BLOCK_SIZE;
use crate::devices::virtio::device::NeedsReset;
use crate::devices::virtio::queue::chain::Buffer;
use crate::devices::virtio::queue::iovec::{self, GuestIovec, Iovecs};
use crate::memory::GuestMemory;

/// Bytes of a range to be discarded or zeroed: sector, number of sectors, flags.
const RANGE: usize = 16;
/// Of a range's flags: what is to be zeroed need not stay allocated.
const UNMAP: u32 = 1;
/// How many zeros are written at a time where the host has no other way.
const ZEROES_CHUNK: usize = 64 << 10;

// The status (VIRTIO_BLK_S_…).
const OK: u8 = 0;
const IO_ERROR: u8 = 1;
const UNSUPPORTED: u8 = 2;

/// Why a request was not executed.
pub(super) enum RequestError {
    /// It cannot be, or the host could not.
    Io,
    Unsupported,
    NeedsReset(NeedsReset),
}

impl From<io::Error> for RequestError {
    fn from(_: io::Error) -> RequestError {
        RequestError::Io
    }
}

impl From<NeedsReset> for RequestError {
    fn from(reason: NeedsReset) -> RequestError {
        RequestError::NeedsReset(reason)
    }
}

impl Block {
    /// Executes a request and writes its status; gives the number of bytes written.
    ///
    /// # Errors
    /// [`NeedsReset`] for a request without its header or room for its status.
    pub(crate) fn process(&self, buffer: &Buffer, memory: &GuestMemory) -> Result<u32, NeedsReset> {
        let mut header = [0; HEADER as usize];
        if iovec::read(&buffer.readable, memory, &mut header)? < header.len() {
            return Err(NeedsReset("a request without its header"));
        }
        let (_, output) = iovec::split_at(&buffer.readable, HEADER as usize);
        let room = iovec::len(&buffer.writable);
        let Some(input_len) = room.checked_sub(1) else {
            return Err(NeedsReset("a request without room for its status"));
        };
        let (input, status) = iovec::split_at(&buffer.writable, input_len as usize);
        let code = match self.execute(header, &output, &input, memory) {
            Ok(()) => OK,
            Err(RequestError::Io) => IO_ERROR,
            Err(RequestError::Unsupported) => UNSUPPORTED,
            Err(RequestError::NeedsReset(reason)) => return Err(reason),
        };
        iovec::write(&status, memory, &[code])?;
        // Of a failed request only the status counts as written, behind what was not.
        match code == OK || input_len == 0 {
            true => Ok(room),
            false => Ok(0),
        }
    }

    fn execute(
        &self,
        header: [u8; HEADER as usize],
        output: &[GuestIovec],
        input: &[GuestIovec],
        memory: &GuestMemory,
    ) -> Result<(), RequestError> {
        let [kind, _, sector_low, sector_high] = le_words(header);
        let sector = join(sector_low, sector_high);
        match kind {
            VIRTIO_BLK_T_IN => self.read(sector, input, memory),
            VIRTIO_BLK_T_OUT => self.write(sector, output, memory),
            VIRTIO_BLK_T_FLUSH => Ok(self.disk.image.sync_data()?),
            VIRTIO_BLK_T_GET_ID => match iovec::write(input, memory, &self.serial)? {
                0 => Err(RequestError::Io),
                _ => Ok(()),
            },
            VIRTIO_BLK_T_DISCARD => {
                let (range, flags) = self.range(output, memory, DISCARD)?;
                match flags {
                    0 => self.deallocate(range, FallocateFlags::FALLOC_FL_PUNCH_HOLE),
                    _ => Err(RequestError::Unsupported),
                }
            }
            VIRTIO_BLK_T_WRITE_ZEROES => {
                let (range, flags) = self.range(output, memory, ZEROES)?;
                match flags & !UNMAP {
                    0 => self.zero(range, flags & UNMAP != 0),
                    _ => Err(RequestError::Unsupported),
                }
            }
            _ => Err(RequestError::Unsupported),
        }
    }

    /// Where in the file the disk's `len` bytes from `sector` on are.
    fn offset(&self, sector: u64, len: u64) -> Result<u64, RequestError> {
        let offset = sector.checked_mul(BLOCK_SIZE).ok_or(RequestError::Io)?;
        match self.disk.has(offset, len) {
            true => Ok(offset),
            false => Err(RequestError::Io),
        }
    }

    fn read(
        &self,
        sector: u64,
        data: &[GuestIovec],
        memory: &GuestMemory,
    ) -> Result<(), RequestError> {
        let offset = self.offset(sector, iovec::len(data).into())?;
        transfer(data, memory, |iovecs, at| {
            iovecs.read_at(&self.disk.image, offset + at)
        })
    }

    fn write(
        &self,
        sector: u64,
        data: &[GuestIovec],
        memory: &GuestMemory,
    ) -> Result<(), RequestError> {
        let offset = self.offset(sector, iovec::len(data).into())?;
        self.check_writable()?;
        transfer(data, memory, |iovecs, at| {
            iovecs.write_at(&self.disk.image, offset + at)
        })?;
        self.write_through()
    }

    fn check_writable(&self) -> Result<(), RequestError> {
        match self.disk.read_only {
            true => Err(RequestError::Io),
            false => Ok(()),
        }
    }

    /// Flushes what was written, where the driver will not ask for that.
    fn write_through(&self) -> Result<(), RequestError> {
        match self.writes_through {
            true => Ok(self.disk.image.sync_data()?),
            false => Ok(()),
        }
    }

    /// The one range that a request to discard or to zero names, in bytes, and its flags.
    fn range(
        &self,
        data: &[GuestIovec],
        memory: &GuestMemory,
        max: u32,
    ) -> Result<((u64, u64), u32), RequestError> {
        let mut range = [0; RANGE];
        if iovec::len(data) as usize != RANGE || iovec::read(data, memory, &mut range)? != RANGE {
            return Err(RequestError::Io);
        }
        self.check_writable()?;
        let [sector_low, sector_high, sectors, flags] = le_words(range);
        let len = u64::from(sectors) * BLOCK_SIZE;
        let sector = join(sector_low, sector_high);
        let offset = self.offset(sector, len)?;
        match sectors {
            0 => Err(RequestError::Io),
            _ if sectors > max => Err(RequestError::Io),
            _ => Ok(((offset, len), flags)),
        }
    }

    fn zero(&self, range: (u64, u64), unmap: bool) -> Result<(), RequestError> {
        let first = match unmap {
            true => FallocateFlags::FALLOC_FL_PUNCH_HOLE,
            false => FallocateFlags::FALLOC_FL_ZERO_RANGE,
        };
        match self.deallocate(range, first) {
            Err(RequestError::Unsupported) => self.write_zeros(range),
            result => result,
        }
    }

    fn deallocate(
        &self,
        (offset, len): (u64, u64),
        how: FallocateFlags,
    ) -> Result<(), RequestError> {
        let how = how | FallocateFlags::FALLOC_FL_KEEP_SIZE;
        // A file has less than 2^63 bytes.
        let (Ok(offset), Ok(len)) = (offset.try_into(), len.try_into()) else {
            return Err(RequestError::Io);
        };
        match fallocate(&self.disk.image, how, offset, len) {
            Ok(()) => self.write_through(),
            Err(Errno::EOPNOTSUPP) => Err(RequestError::Unsupported),
            Err(_) => Err(RequestError::Io),
        }
    }

    pub(super) fn write_zeros(&self, (offset, len): (u64, u64)) -> Result<(), RequestError> {
        let zeros = [0; ZEROES_CHUNK];
        let mut done = 0;
        while done < len {
            let left = usize::try_from(len - done).unwrap_or(usize::MAX);
            let zeros = &zeros[..left.min(ZEROES_CHUNK)];
            self.disk.image.write_all_at(zeros, offset + done)?;
            done += zeros.len() as u64;
        }
        self.write_through()
    }
}

fn le_words(bytes: [u8; 16]) -> [u32; 4] {
    let (words, _) = bytes.as_chunks::<4>();
    std::array::from_fn(|i| u32::from_le_bytes(words[i]))
}

/// Moves all of `data`, by as many calls as that takes; each is given how much is done.
fn transfer(
    data: &[GuestIovec],
    memory: &GuestMemory,
    call: impl Fn(&mut Iovecs<'_>, u64) -> io::Result<u32>,
) -> Result<(), RequestError> {
    let mut rest = data.to_vec();
    let mut done = 0;
    while iovec::len(&rest) > 0 {
        match call(&mut Iovecs::of(&rest, memory)?, done) {
            // The file ends where the disk does not: somebody has cut it.
            Ok(0) => return Err(RequestError::Io),
            Ok(len) => {
                done += u64::from(len);
                rest = iovec::split_at(&rest, len as usize).1;
            }
            Err(e) if e.kind() == io::ErrorKind::Interrupted => {}
            Err(e) => return Err(e.into()),
        }
    }
    Ok(())
}
