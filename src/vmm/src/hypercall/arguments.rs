//! What a call is given: a structure in guest memory, and buffers that it points to.

use vm_memory::{Bytes, GuestAddress, GuestMemoryBackend, VolatileSlice};

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
    ) -> Result<Arguments<'a>, String> {
        Buffer::at(memory, gpa, size).map(|_| Arguments { memory, gpa })
    }

    /// The 8 bytes at `offset` of the structure.
    pub(super) fn word(&self, offset: u64) -> Result<u64, String> {
        let word = self.memory.read_obj(self.field(offset));
        word.map_err(|e| e.to_string())
    }

    /// The 4 bytes at `offset`.
    pub(super) fn int(&self, offset: u64) -> Result<i32, String> {
        let int = self.memory.read_obj(self.field(offset));
        int.map_err(|e| e.to_string())
    }

    pub(super) fn put_word(&self, offset: u64, value: u64) -> Result<(), String> {
        let put = self.memory.write_obj(value, self.field(offset));
        put.map_err(|e| e.to_string())
    }

    pub(super) fn put_int(&self, offset: u64, value: i32) -> Result<(), String> {
        let put = self.memory.write_obj(value, self.field(offset));
        put.map_err(|e| e.to_string())
    }

    /// The buffer of `len` bytes at `gpa`.
    pub(super) fn buffer(&self, gpa: u64, len: u64) -> Result<Buffer<'a>, String> {
        Buffer::at(self.memory, gpa, len)
    }

    fn field(&self, offset: u64) -> GuestAddress {
        GuestAddress(self.gpa + offset)
    }
}

impl<'a> Buffer<'a> {
    fn at(memory: &'a GuestMemory, gpa: u64, len: u64) -> Result<Buffer<'a>, String> {
        let is_inside = gpa.checked_add(len).is_some()
            && usize::try_from(len).is_ok_and(|len| memory.check_range(GuestAddress(gpa), len));
        match is_inside || len == 0 {
            true => Ok(Buffer { memory, gpa, len }),
            false => Err(format!(
                "{len} bytes at {gpa:#x} are not in the guest's memory"
            )),
        }
    }

    /// Gives the buffer's bytes to `take`, in parts, each with its offset; ends at the first
    /// that `take` refuses.
    pub(super) fn for_each<E>(
        &self,
        mut take: impl FnMut(u64, &[u8]) -> Result<(), E>,
    ) -> Result<Result<(), E>, String> {
        let mut part = vec![0; self.part_size()];
        for (offset, size) in self.parts() {
            let part = &mut part[..size];
            let read = self
                .memory
                .read_slice(part, GuestAddress(self.gpa + offset));
            read.map_err(|e| e.to_string())?;
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
    ) -> Result<Result<(), E>, String> {
        let mut part = vec![0; self.part_size()];
        for (offset, size) in self.parts() {
            let part = &mut part[..size];
            if let Err(refused) = give(offset, part) {
                return Ok(Err(refused));
            }
            let written = self
                .memory
                .write_slice(part, GuestAddress(self.gpa + offset));
            written.map_err(|e| e.to_string())?;
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
    pub(super) fn beginning(&self, max: u64) -> Result<VolatileSlice<'a>, String> {
        let len = self.len.min(max) as usize;
        let slice = self.memory.get_slice(GuestAddress(self.gpa), len);
        match len {
            // An empty buffer may lie anywhere.
            0 => Ok(VolatileSlice::from(&mut [][..])),
            _ => slice.map_err(|e| e.to_string()),
        }
    }

    /// All of it; the caller has bounded its length.
    pub(super) fn to_vec(self) -> Result<Vec<u8>, String> {
        let mut bytes = vec![0; self.len as usize];
        let read = self.memory.read_slice(&mut bytes, GuestAddress(self.gpa));
        read.map_err(|e| e.to_string()).map(|()| bytes)
    }

    /// Writes `bytes`, no more than the buffer has, at its beginning.
    pub(super) fn put(&self, bytes: &[u8]) -> Result<(), String> {
        let written = self.memory.write_slice(bytes, GuestAddress(self.gpa));
        written.map_err(|e| e.to_string())
    }

    fn part_size(&self) -> usize {
        self.len.min(PART as u64) as usize
    }

    fn parts(&self) -> impl Iterator<Item = (u64, usize)> + use<> {
        let len = self.len;
        let offsets = (0..len).step_by(PART);
        offsets.map(move |offset| (offset, (len - offset).min(PART as u64) as usize))
    }
}
