//! ELF notes by which a kernel says what it is.

use object::LittleEndian;
use object::read::elf::{FileHeader, Note, NoteIterator};

use super::{hermit, solo5};
use crate::error::KernelError;

/// `XEN_ELFNOTE_PHYS32_ENTRY` and `XEN_ELFNOTE_GUEST_OS` of xen/include/public/elfnote.h: the
/// PVH entry point, and what system it is.
const XEN_PHYS32_ENTRY: u32 = 18;
const XEN_GUEST_OS: u32 = 6;

/// What the notes of a file say.
#[derive(Debug, Clone, Default)]
pub(crate) struct Notes {
    /// The one that decides how the kernel is run.
    pub kernel: Option<KernelNote>,
    /// Whether one says that it is Linux: it has notes of its own name, and tells Xen.
    pub is_linux: bool,
    pub solo5: solo5::notes::Notes,
    pub hermit: hermit::notes::Notes,
}

/// A note that decides how the kernel is run.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum KernelNote {
    Solo5,
    Hermit,
    /// The guest-physical address of the 32-bit entry point.
    Pvh(u64),
}

impl KernelNote {
    /// Of two notes, the one that decides: Solo5 before Hermit before PVH, and of two
    /// of one kind the first.
    pub(crate) fn first_of(a: Option<KernelNote>, b: Option<KernelNote>) -> Option<KernelNote> {
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

impl Notes {
    /// Takes in the notes in `data`, the content of one note segment, whose parts are
    /// aligned to 8 bytes if `align` is 8 and to 4 else. Notes of other kinds are passed over.
    ///
    /// # Errors
    /// A note that runs over the segment's end, or names an impossible entry point.
    pub(crate) fn read<Elf>(&mut self, data: &[u8], align: Elf::Word) -> Result<(), KernelError>
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
        while let Some(note) = notes.next().map_err(bad)? {
            self.take::<Elf>(&note)?;
        }
        self.solo5.read(data);
        Ok(())
    }

    fn take<Elf>(&mut self, note: &Note<'_, Elf>) -> Result<(), KernelError>
    where
        Elf: FileHeader<Endian = LittleEndian>,
    {
        let (name, kind) = (note.name(), note.n_type(LittleEndian).0);
        self.hermit.take(name, kind, note.desc());
        let kernel = match (name, kind) {
            (solo5::notes::NAME, _) => Some(KernelNote::Solo5),
            (hermit::notes::NAME, _) => Some(KernelNote::Hermit),
            (b"Xen", XEN_PHYS32_ENTRY) => Some(KernelNote::Pvh(entry(note.desc())?)),
            (b"Xen", XEN_GUEST_OS) if note.desc().starts_with(b"linux") => {
                self.is_linux = true;
                None
            }
            (b"Linux", _) => {
                self.is_linux = true;
                None
            }
            _ => None,
        };
        self.kernel = KernelNote::first_of(self.kernel, kernel);
        Ok(())
    }
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
