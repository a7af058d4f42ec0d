//! What a fuzzer's input is read as.

use std::io::Read;

use crate::devices::virtio::test_driver::{BUFFERS, END, INDIRECT, RINGS};

/// The input, byte by byte; zeros behind its end.
pub(super) struct Input<'a>(pub &'a [u8]);

impl Input<'_> {
    pub(super) fn take<const N: usize>(&mut self) -> [u8; N] {
        let mut bytes = [0; N];
        let _ = self.0.read(&mut bytes);
        bytes
    }

    pub(super) fn u8(&mut self) -> u8 {
        u8::from_le_bytes(self.take())
    }

    pub(super) fn u16(&mut self) -> u16 {
        u16::from_le_bytes(self.take())
    }

    /// A guest-physical address: most often one of the buffers', else near the end of memory, in
    /// a ring, or anywhere.
    pub(super) fn gpa(&mut self) -> u64 {
        let (kind, offset) = (self.u8(), u64::from(self.u16()));
        match kind {
            0 => u64::from_le_bytes(self.take()),
            1..16 => END - offset,
            16..32 => RINGS + offset,
            _ => BUFFERS + 4 * offset,
        }
    }

    pub(super) fn len(&mut self) -> u32 {
        match self.u8() {
            0 => u32::from_le_bytes(self.take()),
            1..64 => self.u16().into(),
            len => u32::from(len - 64),
        }
    }

    /// An element of a buffer: address, bytes, flags of its descriptor but NEXT.
    pub(super) fn element(&mut self) -> (u64, u32, u16) {
        // An indirect table is rarer than the others.
        let flags = u16::from(self.u8());
        let flags = if flags < 240 {
            flags & !INDIRECT
        } else {
            flags
        };
        (self.gpa(), self.len(), flags & 7)
    }
}
