//! Kernel files made in memory for tests, and numbers to corrupt them with.

use std::fs::File;
use std::io::Write;

use super::KernelImage;
use super::place::Placed;
use super::protocol::{BootParams, Loaded};
use super::solo5::manifest::{Device, Manifest};
use crate::arch::registers::EntryState;
use crate::devices::virtio::slots::DeviceSlots;
use crate::error::Error;
use crate::memory::{self, GuestMemory};

/// A small ELF file, whose every number a test can corrupt.
#[derive(Debug, Clone)]
pub(crate) struct ElfFile {
    pub class64: bool,
    pub machine: u16,
    pub entry: u64,
    pub program_headers: Vec<ProgramHeader>,
    /// Of every program header; readable and executable.
    pub flags: u32,
    /// What follows the headers, from offset 0x1000 on.
    pub content: Vec<u8>,
}

#[derive(Debug, Clone, Copy)]
pub(crate) struct ProgramHeader {
    pub kind: u32,
    pub offset: u64,
    pub address: u64,
    pub file_size: u64,
    pub memory_size: u64,
    pub align: u64,
}

pub(crate) const LOAD: u32 = 1;
pub(crate) const INTERP: u32 = 3;
pub(crate) const NOTE: u32 = 4;
pub(crate) const CONTENT: u64 = 0x1000;

impl ElfFile {
    /// A kernel without a note: one segment of 0x100 bytes from the file and as many
    /// zeroed ones, at 1 MiB.
    pub(crate) fn kernel() -> ElfFile {
        ElfFile {
            class64: true,
            machine: 62,
            entry: 0x10_0000,
            program_headers: vec![load(0x10_0000, 0x100, 0x200)],
            flags: 5,
            content: vec![0x90; 0x1000],
        }
    }

    /// The same as a 32-bit file.
    pub(crate) fn kernel32() -> ElfFile {
        ElfFile {
            class64: false,
            machine: 3,
            ..ElfFile::kernel()
        }
    }

    /// A kernel for Solo5's hvt that declares the devices of this manifest.
    pub(crate) fn solo5(devices: &[Device]) -> ElfFile {
        let devices = devices.to_vec();
        let manifest = Manifest { devices }.bytes();
        ElfFile::kernel()
            .with_note(b"Solo5", u32::from_le_bytes(*b"ABI1"), &solo5_abi(1, 2))
            .with_note(
                b"Solo5",
                u32::from_le_bytes(*b"MFT1"),
                &[&[0; 4], &manifest[..]].concat(),
            )
    }

    /// Adds a note segment with one note.
    pub(crate) fn with_note(mut self, name: &[u8], kind: u32, desc: &[u8]) -> ElfFile {
        let note = note(name, kind, desc);
        self.program_headers.push(ProgramHeader {
            kind: NOTE,
            offset: CONTENT + self.content.len() as u64,
            address: 0,
            file_size: note.len() as u64,
            memory_size: note.len() as u64,
            align: 4,
        });
        self.content.extend(note);
        self
    }

    pub(crate) fn bytes(&self) -> Vec<u8> {
        let mut elf = b"\x7fELF".to_vec();
        elf.extend([if self.class64 { 2 } else { 1 }, 1, 1]);
        elf.extend([0; 9]);
        elf.extend(2u16.to_le_bytes());
        elf.extend(self.machine.to_le_bytes());
        elf.extend(1u32.to_le_bytes());
        let header_size = if self.class64 { 64 } else { 52 };
        for field in [self.entry, header_size, 0] {
            self.word(&mut elf, field);
        }
        elf.extend([0; 4]);
        let entry_size = if self.class64 { 56u16 } else { 32 };
        let count = self.program_headers.len() as u16;
        for field in [header_size as u16, entry_size, count, 0, 0, 0] {
            elf.extend(field.to_le_bytes());
        }
        for header in &self.program_headers {
            self.program_header(&mut elf, header);
        }
        elf.resize(CONTENT as usize, 0);
        elf.extend(&self.content);
        elf
    }

    pub(crate) fn file(&self) -> File {
        file(&self.bytes())
    }

    fn program_header(&self, elf: &mut Vec<u8>, header: &ProgramHeader) {
        elf.extend(header.kind.to_le_bytes());
        if self.class64 {
            elf.extend(self.flags.to_le_bytes());
        }
        let ProgramHeader {
            offset,
            address,
            file_size,
            memory_size,
            ..
        } = *header;
        for field in [offset, address, address, file_size, memory_size] {
            self.word(elf, field);
        }
        if !self.class64 {
            elf.extend(self.flags.to_le_bytes());
        }
        self.word(elf, header.align);
    }

    fn word(&self, elf: &mut Vec<u8>, value: u64) {
        if self.class64 {
            elf.extend(value.to_le_bytes());
        } else {
            elf.extend((value as u32).to_le_bytes());
        }
    }
}

/// A loadable segment of the content's first bytes.
pub(crate) fn load(address: u64, file_size: u64, memory_size: u64) -> ProgramHeader {
    ProgramHeader {
        kind: LOAD,
        offset: CONTENT,
        address,
        file_size,
        memory_size,
        align: 0x1000,
    }
}

/// The descriptor of Solo5's note `ABI1`.
pub(crate) fn solo5_abi(target: u32, version: u32) -> Vec<u8> {
    [target, version, 0, 0].map(u32::to_le_bytes).concat()
}

fn note(name: &[u8], kind: u32, desc: &[u8]) -> Vec<u8> {
    let mut note = Vec::new();
    for field in [name.len() as u32 + 1, desc.len() as u32, kind] {
        note.extend(field.to_le_bytes());
    }
    note.extend(name);
    note.push(0);
    note.resize(note.len().next_multiple_of(4), 0);
    note.extend(desc);
    note.resize(note.len().next_multiple_of(4), 0);
    note
}

/// A Multiboot header with these flags, and the five address fields.
pub(crate) fn multiboot_header(flags: u32, addresses: [u32; 5]) -> Vec<u8> {
    const MAGIC: u32 = 0x1bad_b002;
    let checksum = 0u32.wrapping_sub(MAGIC).wrapping_sub(flags);
    [MAGIC, flags, checksum]
        .into_iter()
        .chain(addresses)
        .flat_map(u32::to_le_bytes)
        .collect()
}

/// A bzImage of protocol 2.15 whose kernel, 0x400 bytes that need 256 KiB, lies at 1 MiB.
pub(crate) fn bzimage() -> Vec<u8> {
    let mut image = vec![0x90; 0x800];
    image[0x1f1..0x268].fill(0);
    for (at, field) in [
        (0x1f1, &[1u8][..]),
        (0x1f4, &[0x40, 0, 0, 0]),
        (0x1fe, &[0x55, 0xaa]),
        (0x200, &[0xeb, 0x66]),
        (0x202, b"HdrS"),
        (0x206, &[0x0f, 2]),
        (0x22c, &[0xff, 0xff, 0xff, 0x7f]),
        (0x234, &[1]),
        (0x236, &[1]),
        (0x238, &[0xff, 7, 0, 0]),
        (0x258, &[0, 0, 0x10]),
        (0x260, &[0, 0, 4]),
    ] {
        image[at..at + field.len()].copy_from_slice(field);
    }
    image
}

/// These bytes compressed by gzip.
pub(crate) fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    encoder.write_all(bytes).unwrap();
    encoder.finish().unwrap()
}

/// A tar archive of files with these names, which may be absolute, and contents.
pub(crate) fn tar_of(files: &[(&str, &[u8])]) -> Vec<u8> {
    let mut archive = tar::Builder::new(Vec::new());
    for (name, content) in files {
        let mut header = tar::Header::new_ustar();
        header.as_old_mut().name[..name.len()].copy_from_slice(name.as_bytes());
        header.set_size(content.len() as u64);
        header.set_mode(0o644);
        header.set_cksum();
        archive.append(&header, *content).unwrap();
    }
    archive.into_inner().unwrap()
}

/// What a kernel is told with this command line.
pub(crate) fn boot_params(cmdline: &str) -> BootParams<'_> {
    static NOWHERE: DeviceSlots = DeviceSlots::NONE;
    BootParams {
        cmdline,
        vcpus: 1,
        tsc_khz: None,
        dirs: &[],
        slots: &NOWHERE,
    }
}

/// Loads a guest of these files and tells it all.
pub(crate) fn load_guest(
    memory: &GuestMemory,
    size: u64,
    image: &KernelImage,
    files: (&File, Option<&File>),
    params: &BootParams<'_>,
) -> Result<EntryState, Error> {
    let (kernel, initrd) = files;
    let loaded = super::load(memory, size, image, kernel, initrd)?;
    image.write_boot_params(memory, &loaded, params)
}

/// A file with this content.
pub(crate) fn file(bytes: &[u8]) -> File {
    let mut file = tempfile::tempfile().unwrap();
    file.write_all(bytes).unwrap();
    file
}

/// Numbers without a pattern, the same ones in every run (Marsaglia, "Xorshift RNGs", 2003).
pub(crate) struct Random(u64);

impl Random {
    pub(crate) fn new() -> Random {
        Random(0x9e37_79b9_7f4a_7c15)
    }

    pub(crate) fn number(&mut self) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0
    }

    /// A number less than `end`, which is not 0.
    pub(crate) fn below(&mut self, end: usize) -> usize {
        (self.number() % end as u64) as usize
    }

    pub(crate) fn pick<T: Copy>(&mut self, from: &[T]) -> T {
        from[self.below(from.len())]
    }
}

/// 4 MiB of memory, and what a kernel is told of it: an empty command line, and an
/// initrd of 0x123 bytes at 0x3f0000.
pub(super) fn small_machine() -> (GuestMemory, Loaded) {
    let size = 4 << 20;
    let loaded = Loaded {
        memory: size,
        initrd: Some(Placed {
            gpa: 0x3f_0000,
            size: 0x123,
        }),
    };
    (memory::allocate(size).unwrap(), loaded)
}
