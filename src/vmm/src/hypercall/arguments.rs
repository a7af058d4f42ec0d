//! What a call is given: a structure in guest memory, and buffers that it points to.

use vm_memory::{Bytes, GuestAddress, GuestMemoryBackend, VolatileSlice};

use super::fault::HypercallFault;
use crate::memory::GuestMemory;

/// How much is copied at a time, in bytes: a guest names the length, not the monitor's memory.
const PART: usize = 64 << 10;

/// A call's structure.
#[derive(Clone, Copy)]
pub(super) struct Arguments<'a> {
    pub memory: &'a GuestMemory,
    gpa: u64,
}

/// A buffer that the guest named, within its memory.
#[derive(Clone, Copy)]
pub(super) struct Buffer<'a> {
    memory: &'a GuestMemory,
    gpa: u64,
    pub len: u64,
}

impl<'a> Arguments<'a> {
    /// The structure of `size` bytes at `gpa`.
    ///
    /// # Errors
    /// Where it does not lie in guest memory, as every one below.
    pub(super) fn at(
        memory: &'a GuestMemory,
        gpa: u64,
        size: u64,
    ) -> Result<Arguments<'a>, HypercallFault> {
        Buffer::at(memory, gpa, size).map(|_| Arguments { memory, gpa })
    }

    /// The 8 bytes at `offset` of the structure.
    pub(super) fn word(&self, offset: u64) -> Result<u64, HypercallFault> {
        let word = self.memory.read_obj(self.field(offset));
        word.map_err(|_| self.out_of_memory(offset, 8))
    }

    /// The 4 bytes at `offset`.
    pub(super) fn int(&self, offset: u64) -> Result<i32, HypercallFault> {
        let int = self.memory.read_obj(self.field(offset));
        int.map_err(|_| self.out_of_memory(offset, 4))
    }

    pub(super) fn put_word(&self, offset: u64, value: u64) -> Result<(), HypercallFault> {
        let put = self.memory.write_obj(value, self.field(offset));
        put.map_err(|_| self.out_of_memory(offset, 8))
    }

    pub(super) fn put_int(&self, offset: u64, value: i32) -> Result<(), HypercallFault> {
        let put = self.memory.write_obj(value, self.field(offset));
        put.map_err(|_| self.out_of_memory(offset, 4))
    }

    /// The buffer of `len` bytes at `gpa`.
    pub(super) fn buffer(&self, gpa: u64, len: u64) -> Result<Buffer<'a>, HypercallFault> {
        Buffer::at(self.memory, gpa, len)
    }

    fn field(&self, offset: u64) -> GuestAddress {
        GuestAddress(self.gpa + offset)
    }

    fn out_of_memory(&self, offset: u64, len: u64) -> HypercallFault {
        let gpa = self.gpa + offset;
        HypercallFault::OutOfMemory { gpa, len }
    }
}

impl<'a> Buffer<'a> {
    fn at(memory: &'a GuestMemory, gpa: u64, len: u64) -> Result<Buffer<'a>, HypercallFault> {
        let is_inside = gpa.checked_add(len).is_some()
            && usize::try_from(len).is_ok_and(|len| memory.check_range(GuestAddress(gpa), len));
        match is_inside || len == 0 {
            true => Ok(Buffer { memory, gpa, len }),
            false => Err(HypercallFault::OutOfMemory { gpa, len }),
        }
    }

    /// Gives the buffer's bytes to `take`, in parts, each with its offset; ends at the first
    /// that `take` refuses.
    pub(super) fn for_each<E>(
        &self,
        mut take: impl FnMut(u64, &[u8]) -> Result<(), E>,
    ) -> Result<Result<(), E>, HypercallFault> {
        let mut part = vec![0; self.part_size()];
        for (offset, size) in self.parts() {
            let part = &mut part[..size];
            let read = self
                .memory
                .read_slice(part, GuestAddress(self.gpa + offset));
            read.map_err(|_| self.out_of_memory())?;
            if let Err(refused) = take(offset, part) {
                return Ok(Err(refused));
            }
        }
        Ok(Ok(()))
    }

    /// Fills the buffer with what `give` puts into its parts, likewise.
    pub(super) fn fill<E>(
        &self,
        mut give: impl FnMut(u64, &mut [u8]) -> Result<(), E>,
    ) -> Result<Result<(), E>, HypercallFault> {
        let mut part = vec![0; self.part_size()];
        for (offset, size) in self.parts() {
            let part = &mut part[..size];
            if let Err(refused) = give(offset, part) {
                return Ok(Err(refused));
            }
            let written = self
                .memory
                .write_slice(part, GuestAddress(self.gpa + offset));
            written.map_err(|_| self.out_of_memory())?;
        }
        Ok(Ok(()))
    }

    /// The `len` bytes at `offset`, or as many as there are.
    pub(super) fn part(&self, offset: u64, len: u64) -> Buffer<'a> {
        let offset = offset.min(self.len);
        Buffer {
            memory: self.memory,
            gpa: self.gpa + offset,
            len: len.min(self.len - offset),
        }
    }

    /// At most the first `max` bytes, to be read and written by system calls.
    pub(super) fn beginning(&self, max: usize) -> Result<VolatileSlice<'a>, HypercallFault> {
        let len = at_most(self.len, max);
        let slice = self.memory.get_slice(GuestAddress(self.gpa), len);
        match len {
            // An empty buffer may lie anywhere.
            0 => Ok(VolatileSlice::from(&mut [][..])),
            _ => slice.map_err(|_| self.out_of_memory()),
        }
    }

    /// All of it; the caller has bounded its length.
    pub(super) fn to_vec(self) -> Result<Vec<u8>, HypercallFault> {
        let mut bytes = vec![0; at_most(self.len, usize::MAX)];
        let read = self.memory.read_slice(&mut bytes, GuestAddress(self.gpa));
        read.map_err(|_| self.out_of_memory()).map(|()| bytes)
    }

    /// Writes `bytes`, no more than the buffer has, at its beginning.
    pub(super) fn put(&self, bytes: &[u8]) -> Result<(), HypercallFault> {
        let written = self.memory.write_slice(bytes, GuestAddress(self.gpa));
        written.map_err(|_| self.out_of_memory())
    }

    fn out_of_memory(&self) -> HypercallFault {
        let Buffer { gpa, len, .. } = *self;
        HypercallFault::OutOfMemory { gpa, len }
    }

    fn part_size(&self) -> usize {
        at_most(self.len, PART)
    }

    fn parts(&self) -> impl Iterator<Item = (u64, usize)> + use<> {
        let len = self.len;
        let offsets = (0..len).step_by(PART);
        offsets.map(move |offset| (offset, at_most(len - offset, PART)))
    }
}

/// `len`, or `max` where that is less.
pub(super) fn at_most(len: u64, max: usize) -> usize {
    usize::try_from(len).map_or(max, |len| len.min(max))
}
