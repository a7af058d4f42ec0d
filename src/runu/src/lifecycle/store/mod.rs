//! runu's own containers on disk, apart from runc's.
//!
//! `/run/runu/<caller's root>/<id>/` holds `record.json` (what runu knows), `explanation.json` (why
//! it is a unikernel), `bundle/config.json` (what the container was built from) and `container/`
//! (libcontainer's root). Making the directory is what claims the ID: mkdir(2) lets one caller win.

pub(in crate::lifecycle) mod entry;
pub(in crate::lifecycle) mod error;
pub(in crate::lifecycle) mod lock;
pub(in crate::lifecycle) mod record;

use std::fs::{self, DirBuilder};
use std::io;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::DirBuilderExt;
use std::path::{Component, Path, PathBuf};

use crate::lifecycle::store::entry::Entry;
use crate::lifecycle::store::error::StoreError;
use crate::lifecycle::store::lock::Lock;
use crate::lifecycle::user;

/// The containers of one caller's root.
#[derive(Debug)]
pub struct Store {
    dir: PathBuf,
    /// Where the delegate may have its own state.
    delegate_roots: Vec<PathBuf>,
}

impl Store {
    /// The store that belongs to runc's state in `root` (`None`: runc's default).
    pub fn of(root: Option<&Path>) -> Self {
        let base = user::runtime_dir().unwrap_or_else(|| PathBuf::from("/run"));
        let is_default = root.is_none();
        let root = root.map_or_else(|| base.join("runc"), cleaned);
        let dir = base.join("runu").join(file_name(&root));
        let mut delegate_roots = vec![root];
        if is_default {
            delegate_roots.push(user::crun_state_dir());
        }
        Self {
            dir,
            delegate_roots,
        }
    }

    /// Where answers of containerd about images are kept, for all roots in one directory. No
    /// root's name begins so: see `file_name`.
    pub fn image_cache(&self) -> PathBuf {
        self.dir.with_file_name("%images")
    }

    /// Whether runc, or crun instead of it, has a container of this ID.
    pub fn delegate_holds(&self, id: &str) -> bool {
        self.delegate_roots
            .iter()
            .any(|root| root.join(id).exists())
    }

    /// Whether the container is runu's. One stat(2): the way to runc passes here.
    pub fn holds(&self, id: &str) -> bool {
        is_valid_id(id) && self.dir.join(id).is_dir()
    }

    /// The container's directory.
    pub fn entry(&self, id: &str) -> Entry {
        Entry {
            id: id.to_owned(),
            dir: self.dir.join(id),
        }
    }

    /// Claims an ID for a new container, and locks it.
    ///
    /// # Errors
    /// When the ID is malformed or taken, or the directory cannot be made.
    pub fn claim(&self, id: &str) -> Result<(Entry, Lock), StoreError> {
        if !is_valid_id(id) {
            return Err(StoreError::InvalidId { id: id.to_owned() });
        }
        let entry = self.entry(id);
        let mut private = DirBuilder::new();
        private.mode(0o700);
        // The last `delete` of this root may take its directory away just now.
        for _ in 0..8 {
            private
                .recursive(true)
                .create(&self.dir)
                .map_err(|e| StoreError::io(&self.dir, e))?;
            match private.recursive(false).create(&entry.dir) {
                Ok(()) => match Lock::acquire(&entry) {
                    // A `delete --force` came in between.
                    Err(StoreError::Missing { .. }) => {}
                    taken => return taken.map(|lock| (entry, lock)),
                },
                Err(e) if e.kind() == io::ErrorKind::NotFound => {}
                Err(e) if e.kind() == io::ErrorKind::AlreadyExists => {
                    return Err(StoreError::Exists { id: id.to_owned() });
                }
                Err(e) => return Err(StoreError::io(&entry.dir, e)),
            }
        }
        Err(StoreError::io(&entry.dir, io::ErrorKind::NotFound.into()))
    }

    /// All containers here, by ID.
    pub fn entries(&self) -> Vec<Entry> {
        let Ok(dir) = fs::read_dir(&self.dir) else {
            return Vec::new();
        };
        let mut ids: Vec<_> = dir
            .filter_map(|e| e.ok()?.file_name().into_string().ok())
            .collect();
        ids.sort();
        ids.iter().map(|id| self.entry(id)).collect()
    }
}

/// runc's rule for an ID (libcontainer, `validateID`).
fn is_valid_id(id: &str) -> bool {
    let ok = |b: u8| b.is_ascii_alphanumeric() || b"_+.-".contains(&b);
    !id.is_empty() && id != "." && id != ".." && id.bytes().all(ok)
}

/// A path as Go's `filepath.Abs` writes it, so that each root has one name: absolute, without
/// `.`, `..` and needless slashes.
fn cleaned(path: &Path) -> PathBuf {
    let mut clean = PathBuf::new();
    let whole = std::path::absolute(path).unwrap_or_else(|_| path.to_owned());
    for part in whole.components() {
        match part {
            Component::ParentDir => drop(clean.pop()),
            part => clean.push(part),
        }
    }
    clean
}

/// A path as one file name: `/` becomes `%2F`, so that one root's containers
/// never lie inside another's.
fn file_name(path: &Path) -> String {
    let mut name = String::new();
    for &byte in path.as_os_str().as_bytes() {
        match byte {
            b'%' | b'/' | 0..=0x20 | 0x7f.. => name += &format!("%{byte:02X}"),
            _ => name.push(byte.into()),
        }
    }
    name
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn roots_do_not_nest() {
        assert_eq!(file_name(Path::new("/run/a%b c")), "%2Frun%2Fa%25b%20c");
    }

    #[test]
    fn a_root_has_one_name() {
        for path in ["/run/x", "/run/x/", "/run//./x", "/run/y/../x", "/../run/x"] {
            assert_eq!(cleaned(Path::new(path)), Path::new("/run/x"), "{path}");
        }
        let here = std::env::current_dir().unwrap();
        assert_eq!(cleaned(Path::new("x")), here.join("x"));
    }

    #[test]
    fn ids() {
        for id in ["a", "A_b+c.d-9", "..."] {
            assert!(is_valid_id(id), "{id}");
        }
        for id in ["", ".", "..", "a/b", "a b", "é", "a\n"] {
            assert!(!is_valid_id(id), "{id:?}");
        }
    }

    #[test]
    fn an_id_is_claimed_once_and_leaves_nothing() {
        let dir = tempfile::tempdir().unwrap();
        let store = Store {
            dir: dir.path().join("root"),
            delegate_roots: Vec::new(),
        };
        let (entry, _lock) = store.claim("c").unwrap();
        assert!(store.holds("c") && !store.holds("../root/c"));
        assert!(matches!(store.claim("c"), Err(StoreError::Exists { .. })));
        assert!(entry.load().unwrap().is_none());
        entry.remove().unwrap();
        entry.remove().unwrap();
        assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 0);
    }
}
