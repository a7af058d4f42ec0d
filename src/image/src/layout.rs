//! An OCI image layout in a bundle's directory (image-spec, image-layout.md):
//! `oci-layout`, `index.json`, `blobs/<algorithm>/<hex>`.

use std::io::Read;
use std::path::Path;

use bundle::{FileError, Rootfs};

use crate::digest::Digest;
use crate::document::ImageLayout;
use crate::error::ImageError;
use crate::host::Host;
use crate::image::{Image, Source};
use crate::limits::MAX_DOCUMENT;
use crate::resolve_index::{self, BlobStore, Documents};
use crate::select_manifest;
use crate::text::cut;

/// The file that says that a directory is a layout.
const OCI_LAYOUT: &str = "oci-layout";
const INDEX: &str = "index.json";
const VERSION: &str = "1.0.0";

/// Whether a layout lies in a bundle's directory, or something of its name.
pub fn has_layout(bundle: &Path) -> bool {
    bundle.join(OCI_LAYOUT).symlink_metadata().is_ok()
}

/// Reads the layout in a bundle's directory; `None` where none lies there. Of
/// several manifests the best for `host` is taken.
///
/// # Errors
/// One that names the document and its fault: a layout is read whole or not at all.
pub fn from_layout(bundle: &Path, host: &Host) -> Result<Option<Image>, ImageError> {
    let mut layout = Layout::open(bundle)?;
    let Some(version) = layout.file(OCI_LAYOUT.as_ref(), MAX_DOCUMENT)? else {
        return Ok(None);
    };
    let version: ImageLayout = resolve_index::parse(OCI_LAYOUT, &version)?;
    if version.image_layout_version != VERSION {
        let version = cut(&version.image_layout_version);
        return Err(ImageError::LayoutVersion(version));
    }
    let index = layout.file(INDEX.as_ref(), MAX_DOCUMENT)?;
    let index = index.ok_or_else(|| missing(INDEX.to_owned()))?;
    let roots = resolve_index::parse_index(INDEX, &index, None)?.manifests;

    let mut documents = Documents::new(&mut layout);
    let manifests = documents.manifests(roots)?;
    let selected = select_manifest::select_best(manifests, host, &mut documents)?;
    Image::describe(Source::Layout, selected, &mut documents).map(Some)
}

/// A directory that may hold a layout. Files are opened beneath it only.
pub(super) struct Layout(Rootfs);

impl Layout {
    pub(super) fn open(bundle: &Path) -> Result<Self, ImageError> {
        let dir =
            Rootfs::open(bundle).map_err(|error| ImageError::read(bundle.display(), error))?;
        Ok(Self(dir))
    }

    /// A regular file's bytes; `None` where there is none of that name.
    fn file(&mut self, name: &Path, max: u64) -> Result<Option<Vec<u8>>, ImageError> {
        let document = name.display().to_string();
        let file = match self.0.open_file(name) {
            Ok(file) => file,
            Err(FileError::Missing) => return Ok(None),
            Err(FileError::LeadsOut) => return Err(ImageError::LeadsOut { document }),
            Err(error) => return Err(ImageError::read(document, error)),
        };
        let size = match file.metadata() {
            Ok(metadata) => metadata.len(),
            Err(error) => return Err(ImageError::read(document, error)),
        };
        if size > max.max(MAX_DOCUMENT) {
            return Err(ImageError::TooLarge { document, size });
        }
        let mut bytes = Vec::new();
        // One byte more than wanted tells that there are more.
        match file.take(max + 1).read_to_end(&mut bytes) {
            Ok(_) => Ok(Some(bytes)),
            Err(error) => Err(ImageError::read(document, error)),
        }
    }

    /// A blob of at most `max` bytes; nobody has checked it.
    pub(super) fn blob(&mut self, digest: &Digest, max: u64) -> Result<Vec<u8>, ImageError> {
        let path = digest.path();
        let bytes = self.file(&path, max)?;
        bytes.ok_or_else(|| missing(path.display().to_string()))
    }
}

impl BlobStore for Layout {
    fn read(&mut self, digest: &Digest, size: u64) -> Result<Vec<u8>, ImageError> {
        self.blob(digest, size)
    }
}

fn missing(document: String) -> ImageError {
    ImageError::MissingFile { document }
}
