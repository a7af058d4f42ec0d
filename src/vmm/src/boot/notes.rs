//! ELF notes, by which a kernel says what it is.

use object::LittleEndian;
use object::read::elf::{FileHeader, NoteIterator};

use crate::error::KernelError;

/// One note of a kernel file.
#[derive(Debug, Clone)]
pub(super) struct Note {
    /// Without its zero byte.
    pub name: Vec<u8>,
    pub kind: u32,
    pub desc: Vec<u8>,
}

/// The notes of a kernel file.
#[derive(Debug, Clone, Default)]
pub(super) struct Notes {
    notes: Vec<Note>,
    /// The content of each note segment.
    segments: Vec<Vec<u8>>,
}

impl Notes {
    /// Takes in the notes in `data`, the content of one note segment, whose parts are
    /// aligned to 8 bytes if `align` is 8 and to 4 else.
    ///
    /// # Errors
    /// A note that runs over the segment's end.
    pub(super) fn read<Elf>(&mut self, data: Vec<u8>, align: Elf::Word) -> Result<(), KernelError>
    where
        Elf: FileHeader<Endian = LittleEndian>,
    {
        // The iterator takes 0 for 4, and refuses what is neither 4 nor 8. Solo5's notes are
        // laid out by 4 in segments of either alignment.
        let align = match align.into() {
            8 if !data[..data.len().min(20)].ends_with(b"Solo5\0\0\0") => align,
            _ => Elf::Word::default(),
        };
        self.notes.extend(notes_in::<Elf>(&data, align)?);
        self.segments.push(data);
        Ok(())
    }

    /// The notes of this name, in the file's order.
    pub(super) fn of(&self, name: &[u8]) -> impl Iterator<Item = &Note> {
        self.notes.iter().filter(move |note| note.name == name)
    }

    /// The content of the first note of this name and type.
    pub(super) fn find(&self, name: &[u8], kind: u32) -> Option<&[u8]> {
        let note = self.of(name).find(|note| note.kind == kind);
        note.map(|note| &note.desc[..])
    }

    /// The content of each note segment, for who aligns notes in a way of his own.
    pub(super) fn segments(&self) -> impl Iterator<Item = &[u8]> {
        self.segments.iter().map(|data| &data[..])
    }
}

fn notes_in<Elf>(data: &[u8], align: Elf::Word) -> Result<Vec<Note>, KernelError>
where
    Elf: FileHeader<Endian = LittleEndian>,
{
    let bad = |e: object::Error| KernelError::bad_header("notes", e);
    let mut iterator = NoteIterator::<Elf>::new(LittleEndian, align, data).map_err(bad)?;
    let mut notes = Vec::new();
    while let Some(note) = iterator.next().map_err(bad)? {
        notes.push(Note {
            name: note.name().to_vec(),
            kind: note.n_type(LittleEndian).0,
            desc: note.desc().to_vec(),
        });
    }
    Ok(notes)
}
