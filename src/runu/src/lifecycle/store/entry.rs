//! The directory of one container, and the files in it.

use std::fs;
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use serde::Deserialize;

use crate::lifecycle::store::error::StoreError;
use crate::lifecycle::store::record::Record;

const RECORD: &str = "record.json";
const EXPLANATION: &str = "explanation.json";

/// The directory of one container.
#[derive(Debug, Clone)]
pub struct Entry {
    pub id: String,
    pub dir: PathBuf,
}

/// The field that a record of any version has.
#[derive(Deserialize)]
struct Version {
    version: u32,
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
    pub fn save(&self, record: &Record) -> Result<(), StoreError> {
        let text = serde_json::to_vec(record).expect("a record is always JSON");
        write_whole(&self.dir.join(RECORD), &text)
            .map_err(|e| StoreError::io(&self.dir.join(RECORD), e))
    }

    /// Keeps the decision by which the container was made, as `runu explain` has it.
    ///
    /// # Errors
    /// When the disk does not take it.
    pub fn save_explanation(&self, text: &str) -> Result<(), StoreError> {
        let path = self.dir.join(EXPLANATION);
        write_whole(&path, text.as_bytes()).map_err(|e| StoreError::io(&path, e))
    }

    /// The decision by which the container was made.
    ///
    /// # Errors
    /// When it was not kept, or cannot be read.
    pub fn explanation(&self) -> Result<String, StoreError> {
        let path = self.dir.join(EXPLANATION);
        fs::read_to_string(&path).map_err(|e| StoreError::io(&path, e))
    }

    /// Reads the record; `None` where `create` was stopped before writing it.
    ///
    /// # Errors
    /// When it cannot be read or is of another version.
    pub fn load(&self) -> Result<Option<Record>, StoreError> {
        let path = self.dir.join(RECORD);
        let text = match fs::read(&path) {
            Ok(text) => text,
            Err(e) if e.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(e) => return Err(StoreError::io(&path, e)),
        };
        let corrupt = |why| StoreError::Corrupt {
            path: path.clone(),
            why,
        };
        // First: a record of another version has other fields.
        let Version { version } = serde_json::from_slice(&text).map_err(corrupt)?;
        if !(1..=Record::VERSION).contains(&version) {
            return Err(StoreError::RecordVersion {
                path,
                found: version,
            });
        }
        let record = serde_json::from_slice(&text).map_err(corrupt)?;
        Ok(Some(record))
    }

    /// Removes all that is on disk of the container, and the root's directory with
    /// the last one.
    ///
    /// # Errors
    /// When something cannot be removed; what is gone already is none.
    pub fn remove(&self) -> Result<(), StoreError> {
        match fs::remove_dir_all(&self.dir) {
            Err(e) if e.kind() != io::ErrorKind::NotFound => Err(StoreError::io(&self.dir, e)),
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
pub(in crate::lifecycle) fn write_whole(path: &Path, bytes: &[u8]) -> io::Result<()> {
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
