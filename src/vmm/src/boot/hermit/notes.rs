//! Hermit's notes (hermit-entry, note.rs).

use super::interface::Interface;
use crate::boot::notes as elf;
use crate::error::KernelError;

const NAME: &[u8] = b"HERMIT";
const INTERFACE_NAME: &[u8] = b"UHYVEIF";
const SYSTEM_NAME: &[u8] = b"GNU";

/// NT_HERMIT_ENTRY_VERSION, NT_UHYVE_INTERFACE_VERSION, NT_GNU_ABI_TAG.
const ENTRY_VERSION: u32 = 0x5a00;
const INTERFACE_VERSION: u32 = 0x5b00;
const ABI_TAG: u32 = 1;

/// HERMIT_ENTRY_VERSION: the boot information that this monitor writes.
const KNOWN_ENTRY: u8 = 4;
/// ELF_NOTE_OS_HERMIT in an ABI tag, before three words of a version.
const SYSTEM_HERMIT: u32 = 6;

/// What the notes say; the first of a kind counts.
#[derive(Debug, Default, Clone, Copy)]
pub(super) struct Notes {
    entry: Option<u8>,
    interface: Option<u32>,
    version: Option<[u32; 3]>,
}

impl Notes {
    /// Hermit's notes among those of a kernel file. `None`: there is none that says that it is
    /// Hermit's.
    pub(super) fn of(notes: &elf::Notes) -> Option<Notes> {
        notes.of(NAME).next()?;
        let entry = notes.find(NAME, ENTRY_VERSION);
        let interface = notes.find(INTERFACE_NAME, INTERFACE_VERSION);
        let tags = notes.of(SYSTEM_NAME).filter(|n| n.kind == ABI_TAG);
        Some(Notes {
            entry: entry.and_then(|desc| desc.first().copied()),
            // The only number in an ELF file that is big-endian.
            interface: interface.map(|desc| desc.try_into().map_or(0, u32::from_be_bytes)),
            version: { tags }.find_map(|tag| version(&tag.desc)),
        })
    }

    /// The interface that the kernel speaks; without a note it is the first.
    ///
    /// # Errors
    /// For a version of the entry or of the interface that this monitor does not know.
    pub(super) fn interface(&self) -> Result<Interface, KernelError> {
        if self.entry != Some(KNOWN_ENTRY) {
            return Err(KernelError::HermitEntry {
                version: self.entry.unwrap_or(0),
            });
        }
        match self.interface {
            None | Some(1) => Ok(Interface::V1),
            Some(2 | 3) => Ok(Interface::V2),
            Some(version) => Err(KernelError::HermitInterface { version }),
        }
    }

    /// Whether the kernel is older than 0.10, the first that names its version.
    pub(super) fn is_old(&self) -> bool {
        self.version.is_none_or(|version| version < [0, 10, 0])
    }
}

/// The version in an ABI tag of Hermit's.
fn version(desc: &[u8]) -> Option<[u32; 3]> {
    let (words, []) = desc.as_chunks() else {
        return None;
    };
    match words
        .iter()
        .map(|w| u32::from_le_bytes(*w))
        .collect::<Vec<_>>()[..]
    {
        [SYSTEM_HERMIT, major, minor, patch] => Some([major, minor, patch]),
        _ => None,
    }
}
