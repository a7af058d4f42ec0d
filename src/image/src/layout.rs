//! An OCI image layout in a bundle's directory (image-spec, image-layout.md):
//! `oci-layout`, `index.json`, `blobs/<algorithm>/<hex>`.

use std::io::{self, Read};
use std::path::Path;

use super::digest::Digest;
use super::document::LayoutMark;
use super::error::cut;
use super::host::Host;
use super::walk::{self, Blobs, Documents, MAX_DOCUMENT};
use super::{Image, ImageError, Source, choice};
use bundle::{FileError, Rootfs};

/// The file that says that a directory is a layout.
const MARK: &str = "oci-layout";
const INDEX: &str = "index.json";
const VERSION: &str = "1.0.0";

/// Whether a layout lies in a bundle's directory, or something of its name.
pub fn has_layout(bundle: &Path) -> bool {
    bundle.join(MARK).symlink_metadata().is_ok()
}

/// Reads the layout in a bundle's directory; `None` where none lies there. Of
/// several manifests the best for `host` is taken.
///
/// # Errors
/// One that names the document and its fault: a layout is read whole or not at all.
pub fn from_layout(bundle: &Path, host: &Host) -> Result<Option<Image>, ImageError> {
    let mut layout = Layout::open(bundle)?;
    let Some(mark) = layout.file(MARK.as_ref(), MAX_DOCUMENT)? else {
        return Ok(None);
    };
    let mark: LayoutMark = walk::parse(MARK, &mark)?;
    if mark.image_layout_version != VERSION {
        let version = cut(&mark.image_layout_version);
        return Err(ImageError::LayoutVersion(version));
    }
    let index = layout.file(INDEX.as_ref(), MAX_DOCUMENT)?;
    let index = index.ok_or_else(|| missing(INDEX.to_owned()))?;
    let roots = walk::parse_index(INDEX, &index, None)?.manifests;

    let mut documents = Documents::new(&mut layout);
    let manifests = documents.manifests(roots)?;
    let choice = choice::best(manifests, host, &mut documents)?;
    Image::describe(Source::Layout, choice, &mut documents).map(Some)
}

/// A directory that may hold a layout. Files are opened beneath it only.
pub(super) struct Layout(Rootfs);

impl Layout {
    pub(super) fn open(bundle: &Path) -> Result<Self, ImageError> {
        let dir = Rootfs::open(bundle).map_err(|why| ImageError::File {
            document: bundle.display().to_string(),
            why: why.to_string(),
        })?;
        Ok(Self(dir))
    }

    /// A regular file's bytes; `None` where there is none of that name.
    fn file(&mut self, name: &Path, max: u64) -> Result<Option<Vec<u8>>, ImageError> {
        let document = name.display().to_string();
        let file = match self.0.open_file(name) {
            Ok(file) => file,
            Err(FileError::Missing) => return Ok(None),
            Err(why) => {
                return Err(ImageError::File {
                    document,
                    why: fault(&why),
                });
            }
        };
        let size = match file.metadata() {
            Ok(metadata) => metadata.len(),
            Err(why) => return Err(unreadable(document, &why)),
        };
        if size > max.max(MAX_DOCUMENT) {
            return Err(ImageError::TooLarge { document, size });
        }
        let mut bytes = Vec::new();
        // One byte more than wanted tells that there are more.
        match file.take(max + 1).read_to_end(&mut bytes) {
            Ok(_) => Ok(Some(bytes)),
            Err(why) => Err(unreadable(document, &why)),
        }
    }
}

impl Layout {
    /// A blob of at most `most` bytes; nobody has checked it.
    pub(super) fn blob(&mut self, digest: &Digest, max: u64) -> Result<Vec<u8>, ImageError> {
        let path = digest.path();
        let bytes = self.file(&path, max)?;
        bytes.ok_or_else(|| missing(path.display().to_string()))
    }
}

impl Blobs for Layout {
    fn read(&mut self, digest: &Digest, size: u64) -> Result<Vec<u8>, ImageError> {
        self.blob(digest, size)
    }
}

fn missing(document: String) -> ImageError {
    let why = "the layout has no such file: it must be there whole".to_owned();
    ImageError::File { document, why }
}

fn unreadable(document: String, why: &io::Error) -> ImageError {
    let why = why.to_string();
    ImageError::File { document, why }
}

/// A file's fault, in words that fit a layout.
fn fault(why: &FileError) -> String {
    match why {
        FileError::LeadsOut => "its symlink leads out of the bundle".to_owned(),
        other => other.to_string(),
    }
}
