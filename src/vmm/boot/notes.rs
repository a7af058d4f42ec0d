//! ELF notes by which a kernel says what it is.

use object::LittleEndian;
use object::read::elf::{FileHeader, Note, NoteIterator};

use super::solo5;
use crate::vmm::error::KernelError;

/// `XEN_ELFNOTE_PHYS32_ENTRY` of xen/include/public/elfnote.h: the PVH entry point.
const XEN_PHYS32_ENTRY: u32 = 18;

/// A note that decides how the kernel is run.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum KernelNote {
    Solo5,
    Hermit,
    /// The guest-physical address of the 32-bit entry point.
    Pvh(u64),
}

impl KernelNote {
    /// Of two notes, the one that decides: Solo5 before Hermit before PVH, and of two
    /// of one kind the first.
    pub fn first_of(a: Option<KernelNote>, b: Option<KernelNote>) -> Option<KernelNote> {
        match (a, b) {
            (Some(a), Some(b)) if b.rank() < a.rank() => Some(b),
            (Some(a), _) => Some(a),
            (None, b) => b,
        }
    }

    fn rank(self) -> u8 {
        match self {
            KernelNote::Solo5 => 0,
            KernelNote::Hermit => 1,
            KernelNote::Pvh(_) => 2,
        }
    }
}

/// The deciding note among `data`, the content of one note segment, whose parts are
/// aligned to 8 bytes if `align` is 8 and to 4 else. Notes of other kinds are passed over.
///
/// # Errors
/// A note that runs over the segment's end, or names an impossible entry point.
pub fn find<Elf>(data: &[u8], align: Elf::Word) -> Result<Option<KernelNote>, KernelError>
where
    Elf: FileHeader<Endian = LittleEndian>,
{
    let bad = |e: object::Error| KernelError::BadHeader {
        part: "notes",
        fault: e.to_string(),
    };
    // The iterator takes 0 for 4, and refuses what is neither 4 nor 8. Solo5's notes are
    // laid out by 4 in segments of either alignment.
    let align = match align.into() {
        8 if !data[..data.len().min(20)].ends_with(b"Solo5\0\0\0") => align,
        _ => Elf::Word::default(),
    };
    let mut notes = NoteIterator::<Elf>::new(LittleEndian, align, data).map_err(bad)?;
    let mut found = None;
    while let Some(note) = notes.next().map_err(bad)? {
        found = KernelNote::first_of(found, read::<Elf>(&note)?);
    }
    Ok(found)
}

fn read<Elf>(note: &Note<'_, Elf>) -> Result<Option<KernelNote>, KernelError>
where
    Elf: FileHeader<Endian = LittleEndian>,
{
    Ok(match (note.name(), note.n_type(LittleEndian).0) {
        (solo5::notes::NAME, _) => Some(KernelNote::Solo5),
        (b"HERMIT", _) => Some(KernelNote::Hermit),
        (b"Xen", XEN_PHYS32_ENTRY) => Some(KernelNote::Pvh(entry(note.desc())?)),
        _ => None,
    })
}

/// The entry point is a 32-bit address, which some linkers store in 8 bytes.
fn entry(desc: &[u8]) -> Result<u64, KernelError> {
    let entry = match desc.len() {
        4 | 8 => {
            let mut bytes = [0; 8];
            bytes[..desc.len()].copy_from_slice(desc);
            u64::from_le_bytes(bytes)
        }
        _ => u64::MAX,
    };
    if entry > u64::from(u32::MAX) {
        return Err(KernelError::BadHeader {
            part: "PVH note",
            fault: "the entry point is not a 32-bit address".to_owned(),
        });
    }
    Ok(entry)
}
