//! Pieces of guest memory in a row, taken for one stretch of bytes: copied, split, and handed to
//! the kernel, which then reads and writes the guest's memory itself.

use std::io;
use std::marker::PhantomData;
use std::os::fd::{AsFd, AsRawFd};

use nix::libc::{self, c_int, iovec, off_t, ssize_t};
use vm_memory::{Address, Bytes, GuestMemoryBackend};

use super::chain::GuestIovec;
use crate::devices::virtio::device::NeedsReset;
use crate::memory::GuestMemory;

/// Pieces were checked when their buffer was taken, and memory never shrinks.
const NO_MEMORY: NeedsReset = NeedsReset("a buffer where no memory is");

/// How many bytes they are.
pub(crate) fn len(iovecs: &[GuestIovec]) -> u64 {
    iovecs.iter().map(|iovec| u64::from(iovec.len)).sum()
}

/// The first `at` bytes, or all where there are fewer, and the rest.
pub(crate) fn split_at(iovecs: &[GuestIovec], mut at: u64) -> (Vec<GuestIovec>, Vec<GuestIovec>) {
    let (mut before, mut behind) = (Vec::new(), Vec::new());
    for iovec in iovecs {
        // No more than the piece's length.
        let len = at.min(iovec.len.into()) as u32;
        at -= u64::from(len);
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
    data: &[u8],
) -> Result<usize, NeedsReset> {
    let mut done = 0;
    for iovec in iovecs {
        let rest = &data[done..];
        let part = rest.len().min(iovec.len as usize);
        let written = memory.write_slice(&rest[..part], iovec.gpa);
        written.map_err(|_| NO_MEMORY)?;
        done += part;
    }
    Ok(done)
}

/// What readv(2), writev(2), preadv(2) and pwritev(2) take: pieces of guest memory, and memory
/// of our own between them. They refuse more than 1024.
#[derive(Default)]
pub(crate) struct Iovecs<'a> {
    vectors: Vec<iovec>,
    len: u64,
    memory: PhantomData<&'a mut [u8]>,
}

impl<'a> Iovecs<'a> {
    /// Those of `pieces`.
    ///
    /// # Errors
    /// [`NeedsReset`] where no memory is.
    pub(crate) fn of(iovecs: &[GuestIovec], memory: &'a GuestMemory) -> Result<Self, NeedsReset> {
        let mut vectors = Iovecs::default();
        vectors.append(iovecs, memory)?;
        Ok(vectors)
    }

    /// Adds `pieces` behind the others.
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
        self.vectors.push(iovec {
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
        self.vectors.len()
    }

    /// As readv(2).
    ///
    /// # Errors
    /// Its own.
    pub(crate) fn read(&mut self, file: impl AsFd) -> io::Result<usize> {
        // SAFETY: see `call`.
        self.call(&file, |fd, at, count| unsafe { libc::readv(fd, at, count) })
    }

    /// As writev(2).
    ///
    /// # Errors
    /// Its own.
    pub(crate) fn write(&self, file: impl AsFd) -> io::Result<usize> {
        // SAFETY: see `call`.
        self.call(&file, |fd, at, count| unsafe {
            libc::writev(fd, at, count)
        })
    }

    /// As preadv(2), from byte `offset` of the file on, less than 2^63.
    ///
    /// # Errors
    /// Its own.
    pub(crate) fn read_at(&mut self, file: impl AsFd, offset: u64) -> io::Result<usize> {
        let offset = offset as off_t;
        // SAFETY: see `call`.
        self.call(&file, |fd, at, count| unsafe {
            libc::preadv(fd, at, count, offset)
        })
    }

    /// As pwritev(2), from byte `offset` of the file on, less than 2^63.
    ///
    /// # Errors
    /// Its own.
    pub(crate) fn write_at(&self, file: impl AsFd, offset: u64) -> io::Result<usize> {
        let offset = offset as off_t;
        // SAFETY: see `call`.
        self.call(&file, |fd, at, count| unsafe {
            libc::pwritev(fd, at, count, offset)
        })
    }

    /// Calls one of those four, which find here what they want: the descriptor is open, and each
    /// vector is memory that stays where it is for as long as `'a`. The guest's may change in the
    /// meantime; only the kernel looks at it. Our own was lent to be written.
    fn call(
        &self,
        file: &impl AsFd,
        call: impl Fn(c_int, *const iovec, c_int) -> ssize_t,
    ) -> io::Result<usize> {
        let fd = file.as_fd().as_raw_fd();
        // Too many are refused, and that many are too many as well.
        let count = c_int::try_from(self.vectors.len()).unwrap_or(c_int::MAX);
        let done = call(fd, self.vectors.as_ptr(), count);
        usize::try_from(done).map_err(|_| io::Error::last_os_error())
    }
}
