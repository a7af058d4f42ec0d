//! An image's files, unpacked from an OCI layout: for who wants to know what an image
//! would be before any node has it (image-spec, layer.md).

use std::fs;
use std::io::{Cursor, Read};
use std::path::{Path, PathBuf};

use flate2::read::MultiGzDecoder;

use crate::digest::Digest;
use crate::document::Descriptor;
use crate::error::ImageError;
use crate::image::Image;
use crate::layout::Layout;

/// The most that a layer may have, in bytes, packed and again unpacked.
const MAX: u64 = 1 << 30;

/// What a layer calls a file that it takes away, and a directory whose older content it hides.
const WHITEOUT: &str = ".wh.";
const OPAQUE: &str = ".wh..wh..opq";

/// Unpacks the layers of an image that [`crate::from_layout`] read from `layout` into the
/// directory `rootfs`. Device files are left out, and nothing is written elsewhere.
///
/// # Errors
/// When a layer is damaged, too large, or packed in a way that is not known here.
pub fn unpack(layout: &Path, image: &Image, rootfs: &Path) -> Result<(), ImageError> {
    let mut layout = Layout::open(layout)?;
    for layer in &image.layers {
        let digest = Digest::parse(&layer.digest)?;
        let bytes = layout.blob(&digest, MAX)?;
        digest.check(&bytes)?;
        unpack_layer(reader(layer, bytes)?, rootfs)
            .map_err(|error| ImageError::read(format_args!("layer {digest}"), error))?;
    }
    Ok(())
}

/// The layer's tar.
fn reader(layer: &Descriptor, bytes: Vec<u8>) -> Result<Box<dyn Read>, ImageError> {
    const GZIP: &[u8] = &[0x1f, 0x8b];
    const ZSTD: &[u8] = &[0x28, 0xb5, 0x2f, 0xfd];
    if bytes.starts_with(ZSTD) {
        let document = format!("layer {}", layer.digest);
        return Err(ImageError::Zstd { document });
    }
    let is_packed = bytes.starts_with(GZIP);
    let bytes = Cursor::new(bytes);
    Ok(match is_packed {
        true => Box::new(MultiGzDecoder::new(bytes).take(MAX)),
        false => Box::new(bytes),
    })
}

fn unpack_layer(layer: Box<dyn Read>, rootfs: &Path) -> std::io::Result<()> {
    let mut archive = tar::Archive::new(layer);
    for entry in archive.entries()? {
        let mut entry = entry?;
        let path = entry.path()?.into_owned();
        let name = path.file_name().unwrap_or_default().to_string_lossy();
        match name.strip_prefix(WHITEOUT) {
            // Names that lead out of the root are passed over.
            None => drop(entry.unpack_in(rootfs)?),
            Some(_) if name == OPAQUE => empty(&beneath(rootfs, path.parent())),
            Some(name) => remove(&beneath(rootfs, Some(&path.with_file_name(name)))),
        }
    }
    Ok(())
}

/// A layer's path in the root, without any part that could lead out by its name.
fn beneath(rootfs: &Path, path: Option<&Path>) -> PathBuf {
    let parts = path.into_iter().flat_map(Path::components);
    let plain = parts.filter(|part| matches!(part, std::path::Component::Normal(_)));
    rootfs.join(plain.collect::<PathBuf>())
}

/// Takes away what lies at a path that leads through no symlink, if it is there.
fn remove(path: &Path) {
    if path.canonicalize().is_ok_and(|real| real == path) || path.is_symlink() {
        let _ = fs::remove_file(path).or_else(|_| fs::remove_dir_all(path));
    }
}

fn empty(dir: &Path) {
    let entries = fs::read_dir(dir).into_iter().flatten();
    entries.flatten().for_each(|entry| remove(&entry.path()));
}
