//! Relocations (System V ABI, "Dynamic Linking"; AMD64 supplement, section 4.4): what is to be
//! written into a kernel that was linked at 0 and lies elsewhere.

use std::fs::File;

use object::LittleEndian;
use object::elf::{
    DT_NEEDED, DT_RELA, DT_RELAENT, DT_RELASZ, DT_SYMTAB, Dyn64, R_X86_64_64, R_X86_64_GLOB_DAT,
    R_X86_64_RELATIVE, Rela64, SHN_UNDEF, STB_WEAK, Sym64,
};
use object::pod::{Pod, slice_from_all_bytes};
use object::read::elf::{Dyn, Rela, Sym};

use crate::boot::elf::Elf;
use crate::boot::program::Segment;
use crate::boot::read::read_at;
use crate::error::KernelError;

/// More bytes of each table than any kernel has; 53 880 are a small one's relocations.
const MAX_TABLE: u64 = 8 << 20;

/// Eight bytes to be written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Relocation {
    /// Guest-physical address.
    pub gpa: u64,
    pub value: u64,
}

/// The relocations of a kernel that lies `slide` bytes past its addresses in the file.
///
/// # Errors
/// A table that is not in the file or too large, a kind that Hermit's loaders do not know, a
/// place that is not in the kernel.
pub(super) fn read(
    file: &File,
    elf: &Elf,
    slide: u64,
    file_size: u64,
) -> Result<Vec<Relocation>, KernelError> {
    let Some(dynamic) = elf.dynamic else {
        return Ok(Vec::new());
    };
    let reader = Reader {
        file,
        segments: &elf.virtual_segments(),
        slide,
        file_size,
    };
    let section = reader.bytes(dynamic.segment.offset, dynamic.segment.file_size)?;
    let entries = table::<Dyn64<LittleEndian>>(&section)?;
    let value = |tag| {
        let entry = entries.iter().find(|e| e.tag(LittleEndian) == tag);
        entry.map(|e| e.val(LittleEndian))
    };
    if value(DT_NEEDED).is_some() {
        return Err(bad("it wants shared libraries"));
    }
    let (Some(address), Some(len)) = (value(DT_RELA), value(DT_RELASZ)) else {
        return Ok(Vec::new());
    };
    if value(DT_RELAENT).is_some_and(|size| size != size_of::<Rela64<LittleEndian>>() as u64) {
        return Err(bad("relocations of an unknown size"));
    }
    let symbols = value(DT_SYMTAB);
    let relocations = reader.bytes(reader.offset(address, len)?, len)?;
    let relocations = table::<Rela64<LittleEndian>>(&relocations)?.iter();
    relocations
        .filter_map(|rela| reader.relocation(rela, symbols).transpose())
        .collect()
}

struct Reader<'a> {
    file: &'a File,
    segments: &'a [Segment],
    slide: u64,
    file_size: u64,
}

impl Reader<'_> {
    /// `None`: nothing is to be written.
    fn relocation(
        &self,
        rela: &Rela64<LittleEndian>,
        symbols: Option<u64>,
    ) -> Result<Option<Relocation>, KernelError> {
        let (kind, addend) = (
            rela.r_type(LittleEndian, false),
            rela.r_addend(LittleEndian).cast_unsigned(),
        );
        let target = match kind {
            R_X86_64_RELATIVE => Some(addend),
            R_X86_64_64 | R_X86_64_GLOB_DAT => self
                .symbol(rela.r_sym(LittleEndian, false), symbols)?
                .map(|value| value.wrapping_add(addend)),
            _ => return Err(bad("a relocation of an unknown kind")),
        };
        let at = rela.r_offset(LittleEndian);
        if !self.segments.iter().any(|s| s.holds(at, 8)) {
            return Err(bad("a relocation out of the kernel"));
        }
        Ok(target.map(|target| Relocation {
            gpa: at.wrapping_add(self.slide),
            value: target.wrapping_add(self.slide),
        }))
    }

    /// The value of a symbol; `None` for a weak one that is nowhere.
    fn symbol(&self, index: u32, symbols: Option<u64>) -> Result<Option<u64>, KernelError> {
        const SIZE: u64 = size_of::<Sym64<LittleEndian>>() as u64;
        let table_start = symbols.ok_or_else(|| bad("a relocation by a symbol, and no symbols"))?;
        let address = table_start.wrapping_add(u64::from(index) * SIZE);
        let bytes = self.bytes(self.offset(address, SIZE)?, SIZE)?;
        let [symbol] = table::<Sym64<LittleEndian>>(&bytes)? else {
            return Err(bad("symbols of an unknown size"));
        };
        let is_nowhere = symbol.st_shndx(LittleEndian) == SHN_UNDEF;
        Ok((!(symbol.st_bind() == STB_WEAK && is_nowhere)).then(|| symbol.st_value(LittleEndian)))
    }

    /// Where the file has the `len` bytes that it wants at `address`.
    fn offset(&self, address: u64, len: u64) -> Result<u64, KernelError> {
        let segments = self.segments.iter();
        segments
            .filter_map(|s| s.offset_of(address, len))
            .next()
            .ok_or_else(|| bad("a table out of the kernel"))
    }

    fn bytes(&self, offset: u64, len: u64) -> Result<Vec<u8>, KernelError> {
        if len > MAX_TABLE {
            return Err(bad("a table of more than 8 MiB"));
        }
        read_at(self.file, offset, len, "dynamic section", self.file_size)
    }
}

fn table<T: Pod>(bytes: &[u8]) -> Result<&[T], KernelError> {
    let whole = bytes.len() - bytes.len() % size_of::<T>();
    slice_from_all_bytes(&bytes[..whole]).map_err(|()| bad("misaligned"))
}

fn bad(fault: &'static str) -> KernelError {
    KernelError::bad_header("dynamic section", fault)
}
