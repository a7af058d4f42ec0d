//! A segment: what of the kernel file goes where.

use crate::arch::layout::{ACPI_TABLES, ACPI_TABLES_END, BOOT_AREA_END};
use crate::error::KernelError;

/// A part of the kernel file and its place in guest memory.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Segment {
    /// Guest-physical address of the first byte.
    pub gpa: u64,
    /// Offset of the first byte in the file; without a meaning where `file_size` is 0.
    pub offset: u64,
    /// Bytes that come from the file.
    pub file_size: u64,
    /// Bytes in memory; those past `file_size` are zero.
    pub memory_size: u64,
}

impl Segment {
    /// The first guest-physical address past the segment. Cannot wrap once the image
    /// has been probed.
    pub fn memory_end(&self) -> u64 {
        self.gpa + self.memory_size
    }

    /// The same segment so many bytes further up. Addresses that wrap come out lower.
    pub fn moved(&self, by: u64) -> Segment {
        Segment {
            gpa: self.gpa.wrapping_add(by),
            ..*self
        }
    }

    /// Whether the `len` bytes at `gpa` lie in it.
    pub fn holds(&self, gpa: u64, len: u64) -> bool {
        let offset = gpa.checked_sub(self.gpa);
        let end = offset.and_then(|offset| offset.checked_add(len));
        end.is_some_and(|end| end <= self.memory_size)
    }

    /// Where the file has the `len` bytes at `gpa`, if it has them.
    pub fn offset_of(&self, gpa: u64, len: u64) -> Option<u64> {
        let offset = gpa.checked_sub(self.gpa)?;
        let end = offset.checked_add(len)?;
        (end <= self.file_size).then(|| self.offset.checked_add(offset))?
    }

    pub(super) fn fault(&self, fault: &'static str) -> KernelError {
        KernelError::BadSegment {
            gpa: self.gpa,
            size: self.memory_size,
            fault,
        }
    }

    /// Holds the segment alone against the file's size.
    pub(super) fn check(&self, file_size: u64) -> Result<(), KernelError> {
        if self.file_size > self.memory_size {
            return Err(self.fault("has more bytes in the file than in memory"));
        }
        if self.gpa.checked_add(self.memory_size).is_none() {
            return Err(self.fault("wraps around the end of the address space"));
        }
        match self.offset.checked_add(self.file_size) {
            // Linkers let the offset of what is not in the file lie anywhere.
            _ if self.file_size == 0 => Ok(()),
            None => Err(self.fault("lies past every file's end")),
            Some(needs) if needs > file_size => Err(KernelError::Truncated {
                part: "segments",
                needs,
                size: file_size,
            }),
            Some(_) => Ok(()),
        }
    }

    /// Holds the segment against what the monitor writes below 1 MiB.
    pub(super) fn check_place(&self) -> Result<(), KernelError> {
        if self.gpa < BOOT_AREA_END {
            return Err(self.fault("overlaps the boot structures below 0x21000"));
        }
        if self.gpa < ACPI_TABLES_END && self.memory_end() > ACPI_TABLES {
            return Err(self.fault("overlaps the firmware's tables between 0xe0000 and 0xf0000"));
        }
        Ok(())
    }

    /// Whether loading `other` would write over this segment.
    pub(super) fn is_overwritten_by(&self, other: &Segment) -> bool {
        other.file_size > 0
            && other.gpa < self.memory_end()
            && self.gpa < other.gpa + other.file_size
    }
}
