//! Hermit's notes (hermit-entry, note.rs).

use crate::error::KernelError;

pub(crate) const NAME: &[u8] = b"HERMIT";
pub(crate) const INTERFACE_NAME: &[u8] = b"UHYVEIF";
pub(crate) const SYSTEM_NAME: &[u8] = b"GNU";

/// NT_HERMIT_ENTRY_VERSION, NT_UHYVE_INTERFACE_VERSION, NT_GNU_ABI_TAG.
pub(crate) const ENTRY_VERSION: u32 = 0x5a00;
pub(crate) const INTERFACE_VERSION: u32 = 0x5b00;
pub(crate) const ABI_TAG: u32 = 1;

/// HERMIT_ENTRY_VERSION: the boot information that this monitor writes.
const KNOWN_ENTRY: u8 = 4;
/// ELF_NOTE_OS_HERMIT in an ABI tag, before three words of a version.
const SYSTEM_HERMIT: u32 = 6;

/// How a kernel calls its monitor: version 1, or 2 and 3, which are alike.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Interface {
    #[default]
    V1,
    V2,
}

/// What the notes say; the first of a kind counts.
#[derive(Debug, Default, Clone, Copy)]
pub(crate) struct Notes {
    entry: Option<u8>,
    interface: Option<u32>,
    version: Option<[u32; 3]>,
}

impl Notes {
    /// Takes in a note by its name, its type and its content. Others are passed over.
    pub(crate) fn take(&mut self, name: &[u8], kind: u32, desc: &[u8]) {
        match (name, kind) {
            (NAME, ENTRY_VERSION) => {
                self.entry = self.entry.or(desc.first().copied());
            }
            (INTERFACE_NAME, INTERFACE_VERSION) => {
                // The only number in an ELF file that is big-endian.
                let version = desc.try_into().map(u32::from_be_bytes).unwrap_or(0);
                self.interface.get_or_insert(version);
            }
            (SYSTEM_NAME, ABI_TAG) => self.version = self.version.or_else(|| version(desc)),
            _ => {}
        }
    }

    /// The interface that the kernel speaks; without a note it is the first.
    ///
    /// # Errors
    /// For a version of the entry or of the interface that this monitor does not know.
    pub(crate) fn interface(&self) -> Result<Interface, KernelError> {
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
    pub(crate) fn is_old(&self) -> bool {
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
