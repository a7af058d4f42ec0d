//! The ELF headers of a kernel, of both classes.

use std::fs::File;

use object::LittleEndian;
use object::elf::{
    ELFCLASS32, ELFCLASS64, ELFDATA2LSB, ELFMAG, EM_386, EM_X86_64, ET_DYN, FileHeader32,
    FileHeader64, PF_W, PF_X, PT_DYNAMIC, PT_INTERP, PT_LOAD, PT_NOTE, PT_TLS, ProgramType,
};
use object::read::elf::{FileHeader, ProgramHeader};

use super::notes::Notes;
use super::program::Segment;
use super::read::read_at;
use crate::error::{HeaderError, KernelError};

/// More program headers than any kernel has; Linux has 5.
const MAX_PROGRAM_HEADERS: usize = 128;
/// More bytes of notes, all segments together, than any kernel has.
const MAX_NOTES: u64 = 64 << 10;

const E_IDENT_CLASS: usize = 4;
const E_IDENT_DATA: usize = 5;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Class {
    Elf32,
    Elf64,
}

/// A loadable segment.
#[derive(Debug, Clone, Copy)]
pub(super) struct Load {
    pub by_physical_address: Segment,
    pub by_virtual_address: Segment,
    pub rights: Rights,
}

/// What may be done with a part of memory, beside reading it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) struct Rights {
    pub write: bool,
    pub execute: bool,
}

/// What a program header says that loads nothing.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Part {
    pub segment: Segment,
    pub align: u64,
}

/// What the headers say. Nothing of it is checked against the file's or a machine's
/// size yet.
#[derive(Debug)]
pub(super) struct Elf {
    pub class: Class,
    pub entry: u64,
    /// The loadable segments that occupy memory.
    pub loads: Vec<Load>,
    pub notes: Notes,
    /// Whether it can lie anywhere (ET_DYN).
    pub is_relocatable: bool,
    /// The initial content of thread-local storage, and the dynamic section; by virtual
    /// address.
    pub tls: Option<Part>,
    pub dynamic: Option<Part>,
    /// Whether it names an interpreter: a program for an operating system, no kernel.
    pub interpreted: bool,
}

impl Elf {
    /// The loadable segments, each at its physical address.
    pub(super) fn physical_segments(&self) -> Vec<Segment> {
        self.loads.iter().map(|l| l.by_physical_address).collect()
    }

    /// The same, each at its virtual address.
    pub(super) fn virtual_segments(&self) -> Vec<Segment> {
        self.loads.iter().map(|l| l.by_virtual_address).collect()
    }

    /// Reads the headers of `file`, whose first bytes are `head`. `None`: it is no ELF
    /// file.
    pub(super) fn read(
        file: &File,
        head: &[u8],
        file_size: u64,
    ) -> Result<Option<Elf>, KernelError> {
        if !head.starts_with(&ELFMAG) {
            return Ok(None);
        }
        if head.get(E_IDENT_DATA) != Some(&ELFDATA2LSB.0) && head.len() > E_IDENT_DATA {
            return Err(KernelError::WrongMachine {
                found: "a big-endian machine".to_owned(),
            });
        }
        let reader = Reader { file, file_size };
        match head.get(E_IDENT_CLASS) {
            Some(class) if *class == ELFCLASS32.0 => reader
                .read::<FileHeader32<LittleEndian>>(head, Class::Elf32)
                .map(Some),
            Some(class) if *class == ELFCLASS64.0 => reader
                .read::<FileHeader64<LittleEndian>>(head, Class::Elf64)
                .map(Some),
            Some(_) => Err(bad_header("ELF header", "neither 32-bit nor 64-bit")),
            None => Err(reader.truncated_header(size_of::<FileHeader64<LittleEndian>>())),
        }
    }
}

struct Reader<'a> {
    file: &'a File,
    file_size: u64,
}

impl Reader<'_> {
    fn read<H>(&self, head: &[u8], class: Class) -> Result<Elf, KernelError>
    where
        H: FileHeader<Endian = LittleEndian>,
    {
        if head.len() < size_of::<H>() {
            return Err(self.truncated_header(size_of::<H>()));
        }
        let header = H::parse(head).map_err(|e| bad_header("ELF header", e))?;
        check_machine(header.e_machine(LittleEndian), class)?;
        let table = self.program_headers(header)?;
        let (headers, _) = object::pod::slice_from_bytes::<H::ProgramHeader>(
            &table,
            header.e_phnum(LittleEndian).into(),
        )
        .map_err(|()| bad_header("program headers", "misaligned"))?;
        let notes = self.notes::<H>(headers)?;
        Ok(Elf {
            class,
            entry: header.e_entry(LittleEndian).into(),
            loads: loads(headers),
            notes,
            is_relocatable: header.e_type(LittleEndian) == ET_DYN,
            tls: part(headers, PT_TLS),
            dynamic: part(headers, PT_DYNAMIC),
            interpreted: headers.iter().any(|h| h.p_type(LittleEndian) == PT_INTERP),
        })
    }

    /// The bytes of the program header table, bounded.
    fn program_headers<H>(&self, header: &H) -> Result<Vec<u8>, KernelError>
    where
        H: FileHeader<Endian = LittleEndian>,
    {
        let count = usize::from(header.e_phnum(LittleEndian));
        let entry_size = size_of::<H::ProgramHeader>();
        if count == 0 {
            return Err(bad_header("program headers", "there are none"));
        }
        if count > MAX_PROGRAM_HEADERS {
            return Err(bad_header("program headers", "there are more than 128"));
        }
        if usize::from(header.e_phentsize(LittleEndian)) != entry_size {
            return Err(bad_header("program headers", "of an unknown size"));
        }
        let offset = header.e_phoff(LittleEndian).into();
        let len = (count * entry_size) as u64;
        read_at(self.file, offset, len, "program headers", self.file_size)
    }

    /// What all note segments say.
    fn notes<H>(&self, headers: &[H::ProgramHeader]) -> Result<Notes, KernelError>
    where
        H: FileHeader<Endian = LittleEndian>,
    {
        let mut notes = Notes::default();
        let mut budget = MAX_NOTES;
        for header in headers {
            if header.p_type(LittleEndian) != PT_NOTE {
                continue;
            }
            let (offset, len) = header.file_range(LittleEndian);
            if len == 0 {
                continue;
            }
            budget = budget
                .checked_sub(len)
                .ok_or_else(|| bad_header("notes", "larger than 64 KiB"))?;
            let data = read_at(self.file, offset, len, "notes", self.file_size)?;
            notes.read::<H>(data, header.p_align(LittleEndian))?;
        }
        Ok(notes)
    }

    fn truncated_header(&self, needs: usize) -> KernelError {
        KernelError::Truncated {
            part: "headers",
            needs: needs as u64,
            size: self.file_size,
        }
    }
}

fn segment<P>(header: &P, address: P::Word) -> Segment
where
    P: ProgramHeader<Endian = LittleEndian>,
{
    Segment {
        gpa: address.into(),
        offset: header.p_offset(LittleEndian).into(),
        file_size: header.p_filesz(LittleEndian).into(),
        memory_size: header.p_memsz(LittleEndian).into(),
    }
}

/// The first header of this type.
fn part<P>(headers: &[P], kind: ProgramType) -> Option<Part>
where
    P: ProgramHeader<Endian = LittleEndian>,
{
    let header = headers.iter().find(|h| h.p_type(LittleEndian) == kind)?;
    Some(Part {
        segment: segment(header, header.p_vaddr(LittleEndian)),
        align: header.p_align(LittleEndian).into(),
    })
}

/// The loadable segments that are not empty.
fn loads<P>(headers: &[P]) -> Vec<Load>
where
    P: ProgramHeader<Endian = LittleEndian>,
{
    let load = |h: &P| Load {
        by_physical_address: segment(h, h.p_paddr(LittleEndian)),
        by_virtual_address: segment(h, h.p_vaddr(LittleEndian)),
        rights: Rights {
            write: h.p_flags(LittleEndian).0 & PF_W.0 != 0,
            execute: h.p_flags(LittleEndian).0 & PF_X.0 != 0,
        },
    };
    let is_empty = |segment: &Segment| segment.file_size == 0 && segment.memory_size == 0;
    headers
        .iter()
        .filter(|h| h.p_type(LittleEndian) == PT_LOAD)
        .map(load)
        .filter(|load| !is_empty(&load.by_physical_address))
        .collect()
}

fn check_machine(machine: object::elf::Machine, class: Class) -> Result<(), KernelError> {
    match (class, machine) {
        (Class::Elf32, EM_386) | (Class::Elf64, EM_X86_64) => Ok(()),
        _ => Err(KernelError::WrongMachine {
            found: machine_name(machine),
        }),
    }
}

/// The machines that kernels are likely to be built for, by their common names.
fn machine_name(machine: object::elf::Machine) -> String {
    use object::elf::{EM_AARCH64, EM_ARM, EM_PPC64, EM_RISCV, EM_S390};
    match machine {
        EM_AARCH64 => "arm64".to_owned(),
        EM_ARM => "32-bit arm".to_owned(),
        EM_PPC64 => "ppc64".to_owned(),
        EM_RISCV => "RISC-V".to_owned(),
        EM_S390 => "s390".to_owned(),
        other => format!("ELF machine {}", other.0),
    }
}

fn bad_header(part: &'static str, fault: impl Into<HeaderError>) -> KernelError {
    KernelError::bad_header(part, fault)
}
