//! A Hermit image: a tar archive with a file `hermit.toml`, which names the kernel among the
//! others (hermit-entry's `config` module).

use std::fs::File;
use std::io::{self, Read, Seek, SeekFrom};

use tar::{Archive, EntryType};

use crate::error::{HeaderError, KernelError};

/// Bytes of a header, and where it has its magic number (POSIX.1, pax, "ustar Interchange
/// Format").
pub(super) const HEADER_SIZE: usize = 512;
const MAGIC: usize = 257;

/// The file that describes the image, and the most of it that is read.
const CONFIG: &str = "hermit.toml";
const MAX_CONFIG: u64 = 64 << 10;

/// What of the description is needed here; the rest is for Hermit's own tools.
#[derive(serde::Deserialize)]
struct Config {
    version: String,
    kernel: String,
}

/// Whether an archive can begin with `head`.
pub(super) fn is_header(head: &[u8]) -> bool {
    head.len() == HEADER_SIZE && head[MAGIC..].starts_with(b"ustar")
}

/// The kernel's content in the image `archive`.
///
/// # Errors
/// An archive that is damaged, or has no description or no kernel; one of another version.
pub(super) fn kernel(archive: &File) -> Result<Vec<u8>, KernelError> {
    let text =
        find(archive, CONFIG, MAX_CONFIG)?.ok_or_else(|| bad("it has no file hermit.toml"))?;
    let text = str::from_utf8(&text).map_err(bad)?;
    let config: Config = toml::from_str(text).map_err(bad)?;
    if config.version != "1" {
        return Err(bad("hermit.toml is not of version \"1\""));
    }
    // No more than the archive has, which has been bounded.
    find(archive, &config.kernel, u64::MAX)?
        .ok_or_else(|| bad("the kernel that hermit.toml names is not in it"))
}

/// The first `max` bytes of the file `name`; of several the last one counts.
fn find(mut archive: &File, name: &str, max: u64) -> Result<Option<Vec<u8>>, KernelError> {
    let damaged = |e: io::Error| bad(e);
    archive.seek(SeekFrom::Start(0))?;
    let mut found = None;
    for entry in Archive::new(archive).entries().map_err(damaged)? {
        let entry = entry.map_err(damaged)?;
        let is_file = entry.header().entry_type() == EntryType::Regular;
        if is_file && plain(&entry.path_bytes()) == plain(name.as_bytes()) {
            let mut content = Vec::new();
            entry.take(max).read_to_end(&mut content).map_err(damaged)?;
            found = Some(content);
        }
    }
    Ok(found)
}

/// A path without what its writers put in front of it.
fn plain(path: &[u8]) -> &[u8] {
    let path = path.strip_prefix(b".").unwrap_or(path);
    path.strip_prefix(b"/").unwrap_or(path)
}

fn bad(fault: impl Into<HeaderError>) -> KernelError {
    KernelError::bad_header("Hermit image", fault)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::boot::testing::{file, tar_of};

    #[track_caller]
    fn fault(files: &[(&str, &[u8])]) -> String {
        kernel(&file(&tar_of(files))).unwrap_err().to_string()
    }

    #[test]
    fn of_several_files_of_a_name_the_last_counts() {
        let config: &[u8] = b"version = \"1\"\nkernel = \"./k\"\n";
        let tar = tar_of(&[("k", b"old"), ("./hermit.toml", config), ("/k", b"new")]);
        assert_eq!(kernel(&file(&tar)).unwrap(), b"new");
    }

    #[test]
    fn what_is_no_image_says_what_it_lacks() {
        assert!(fault(&[("k", b"")]).contains("no file hermit.toml"));
        let toml = |text: &'static str| ("hermit.toml", text.as_bytes());
        assert!(fault(&[toml("version = 1")]).contains("hermit.toml: invalid type"));
        assert!(fault(&[toml("version = \"2\"\nkernel = \"k\"")]).contains("not of version"));
        assert!(fault(&[toml("version = \"1\"\nkernel = \"k\"")]).contains("is not in it"));
        assert!(fault(&[("hermit.toml", b"\xff")]).contains("utf-8"));
    }

    #[test]
    fn a_damaged_archive_is_an_error() {
        let config: &[u8] = b"version = \"1\"\nkernel = \"k\"\n";
        let mut tar = tar_of(&[("hermit.toml", config), ("k", b"kernel")]);
        tar[1024 + 150] ^= 1; // the second header's checksum
        let fault = kernel(&file(&tar)).unwrap_err().to_string();
        assert!(fault.contains("Hermit image cannot be read"), "{fault}");
    }
}
