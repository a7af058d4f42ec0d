//! The sections of an ELF kernel, which are there in a stripped one too: by their names a kernel
//! shows its family.

use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;

use object::LittleEndian;
use object::elf::{ELFCLASS32, ELFCLASS64, ELFMAG, FileHeader32, FileHeader64};
use object::pod;
use object::read::elf::{FileHeader, SectionHeader};

/// More than any kernel has: Linux has 40 sections, with names of 500 bytes.
const MAX_SECTIONS: usize = 512;
const MAX_NAMES: usize = 64 << 10;

/// The sections of one file.
pub(crate) struct Sections<'a> {
    file: &'a File,
    all: Vec<Section>,
}

/// A section's name, and where its content is in the file, in bytes.
struct Section {
    name: String,
    offset: u64,
    size: u64,
}

impl<'a> Sections<'a> {
    /// Those of a little-endian ELF file (System V ABI, "Sections"); `None` where the file is
    /// none, or its headers make no sense.
    pub(crate) fn of(file: &'a File) -> Option<Self> {
        let mut head = [0; size_of::<FileHeader64<LittleEndian>>()];
        file.read_exact_at(&mut head, 0).ok()?;
        let class = head.starts_with(&ELFMAG).then_some(head[4])?;
        let all = match class {
            class if class == ELFCLASS32.0 => sections::<FileHeader32<LittleEndian>>(file, &head),
            class if class == ELFCLASS64.0 => sections::<FileHeader64<LittleEndian>>(file, &head),
            _ => None,
        }?;
        Some(Self { file, all })
    }

    /// Whether there is one of that name.
    pub(crate) fn has(&self, name: &str) -> bool {
        self.all.iter().any(|section| section.name == name)
    }

    /// Whether there is one whose name begins so.
    pub(crate) fn any_begins(&self, prefix: &str) -> bool {
        let begins = |section: &Section| section.name.starts_with(prefix);
        self.all.iter().any(begins)
    }

    /// The first `max` bytes of a section; none where it is missing or cannot be read.
    pub(crate) fn content(&self, name: &str, max: usize) -> Vec<u8> {
        let section = self.all.iter().find(|section| section.name == name);
        let content = section.and_then(|s| read(self.file, s.offset, bounded(s.size, max)).ok());
        content.unwrap_or_default()
    }
}

/// The sections by the ELF header at the beginning of `head`.
fn sections<H>(file: &File, head: &[u8]) -> Option<Vec<Section>>
where
    H: FileHeader<Endian = LittleEndian>,
{
    let (header, _) = pod::from_bytes::<H>(head).ok()?;
    let count = usize::from(header.e_shnum(LittleEndian));
    let entry_size = size_of::<H::SectionHeader>();
    if count > MAX_SECTIONS || usize::from(header.e_shentsize(LittleEndian)) != entry_size {
        return None;
    }
    let offset = header.e_shoff(LittleEndian).into();
    let table = read(file, offset, count * entry_size).ok()?;
    let (table, _) = pod::slice_from_bytes::<H::SectionHeader>(&table, count).ok()?;
    let extent = |s: &H::SectionHeader| {
        let (offset, size) = (s.sh_offset(LittleEndian), s.sh_size(LittleEndian));
        (offset.into(), size.into())
    };
    let names = table.get(usize::from(header.e_shstrndx(LittleEndian).0))?;
    let (offset, size): (u64, u64) = extent(names);
    let names = read(file, offset, bounded(size, MAX_NAMES)).ok()?;
    let section = |s: &H::SectionHeader| {
        let start = bounded(s.sh_name(LittleEndian).into(), MAX_NAMES);
        let name = names.get(start..).unwrap_or_default();
        let name = name.split(|&byte| byte == 0).next().unwrap_or_default();
        let (offset, size) = extent(s);
        Section {
            name: String::from_utf8_lossy(name).into_owned(),
            offset,
            size,
        }
    };
    Some(table.iter().map(section).collect())
}

/// `size`, but no more than `max`.
fn bounded(size: u64, max: usize) -> usize {
    usize::try_from(size).map_or(max, |size| size.min(max))
}

/// `size` bytes of the file, which the caller bounds.
fn read(file: &File, offset: u64, size: usize) -> io::Result<Vec<u8>> {
    let mut bytes = vec![0; size];
    file.read_exact_at(&mut bytes, offset)?;
    Ok(bytes)
}
