//! A buffer's memory as one stretch of bytes: copied, split, and handed to the kernel, which then
//! reads and writes the guest's memory itself.

use std::io;
use std::marker::PhantomData;
use std::os::fd::{AsFd, AsRawFd};

use nix::libc::{self, c_int, iovec, off_t, ssize_t};
use vm_memory::{Address, Bytes, GuestAddress, GuestMemoryBackend};

use crate::devices::virtio::device::NeedsReset;
use crate::memory::GuestMemory;

/// A range of guest memory.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct GuestIovec {
    pub gpa: GuestAddress,
    /// Bytes.
    pub len: u32,
}

/// All were checked when their buffer was taken, and memory never shrinks.
const NO_MEMORY: NeedsReset = NeedsReset("a buffer where no memory is");

/// How many bytes they are: a buffer has less than 2^32.
pub(crate) fn len(iovecs: &[GuestIovec]) -> u32 {
    iovecs.iter().map(|iovec| iovec.len).sum()
}

/// The first `at` bytes, or all where there are fewer, and the rest.
pub(crate) fn split_at(iovecs: &[GuestIovec], mut at: usize) -> (Vec<GuestIovec>, Vec<GuestIovec>) {
    let (mut before, mut behind) = (Vec::new(), Vec::new());
    for iovec in iovecs {
        let len = u32::try_from(at).map_or(iovec.len, |at| at.min(iovec.len));
        at -= len as usize;
        if len > 0 {
            before.push(GuestIovec { len, ..*iovec });
        }
        if len < iovec.len {
            behind.push(GuestIovec {
                gpa: iovec.gpa.unchecked_add(len.into()),
                len: iovec.len - len,
            });
        }
    }
    (before, behind)
}

/// Copies their first bytes to `data`; says how many there were.
///
/// # Errors
/// [`NeedsReset`] where no memory is.
pub(crate) fn read(
    iovecs: &[GuestIovec],
    memory: &GuestMemory,
    data: &mut [u8],
) -> Result<usize, NeedsReset> {
    let mut done = 0;
    for iovec in iovecs {
        let rest = &mut data[done..];
        let part = rest.len().min(iovec.len as usize);
        let read = memory.read_slice(&mut rest[..part], iovec.gpa);
        read.map_err(|_| NO_MEMORY)?;
        done += part;
    }
    Ok(done)
}

/// Copies `data` to their first bytes; says how many there was room for.
///
/// # Errors
/// [`NeedsReset`] where no memory is.
pub(crate) fn write(
    iovecs: &[GuestIovec],
    memory: &GuestMemory,
    mut data: &[u8],
) -> Result<u32, NeedsReset> {
    let mut done = 0;
    for iovec in iovecs {
        let len = u32::try_from(data.len()).map_or(iovec.len, |len| len.min(iovec.len));
        let (part, rest) = data.split_at(len as usize);
        let written = memory.write_slice(part, iovec.gpa);
        written.map_err(|_| NO_MEMORY)?;
        data = rest;
        done += len;
    }
    Ok(done)
}

/// What readv(2), writev(2), preadv(2) and pwritev(2) take: guest memory, and memory of our own
/// between. They refuse more than 1024.
#[derive(Default)]
pub(crate) struct Iovecs<'a> {
    iovecs: Vec<iovec>,
    len: u64,
    memory: PhantomData<&'a mut [u8]>,
}

impl<'a> Iovecs<'a> {
    /// Those of `iovecs`.
    ///
    /// # Errors
    /// [`NeedsReset`] where no memory is.
    pub(crate) fn of(iovecs: &[GuestIovec], memory: &'a GuestMemory) -> Result<Self, NeedsReset> {
        let mut all = Iovecs::default();
        all.append(iovecs, memory)?;
        Ok(all)
    }

    /// Adds `iovecs` behind the others.
    ///
    /// # Errors
    /// [`NeedsReset`] where no memory is.
    pub(crate) fn append(
        &mut self,
        iovecs: &[GuestIovec],
        memory: &'a GuestMemory,
    ) -> Result<(), NeedsReset> {
        for iovec in iovecs.iter().filter(|iovec| iovec.len > 0) {
            let slice = memory.get_slice(iovec.gpa, iovec.len as usize);
            let slice = slice.map_err(|_| NO_MEMORY)?;
            self.add(slice.ptr_guard_mut().as_ptr(), slice.len());
        }
        Ok(())
    }

    /// Adds memory of our own.
    pub(crate) fn append_own(&mut self, bytes: &'a mut [u8]) {
        self.add(bytes.as_mut_ptr(), bytes.len());
    }

    fn add(&mut self, base: *mut u8, len: usize) {
        self.len += len as u64;
        self.iovecs.push(iovec {
            iov_base: base.cast(),
            iov_len: len,
        });
    }

    /// How many bytes they are.
    pub(crate) fn len(&self) -> u64 {
        self.len
    }

    /// How many they are themselves.
    pub(crate) fn count(&self) -> usize {
        self.iovecs.len()
    }

    /// As readv(2).
    ///
    /// # Errors
    /// Its own.
    pub(crate) fn read(&mut self, file: impl AsFd) -> io::Result<u32> {
        // SAFETY: see `call`.
        self.call(&file, |fd, at, count| unsafe { libc::readv(fd, at, count) })
    }

    /// As writev(2).
    ///
    /// # Errors
    /// Its own.
    pub(crate) fn write(&self, file: impl AsFd) -> io::Result<u32> {
        // SAFETY: see `call`.
        self.call(&file, |fd, at, count| unsafe {
            libc::writev(fd, at, count)
        })
    }

    /// As preadv(2), from byte `offset` of the file on.
    ///
    /// # Errors
    /// Its own, and EINVAL for 2^63 and above.
    pub(crate) fn read_at(&mut self, file: impl AsFd, offset: u64) -> io::Result<u32> {
        let offset = file_offset(offset)?;
        // SAFETY: see `call`.
        self.call(&file, |fd, at, count| unsafe {
            libc::preadv(fd, at, count, offset)
        })
    }

    /// As pwritev(2), from byte `offset` of the file on.
    ///
    /// # Errors
    /// Its own, and EINVAL for 2^63 and above.
    pub(crate) fn write_at(&self, file: impl AsFd, offset: u64) -> io::Result<u32> {
        let offset = file_offset(offset)?;
        // SAFETY: see `call`.
        self.call(&file, |fd, at, count| unsafe {
            libc::pwritev(fd, at, count, offset)
        })
    }

    /// Calls one of those four, which find here what they want: the descriptor is open, and each
    /// iovec is memory that stays where it is for as long as `'a`. The guest's may change in the
    /// meantime; only the kernel looks at it. Our own was lent to be written.
    fn call(
        &self,
        file: &impl AsFd,
        call: impl Fn(c_int, *const iovec, c_int) -> ssize_t,
    ) -> io::Result<u32> {
        let fd = file.as_fd().as_raw_fd();
        // Too many are refused, and that many are too many as well.
        let count = c_int::try_from(self.iovecs.len()).unwrap_or(c_int::MAX);
        let done = call(fd, self.iovecs.as_ptr(), count);
        // None moves 2^31 bytes at once (read(2)).
        u32::try_from(done).map_err(|_| io::Error::last_os_error())
    }
}

fn file_offset(offset: u64) -> io::Result<off_t> {
    off_t::try_from(offset).map_err(|_| io::Error::from_raw_os_error(libc::EINVAL))
}
