//! What a kernel file is: its boot ABI, its entry point and its segments.

use std::fmt;
use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;

use super::elf::{Class, Elf};
use super::notes::KernelNote;
pub use super::segment::Segment;
use super::solo5::manifest::Manifest;
use super::solo5::pages::Protected;
use super::{bzimage, hermit, linux, multiboot, solo5};
use crate::arch::layout::{CMDLINE_MAX, HOLE_START};
use crate::error::KernelError;

/// How much of the file's beginning is looked at: Multiboot's header lies in the
/// first 8192 bytes (Multiboot specification 0.6.96, section 3.1), and the headers of
/// the other formats lie before that.
const HEAD_SIZE: u64 = 8192;

const GZIP_MAGIC: &[u8] = &[0x1f, 0x8b];

/// The way in which a kernel wants to be entered.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum BootAbi {
    /// Linux's 64-bit entry, of an ELF vmlinux (Documentation/arch/x86/boot.rst).
    Linux64,
    /// The same entry of a compressed kernel, as distributions ship it (likewise).
    BzImage,
    /// Xen's PVH entry, by an ELF note (xen/include/public/arch-x86/hvm/start_info.h).
    Pvh,
    /// Multiboot 1 (Multiboot specification 0.6.96).
    Multiboot1,
    /// Hermit's entry for its own monitor (hermit-entry, uhyve).
    Hermit,
    /// Solo5's hvt, version 2 (Solo5, include/hvt_abi.h).
    Solo5,
}

impl BootAbi {
    /// Whether a kernel entered in this way finds virtio devices: those that call their monitor
    /// know of none.
    pub fn has_virtio(self) -> bool {
        !matches!(self, BootAbi::Solo5 | BootAbi::Hermit)
    }

    /// Whether a kernel entered in this way can find the other processors: by ACPI's tables,
    /// which Linux and PVH are told of, and Multiboot's kernels look for below 1 MiB.
    pub fn uses_several_vcpus(self) -> bool {
        match self {
            BootAbi::Linux64 | BootAbi::BzImage | BootAbi::Pvh | BootAbi::Multiboot1 => true,
            // Hermit's could, by a way of their own.
            BootAbi::Solo5 | BootAbi::Hermit => false,
        }
    }
}

impl fmt::Display for BootAbi {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            BootAbi::Linux64 => "linux64",
            BootAbi::BzImage => "bzimage",
            BootAbi::Pvh => "pvh",
            BootAbi::Multiboot1 => "multiboot1",
            BootAbi::Hermit => "hermit",
            BootAbi::Solo5 => "solo5",
        })
    }
}

/// What the kernel can take.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
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

/// What must be known of a kernel file to load and enter it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KernelImage {
    pub abi: BootAbi,
    /// Guest-physical address of the first instruction.
    pub entry: u64,
    /// In the file's order; none is empty, none overlaps another.
    pub segments: Vec<Segment>,
    /// The devices that it declares, if it is a Solo5 kernel.
    pub manifest: Manifest,
    /// What is special to Hermit's kernels, if it is one.
    pub hermit: hermit::Kernel,
    /// What a Solo5 kernel may do with its segments.
    pub protected: Vec<Protected>,
    /// The file's size in bytes.
    pub file_size: u64,
    pub limits: Limits,
}

impl KernelImage {
    /// Finds out what kernel `file` is, from its headers and notes alone.
    ///
    /// What the file says is not believed: whatever it holds, at most about 100 KiB of
    /// it are read, and the image returned lies clear of the boot structures, within
    /// the file, and nowhere over itself. Whether it fits into a machine's memory is
    /// [`check_fits`](super::check_fits)'s question.
    ///
    /// # Errors
    /// The first fault found, as a [`KernelError`].
    pub fn probe(file: &File) -> Result<KernelImage, KernelError> {
        let metadata = file.metadata()?;
        if !metadata.is_file() {
            return Err(KernelError::NotAFile);
        }
        let file_size = metadata.len();
        if file_size == 0 {
            return Err(KernelError::Empty);
        }
        let head = read_at(file, 0, HEAD_SIZE.min(file_size), "headers", file_size)?;
        let image = recognise(file, &head, file_size)?;
        image.check()?;
        Ok(image)
    }

    /// An image of which no more is known.
    pub fn of(abi: BootAbi, file_size: u64) -> KernelImage {
        KernelImage {
            abi,
            entry: 0,
            segments: Vec::new(),
            manifest: Manifest::default(),
            hermit: hermit::Kernel::default(),
            protected: Vec::new(),
            file_size,
            limits: Limits::default(),
        }
    }

    /// The first guest-physical address past everything that the kernel occupies, its
    /// zeroed memory included.
    pub fn memory_end(&self) -> u64 {
        self.segments
            .iter()
            .map(Segment::memory_end)
            .max()
            .unwrap_or(0)
    }

    fn check(&self) -> Result<(), KernelError> {
        for (i, segment) in self.segments.iter().enumerate() {
            segment.check(self.file_size)?;
            // Hermit has a layout of its own, and no firmware.
            if self.abi != BootAbi::Hermit {
                segment.check_place()?;
            }
            for earlier in &self.segments[..i] {
                if earlier.is_overwritten_by(segment) || segment.is_overwritten_by(earlier) {
                    return Err(segment.fault("overlaps another segment"));
                }
            }
        }
        let bad_entry = |fault| KernelError::BadEntry {
            entry: self.entry,
            fault,
        };
        // Some ABIs enter in 32-bit mode, the others over page tables for 4 GiB at most, but
        // for Hermit's.
        if self.entry > u64::from(u32::MAX) && self.abi != BootAbi::Hermit {
            return Err(bad_entry("past the first 4 GiB"));
        }
        let contains_entry = |s: &Segment| (s.gpa..s.memory_end()).contains(&self.entry);
        if !self.segments.iter().any(contains_entry) {
            return Err(bad_entry("in none of its segments"));
        }
        Ok(())
    }
}

/// The first ABI that fits wins. The order matters: an image may carry the marks of
/// several, and Solo5's and Hermit's must not be taken for something else.
fn recognise(file: &File, head: &[u8], file_size: u64) -> Result<KernelImage, KernelError> {
    let image = |abi, entry, segments| KernelImage {
        entry,
        segments,
        ..KernelImage::of(abi, file_size)
    };
    if head.starts_with(GZIP_MAGIC) {
        // Whoever wants what is inside unpacks it first.
        return Err(KernelError::NotAKernel {
            found: "it is gzip-compressed",
        });
    }
    let limits = |elf: &Elf| match elf.notes.is_linux {
        true => linux::limits(),
        false => Limits::default(),
    };
    let elf = Elf::read(file, head, file_size)?;
    let elf = match elf {
        Some(elf) if elf.notes.kernel == Some(KernelNote::Hermit) => {
            return hermit::image_of(file, elf, file_size);
        }
        other => other,
    };
    match (elf.as_ref().and_then(|elf| elf.notes.kernel), elf.as_ref()) {
        // Those boot by Multiboot, and carry the note all the same.
        (Some(KernelNote::Solo5), Some(elf)) if !elf.notes.solo5.is_for_virtio() => {
            let manifest = solo5::manifest_of(elf)?;
            return Ok(KernelImage {
                manifest,
                protected: elf.protected.clone(),
                ..image(BootAbi::Solo5, elf.entry, elf.segments.clone())
            });
        }
        (Some(KernelNote::Pvh(entry)), Some(elf)) => {
            return Ok(KernelImage {
                limits: limits(elf),
                ..image(BootAbi::Pvh, entry, elf.segments.clone())
            });
        }
        _ => {}
    }
    if let Some(header) = multiboot::Header::find(head) {
        let (entry, segments) = header.image(elf, file_size)?;
        return Ok(image(BootAbi::Multiboot1, entry, segments));
    }
    let unknown = |found| Err(KernelError::NotAKernel { found });
    match elf {
        Some(elf) if elf.interpreted => unknown("it is a dynamically linked program"),
        Some(elf) if elf.class == Class::Elf64 => Ok(KernelImage {
            limits: limits(&elf),
            ..image(BootAbi::Linux64, elf.entry, elf.segments)
        }),
        Some(_) => unknown("it is a 32-bit ELF file"),
        None if bzimage::is_one(head) => bzimage::recognise(head, file_size),
        None => unknown("it is no ELF file"),
    }
}

/// Reads `len` bytes at `offset`. The caller bounds `len`; `part` names what is read.
pub(super) fn read_at(
    file: &File,
    offset: u64,
    len: u64,
    part: &'static str,
    file_size: u64,
) -> Result<Vec<u8>, KernelError> {
    let truncated = || KernelError::Truncated {
        part,
        needs: offset.saturating_add(len),
        size: file_size,
    };
    if offset.checked_add(len).is_none_or(|end| end > file_size) {
        return Err(truncated());
    }
    // A length that the caller bounded fits in memory, and so in a usize.
    let mut bytes = vec![0; len as usize];
    file.read_exact_at(&mut bytes, offset)
        .map_err(|e| match e.kind() {
            io::ErrorKind::UnexpectedEof => truncated(),
            _ => KernelError::Io(e),
        })?;
    Ok(bytes)
}

#[cfg(test)]
mod tests;
