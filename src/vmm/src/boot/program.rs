//! A kernel as a program: what of its file goes where in guest memory, and what it can take.

use crate::arch::layout::{ACPI_TABLES, ACPI_TABLES_END, BOOT_AREA_END, CMDLINE_MAX, HOLE_START};
use crate::error::KernelError;

/// A part of the kernel file and its place in guest memory.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Segment {
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
    pub(crate) fn memory_end(&self) -> u64 {
        self.gpa + self.memory_size
    }

    /// The same segment so many bytes further up. Addresses that wrap come out lower.
    pub(crate) fn moved(&self, by: u64) -> Segment {
        Segment {
            gpa: self.gpa.wrapping_add(by),
            ..*self
        }
    }

    /// Whether the `len` bytes at `gpa` lie in it.
    pub(crate) fn holds(&self, gpa: u64, len: u64) -> bool {
        let offset = gpa.checked_sub(self.gpa);
        let end = offset.and_then(|offset| offset.checked_add(len));
        end.is_some_and(|end| end <= self.memory_size)
    }

    /// Where the file has the `len` bytes at `gpa`, if it has them.
    pub(crate) fn offset_of(&self, gpa: u64, len: u64) -> Option<u64> {
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
    fn check(&self, file_size: u64) -> Result<(), KernelError> {
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
    fn check_place(&self) -> Result<(), KernelError> {
        if self.gpa < BOOT_AREA_END {
            return Err(self.fault("overlaps the boot structures below 0x21000"));
        }
        if self.gpa < ACPI_TABLES_END && self.memory_end() > ACPI_TABLES {
            return Err(self.fault("overlaps the firmware's tables between 0xe0000 and 0xf0000"));
        }
        Ok(())
    }

    /// Whether loading `other` would write over this segment.
    fn is_overwritten_by(&self, other: &Segment) -> bool {
        other.file_size > 0
            && other.gpa < self.memory_end()
            && self.gpa < other.gpa + other.file_size
    }
}

/// What the kernel can take.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Limits {
    /// Bytes of the command line, without its zero byte.
    pub cmdline: usize,
    /// The first guest-physical address that the initrd must leave alone.
    pub initrd_end: u64,
}

impl Default for Limits {
    /// What the monitor itself has room for.
    fn default() -> Limits {
        Limits {
            cmdline: CMDLINE_MAX - 1,
            initrd_end: HOLE_START,
        }
    }
}

/// What of the kernel file goes where, and where it is entered.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Program {
    /// Guest-physical address of the first instruction.
    pub entry: u64,
    /// In the file's order; none is empty, none overlaps another.
    pub segments: Vec<Segment>,
    pub limits: Limits,
}

impl Program {
    /// The first guest-physical address past everything that the kernel occupies, its
    /// zeroed memory included.
    pub(crate) fn memory_end(&self) -> u64 {
        self.segments
            .iter()
            .map(Segment::memory_end)
            .max()
            .unwrap_or(0)
    }

    /// Holds the segments against the file's size and each other, and the entry against them.
    ///
    /// # Errors
    /// [`KernelError::BadSegment`], [`KernelError::Truncated`], [`KernelError::BadEntry`].
    pub(super) fn check(&self, file_size: u64) -> Result<(), KernelError> {
        for (i, segment) in self.segments.iter().enumerate() {
            segment.check(file_size)?;
            for earlier in &self.segments[..i] {
                if earlier.is_overwritten_by(segment) || segment.is_overwritten_by(earlier) {
                    return Err(segment.fault("overlaps another segment"));
                }
            }
        }
        let contains_entry = |s: &Segment| (s.gpa..s.memory_end()).contains(&self.entry);
        match self.segments.iter().any(contains_entry) {
            true => Ok(()),
            false => Err(self.bad_entry("in none of its segments")),
        }
    }

    /// Holds the segments against what the monitor writes below 1 MiB for a PC's kernels, and the
    /// entry against what they are entered over: 32-bit mode, or page tables for 4 GiB.
    ///
    /// # Errors
    /// [`KernelError::BadSegment`], [`KernelError::BadEntry`].
    pub(super) fn check_place(&self) -> Result<(), KernelError> {
        self.segments.iter().try_for_each(Segment::check_place)?;
        match self.entry > u64::from(u32::MAX) {
            true => Err(self.bad_entry("past the first 4 GiB")),
            false => Ok(()),
        }
    }

    fn bad_entry(&self, fault: &'static str) -> KernelError {
        KernelError::BadEntry {
            entry: self.entry,
            fault,
        }
    }
}
