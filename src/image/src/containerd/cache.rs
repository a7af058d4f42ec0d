//! What images have said, by the digest of what their names stand for.
//!
//! A help and no truth: whatever is wrong with a file here, it is as if it were
//! not there, and it is written anew.

use std::fs::{self, DirBuilder, File, Metadata};
use std::io::{self, Read, Write};
use std::os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use nix::libc;
use serde::{Deserialize, Serialize};

use crate::digest::Digest;
use crate::host::Host;
use crate::image::Image;

/// Told apart from what other builds wrote; to be raised whenever an image is
/// described differently.
const FORMAT: u32 = 1;
/// The most files that are record.
const MAX_FILES: usize = 256;
/// The largest file that is read or written, in bytes.
const MAX_BYTES: u64 = 4 << 20;

/// The cache for a host; without a directory where that is not ours alone.
pub(super) struct Cache<'a> {
    dir: Option<PathBuf>,
    host: &'a Host,
}

/// What a file holds. Which manifest is selected depends on the host too.
#[derive(Serialize, Deserialize)]
struct Record<H, I> {
    format: u32,
    target: String,
    host: H,
    image: I,
}

impl<'a> Cache<'a> {
    /// Opens the cache in `directory`, or makes it.
    pub(super) fn open(dir: &Path, host: &'a Host) -> Self {
        let mut builder = DirBuilder::new();
        let made = builder.recursive(true).mode(0o700).create(dir);
        let ours = made
            .and_then(|()| fs::symlink_metadata(dir))
            .is_ok_and(|dir| dir.is_dir() && is_ours(&dir));
        let dir = ours.then(|| dir.to_owned());
        Self { dir, host }
    }

    /// What is known of the image whose index or manifest has this digest.
    pub(super) fn get(&self, digest: &str) -> Option<Image> {
        let text = read(&self.path(digest)?).ok()?;
        let record: Record<Host, Image> = serde_json::from_slice(&text).ok()?;
        let is_current =
            record.format == FORMAT && record.target == digest && record.host == *self.host;
        is_current.then_some(record.image)
    }

    /// Keeps what an image said. Not keeping it is no error: it will be asked again.
    pub(super) fn put(&self, digest: &str, image: &Image) {
        if let Some(path) = self.path(digest)
            && let Err(error) = self.write(&path, digest, image)
        {
            tracing::debug!("{}: {error}", path.display());
        }
    }

    fn write(&self, path: &Path, digest: &str, image: &Image) -> io::Result<()> {
        let text = serde_json::to_vec(&Record {
            format: FORMAT,
            target: digest.to_owned(),
            host: self.host,
            image,
        })?;
        if text.len() as u64 > MAX_BYTES {
            return Ok(());
        }
        // Written whole, then renamed: a reader sees all of it or nothing.
        let draft = path.with_extension(format!("{}.new", std::process::id()));
        let mut options = File::options();
        options.write(true).create(true).truncate(true).mode(0o600);
        options.open(&draft)?.write_all(&text)?;
        fs::rename(&draft, path)?;
        self.prune()
    }

    /// Removes the oldest files where there are too many, drafts of killed calls
    /// among them.
    fn prune(&self) -> io::Result<()> {
        let Some(dir) = &self.dir else {
            return Ok(());
        };
        let mut files = Vec::new();
        for entry in fs::read_dir(dir)? {
            let entry = entry?;
            // Another call may have removed it since.
            if let Ok(metadata) = entry.metadata() {
                files.push((metadata.modified()?, entry.path()));
            }
        }
        files.sort();
        let surplus = files.len().saturating_sub(MAX_FILES);
        for (_, path) in &files[..surplus] {
            let _ = fs::remove_file(path);
        }
        Ok(())
    }

    fn path(&self, digest: &str) -> Option<PathBuf> {
        let digest = Digest::parse(digest).ok()?.to_string();
        let name = format!("{}.json", digest.replace(':', "-"));
        Some(self.dir.as_ref()?.join(name))
    }
}

/// A file of ours, if it is one.
fn read(path: &Path) -> io::Result<Vec<u8>> {
    let flags = libc::O_NOFOLLOW | libc::O_NONBLOCK | libc::O_NOCTTY;
    let file = File::options().read(true).custom_flags(flags).open(path)?;
    let metadata = file.metadata()?;
    if !metadata.is_file() || !is_ours(&metadata) || metadata.len() > MAX_BYTES {
        return Err(io::ErrorKind::InvalidData.into());
    }
    let mut text = Vec::new();
    file.take(MAX_BYTES).read_to_end(&mut text)?;
    Ok(text)
}

/// Whether nobody else can have written it.
fn is_ours(metadata: &Metadata) -> bool {
    metadata.uid() == nix::unistd::geteuid().as_raw() && metadata.mode() & 0o022 == 0
}
