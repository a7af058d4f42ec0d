//! runu's own containers on disk, apart from runc's.
//!
//! `/run/runu/<caller's root>/<id>/` holds `record.json` (what runu knows), `explanation.json` (why
//! it is a unikernel), `bundle/config.json` (what the container was built from) and `container/`
//! (libcontainer's root). Making the directory is what claims the ID: mkdir(2) lets one caller win.

use std::collections::BTreeMap;
use std::fs::{self, DirBuilder};
use std::io::{self, Write};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::DirBuilderExt;
use std::path::{Component, Path, PathBuf};

use serde::{Deserialize, Serialize};

use super::Error;
use super::lock::Lock;
use super::process::Process;
use super::user;
use decision::plan::Plan;

const RECORD: &str = "record.json";
const EXPLANATION: &str = "explanation.json";

/// The containers of one caller's root.
#[derive(Debug)]
pub struct Store {
    dir: PathBuf,
    /// Where the delegate has its own state: one of them.
    theirs: Vec<PathBuf>,
}

/// The directory of one container.
#[derive(Debug)]
pub struct Entry {
    pub id: String,
    pub dir: PathBuf,
}

/// What is known of a container: fixed at `create`, but for its process.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Record {
    pub version: u32,
    /// The version of the runtime-spec that `state` follows, whatever config.json's.
    pub oci_version: String,
    pub id: String,
    pub bundle: PathBuf,
    pub rootfs: PathBuf,
    pub annotations: BTreeMap<String, String>,
    /// RFC 3339.
    pub created: String,
    pub cgroups_path: PathBuf,
    pub systemd_cgroup: bool,
    /// The rule that made it a unikernel.
    pub rule: Option<String>,
    pub plan: Plan,
    /// The monitor; `None` while it is being made.
    pub process: Option<Process>,
}

/// The field that a record of any version has.
#[derive(Deserialize)]
struct Version {
    version: u32,
}

impl Record {
    /// The version of the format that this program reads and writes. Another field is
    /// another version, and a program reads all those before its own: unikernels outlive
    /// an upgrade. `fixtures/records` has one of each.
    pub const VERSION: u32 = 2;
}

impl Store {
    /// The store that belongs to runc's state in `root` (`None`: runc's default).
    pub fn of(root: Option<&Path>) -> Self {
        let base = user::runtime_dir().unwrap_or_else(|| PathBuf::from("/run"));
        let is_default = root.is_none();
        let root = root.map_or_else(|| base.join("runc"), cleaned);
        let dir = base.join("runu").join(file_name(&root));
        let mut theirs = vec![root];
        if is_default {
            theirs.push(user::cruns_root());
        }
        Self { dir, theirs }
    }

    /// Where answers of containerd about images are kept, for all roots in one place. No
    /// root's name begins so: see [`file_name`].
    pub fn image_cache(&self) -> PathBuf {
        self.dir.with_file_name("%images")
    }

    /// Whether runc, or crun in its place, has a container of this ID.
    pub fn delegate_holds(&self, id: &str) -> bool {
        self.theirs.iter().any(|root| root.join(id).exists())
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
    pub fn claim(&self, id: &str) -> Result<(Entry, Lock), Error> {
        if !is_valid_id(id) {
            return Err(Error::InvalidId { id: id.to_owned() });
        }
        let entry = self.entry(id);
        let mut private = DirBuilder::new();
        private.mode(0o700);
        // The last `delete` of this root may take its directory away just now.
        for _ in 0..8 {
            private
                .recursive(true)
                .create(&self.dir)
                .map_err(|e| Error::store(&self.dir, e))?;
            match private.recursive(false).create(&entry.dir) {
                Ok(()) => match Lock::take(&entry) {
                    // A `delete --force` came in between.
                    Err(Error::Missing { .. }) => {}
                    taken => return taken.map(|lock| (entry, lock)),
                },
                Err(e) if e.kind() == io::ErrorKind::NotFound => {}
                Err(e) if e.kind() == io::ErrorKind::AlreadyExists => {
                    return Err(Error::Exists { id: id.to_owned() });
                }
                Err(e) => return Err(Error::store(&entry.dir, e)),
            }
        }
        Err(Error::store(&entry.dir, io::ErrorKind::NotFound.into()))
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

impl Entry {
    /// What libcontainer has for its root: it makes a directory by the ID in it.
    pub fn container_root(&self) -> PathBuf {
        self.dir.join("container")
    }

    /// libcontainer's directory for this container.
    pub fn container_dir(&self) -> PathBuf {
        self.container_root().join(&self.id)
    }

    /// The directory of the config.json that the container is built from.
    pub fn bundle_dir(&self) -> PathBuf {
        self.dir.join("bundle")
    }

    /// Writes the record: to a temporary file, then renamed.
    ///
    /// # Errors
    /// When the disk does not take it.
    pub fn save(&self, record: &Record) -> Result<(), Error> {
        let text = serde_json::to_vec(record).expect("a record is always JSON");
        write_whole(&self.dir.join(RECORD), &text)
            .map_err(|e| Error::store(&self.dir.join(RECORD), e))
    }

    /// Keeps the decision by which the container was made, as `runu explain` has it.
    ///
    /// # Errors
    /// When the disk does not take it.
    pub fn save_explanation(&self, text: &str) -> Result<(), Error> {
        let path = self.dir.join(EXPLANATION);
        write_whole(&path, text.as_bytes()).map_err(|e| Error::store(&path, e))
    }

    /// The decision by which the container was made.
    ///
    /// # Errors
    /// When it was not kept, or cannot be read.
    pub fn explanation(&self) -> Result<String, Error> {
        let path = self.dir.join(EXPLANATION);
        fs::read_to_string(&path).map_err(|e| Error::store(&path, e))
    }

    /// Reads the record; `None` where `create` was stopped before writing it.
    ///
    /// # Errors
    /// When it cannot be read or is of another version.
    pub fn load(&self) -> Result<Option<Record>, Error> {
        let path = self.dir.join(RECORD);
        let text = match fs::read(&path) {
            Ok(text) => text,
            Err(e) if e.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(e) => return Err(Error::store(&path, e)),
        };
        let spoilt = |why| Error::Spoilt {
            path: path.clone(),
            why,
        };
        // First: a record of another version has other fields.
        let Version { version } = serde_json::from_slice(&text).map_err(spoilt)?;
        if !(1..=Record::VERSION).contains(&version) {
            return Err(Error::RecordVersion {
                path,
                found: version,
            });
        }
        let record = serde_json::from_slice(&text).map_err(spoilt)?;
        Ok(Some(record))
    }

    /// Removes all that is on disk of the container, and the root's directory with
    /// the last one.
    ///
    /// # Errors
    /// When something cannot be removed; what is gone already is none.
    pub fn remove(&self) -> Result<(), Error> {
        match fs::remove_dir_all(&self.dir) {
            Err(e) if e.kind() != io::ErrorKind::NotFound => Err(Error::store(&self.dir, e)),
            _ => {
                if let Some(root) = self.dir.parent() {
                    // Fails while another container is there, as it should.
                    let _ = fs::remove_dir(root);
                }
                Ok(())
            }
        }
    }
}

/// Writes a file that is there whole or not at all.
pub(super) fn write_whole(path: &Path, bytes: &[u8]) -> io::Result<()> {
    let mut temporary = path.as_os_str().to_owned();
    temporary.push(format!(".{}", std::process::id()));
    let temporary = PathBuf::from(temporary);
    let written = fs::File::create(&temporary)
        .and_then(|mut file| file.write_all(bytes))
        .and_then(|()| fs::rename(&temporary, path));
    if written.is_err() {
        let _ = fs::remove_file(&temporary);
    }
    written
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
            theirs: Vec::new(),
        };
        let (entry, _lock) = store.claim("c").unwrap();
        assert!(store.holds("c") && !store.holds("../root/c"));
        assert!(matches!(store.claim("c"), Err(Error::Exists { .. })));
        assert!(entry.load().unwrap().is_none());
        entry.remove().unwrap();
        entry.remove().unwrap();
        assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 0);
    }
}
