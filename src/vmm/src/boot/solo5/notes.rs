//! The notes `ABI1` and `MFT1` (Solo5, include/elf_abi.h and mft_abi.h).

use object::LittleEndian;
use object::elf::FileHeader64;
use object::read::elf::NoteIterator;

use super::manifest::Manifest;
use crate::error::KernelError;

pub(super) const NAME: &[u8] = b"Solo5";

const ABI1: u32 = u32::from_le_bytes(*b"ABI1");
const MFT1: u32 = u32::from_le_bytes(*b"MFT1");

/// `enum abi_target`, and what the targets are called.
const HVT: u32 = 1;
const VIRTIO: u32 = 3;
const TARGETS: [&str; 6] = ["hvt", "spt", "virtio", "muen", "genode", "xen"];

/// HVT_ABI_VERSION.
const VERSION: u32 = 2;

/// The manifest is aligned to 8 bytes within its note, whose descriptor begins at byte 20.
const MANIFEST_PADDING: usize = 4;

/// What Solo5's notes say. A second note of a kind is not looked at, as Solo5 does not.
#[derive(Debug, Default, Clone)]
pub(super) struct Notes {
    abi: Option<Vec<u8>>,
    manifest: Option<Vec<u8>>,
}

impl Notes {
    /// Solo5's notes among those in the contents of all note segments.
    ///
    /// Solo5's are aligned to 4 bytes whatever the segment says (Solo5, tenders/common/elf.c).
    /// Where no note can be read any more the reading of a segment ends.
    pub(super) fn of<'a>(segments: impl Iterator<Item = &'a [u8]>) -> Notes {
        let mut notes = Notes::default();
        segments.for_each(|data| notes.read(data));
        notes
    }

    fn read(&mut self, data: &[u8]) {
        let alignment = Default::default();
        let notes = NoteIterator::<FileHeader64<LittleEndian>>::new(LittleEndian, alignment, data);
        let Ok(mut notes) = notes else { return };
        while let Ok(Some(note)) = notes.next() {
            let place = match (note.name(), note.n_type(LittleEndian).0) {
                (NAME, ABI1) => &mut self.abi,
                (NAME, MFT1) => &mut self.manifest,
                _ => continue,
            };
            place.get_or_insert_with(|| note.desc().to_vec());
        }
    }

    /// Whether the kernel is built for virtio, and so boots by Multiboot.
    pub(super) fn is_for_virtio(&self) -> bool {
        self.words().is_ok_and(|[target, _]| target == VIRTIO)
    }

    /// Checks that the kernel is one for hvt, of the version that this monitor speaks.
    ///
    /// # Errors
    /// One that says which it is, and [`KernelError::BadHeader`].
    pub(super) fn check_target(&self) -> Result<(), KernelError> {
        match self.words()? {
            [HVT, VERSION] => Ok(()),
            [HVT, version] => Err(KernelError::Solo5Version { version }),
            [target, _] => {
                let index = (target as usize).wrapping_sub(1);
                let target = TARGETS.get(index).copied().unwrap_or("unknown");
                Err(KernelError::Solo5Target { target })
            }
        }
    }

    /// The manifest.
    ///
    /// # Errors
    /// [`KernelError::BadHeader`] where there is none or a bad one.
    pub(super) fn manifest(&self) -> Result<Manifest, KernelError> {
        let descriptor = self.manifest.as_deref();
        descriptor
            .and_then(|bytes| bytes.get(MANIFEST_PADDING..))
            .ok_or("there is none")
            .and_then(Manifest::parse)
            .map_err(|fault| bad("Solo5 manifest", fault))
    }

    /// Target and version.
    fn words(&self) -> Result<[u32; 2], KernelError> {
        let bytes: Option<[u8; 8]> = self
            .abi
            .as_deref()
            .and_then(|bytes| bytes.get(..8)?.try_into().ok());
        let bytes = bytes.ok_or_else(|| bad("Solo5 ABI note", "there is none of 8 bytes"))?;
        let [a, b, c, d, e, f, g, h] = bytes;
        Ok([[a, b, c, d], [e, f, g, h]].map(u32::from_le_bytes))
    }
}

fn bad(part: &'static str, fault: &'static str) -> KernelError {
    KernelError::bad_header(part, fault)
}
