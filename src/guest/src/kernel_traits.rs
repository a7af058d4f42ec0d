//! How a kernel file shows its family: by the names of its sections, which are there in a
//! stripped kernel too.

use std::fs::File;
use std::io;
use std::ops::Not;
use std::os::unix::fs::FileExt;

use object::LittleEndian;
use object::elf::{ELFCLASS32, ELFCLASS64, ELFMAG, FileHeader32, FileHeader64};
use object::pod;
use object::read::elf::{FileHeader, SectionHeader};
use serde::{Deserialize, Serialize};

use super::Family;
use super::libinfo::LibInfo;

/// More than any kernel has: Linux has 40 sections, with names of 500 bytes.
const MAX_SECTIONS: usize = 512;
const MAX_NAMES: u64 = 64 << 10;
/// More than Unikraft's metadata has unless the whole configuration is among them; what lies
/// past it is not looked at.
const MAX_LIBINFO: u64 = 64 << 10;

/// What a kernel file shows.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct KernelTraits {
    pub family: Family,
    /// Unikraft's, 0.15 and newer: as in `0.16.3`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub release: Option<String>,
    /// Whether a Unikraft kernel looks for parameters on its command line.
    #[serde(default, skip_serializing_if = "Not::not")]
    pub reads_parameters: bool,
    /// Whether environment variables are among them.
    #[serde(default, skip_serializing_if = "Not::not")]
    pub reads_environment: bool,
    /// Whether it looks there for what to mount.
    #[serde(default, skip_serializing_if = "Not::not")]
    pub reads_mounts: bool,
    /// Whether it has Unikraft's 9P client, where that is to be known: 0.15 and newer.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub has_9p: Option<bool>,
    /// Whether it has Unikraft's virtio-fs client: newer than 0.17.
    #[serde(default, skip_serializing_if = "Not::not")]
    pub has_virtiofs: bool,
    /// Whether it can unpack an initrd.
    #[serde(default, skip_serializing_if = "Not::not")]
    pub unpacks_initrd: bool,
    /// Whether it takes the first word for its own name and drops it.
    #[serde(default, skip_serializing_if = "Not::not")]
    pub drops_a_word: bool,
}

impl KernelTraits {
    /// Of a kernel that shows its family, and no more.
    pub fn new(family: Family) -> Self {
        Self {
            family,
            release: None,
            reads_parameters: false,
            reads_environment: false,
            reads_mounts: false,
            has_9p: None,
            has_virtiofs: false,
            unpacks_initrd: false,
            drops_a_word: false,
        }
    }

    /// Whether its release is that one or a later one; one that says none is older.
    pub(super) fn is_since(&self, release: (u32, u32, u32)) -> bool {
        let own = self.release.as_deref().unwrap_or_default();
        let mut numbers = own.split('.').map(|number| number.parse().unwrap_or(0));
        let mut next = || numbers.next().unwrap_or(0);
        (next(), next(), next()) >= release
    }

    /// Looks at the sections of a kernel file. `None` where there is none, or no ELF headers that
    /// make sense: a kernel can do without a family.
    pub fn of(file: &File) -> Option<Self> {
        let mut head = [0; size_of::<FileHeader64<LittleEndian>>()];
        file.read_exact_at(&mut head, 0).ok()?;
        let class = head.starts_with(&ELFMAG).then_some(head[4])?;
        let sections = match class {
            class if class == ELFCLASS32.0 => sections::<FileHeader32<LittleEndian>>(file, &head),
            class if class == ELFCLASS64.0 => sections::<FileHeader64<LittleEndian>>(file, &head),
            _ => None,
        }?;
        of_sections(file, &sections)
    }
}

/// A section's name and the place of its content in the file, in bytes.
struct Section {
    name: String,
    offset: u64,
    size: u64,
}

fn of_sections(file: &File, sections: &[Section]) -> Option<KernelTraits> {
    let has = |name: &str| sections.iter().any(|section| section.name == name);
    let begins = |prefix: &str| sections.iter().any(|s| s.name.starts_with(prefix));
    // Where the boot code finds instructions to replace on this processor; and tracepoints.
    if has(".altinstructions") && has(".init.text") {
        return Some(KernelTraits::new(Family::Linux));
    }
    if has(".note.solo5.abi") {
        return Some(KernelTraits::new(Family::Solo5));
    }
    if has(".tracepoint_patch_sites") {
        return Some(KernelTraits::new(Family::Osv));
    }
    if !begins(".uk_") {
        return None;
    }
    let info = sections.iter().find(|s| s.name == ".uk_libinfo");
    let info = info.and_then(|s| read(file, s.offset, s.size.min(MAX_LIBINFO)).ok());
    let info = LibInfo::parse(&info.unwrap_or_default());
    let own = ".uk_libparam_params";
    let is_in = |library: &str| info.libraries.iter().any(|name| name == library);
    // One section for each library before 0.17, then one for all.
    let reads = |library: &str| has(&format!("{own}_{library}")) || has(own) && is_in(library);
    Some(KernelTraits {
        reads_parameters: begins(own),
        reads_environment: reads("libposix_environ"),
        // Neither has other parameters; the second one came with another virtual file system.
        reads_mounts: reads("libvfscore") || reads("libposix_vfs_fstab"),
        has_9p: (!info.libraries.is_empty()).then(|| is_in("lib9pfs")),
        has_virtiofs: is_in("libukfs_virtiofs"),
        unpacks_initrd: is_in("libukcpio"),
        release: info.release,
        ..KernelTraits::new(Family::Unikraft)
    })
}

/// The sections by the ELF header at the beginning of `head` (System V ABI, "Sections").
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
    let table = read(file, offset, (count * entry_size) as u64).ok()?;
    let (table, _) = pod::slice_from_bytes::<H::SectionHeader>(&table, count).ok()?;
    let place = |s: &H::SectionHeader| {
        let (offset, size) = (s.sh_offset(LittleEndian), s.sh_size(LittleEndian));
        (offset.into(), size.into())
    };
    let names = table.get(usize::from(header.e_shstrndx(LittleEndian).0))?;
    let (at, size): (u64, u64) = place(names);
    let names = read(file, at, size.min(MAX_NAMES)).ok()?;
    let section = |s: &H::SectionHeader| {
        let name = names
            .get(s.sh_name(LittleEndian) as usize..)
            .unwrap_or_default();
        let name = name.split(|&byte| byte == 0).next().unwrap_or_default();
        let (offset, size) = place(s);
        Section {
            name: String::from_utf8_lossy(name).into_owned(),
            offset,
            size,
        }
    };
    Some(table.iter().map(section).collect())
}

/// `size` bytes of the file, which the caller bounds.
fn read(file: &File, offset: u64, size: u64) -> io::Result<Vec<u8>> {
    let mut bytes = vec![0; size as usize];
    file.read_exact_at(&mut bytes, offset)?;
    Ok(bytes)
}
