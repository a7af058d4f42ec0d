//! One call at a time changes a container: flock(2) on the container's directory.
//!
//! The processes that `create` forks share its lock until they are in the
//! container's cgroup and wait for `start`, or are gone. So whoever gets the
//! lock after a killed `create` finds all that came of it, and nothing more comes.

use std::cell::Cell;
use std::fs::{File, TryLockError};
use std::io::{self, ErrorKind};
use std::os::unix::fs::MetadataExt;
use std::rc::Rc;
use std::time::{Duration, Instant};

use crate::lifecycle::store::entry::Entry;
use crate::lifecycle::store::error::StoreError;

/// How long another call may hold it.
const TIMEOUT: Duration = Duration::from_secs(10);

/// The lock of one container. It is free again when every copy in every process
/// is dropped or released.
#[derive(Clone)]
pub struct Lock(Rc<Cell<Option<File>>>);

impl Lock {
    /// Acquires the lock, waiting for the call that has it.
    ///
    /// # Errors
    /// [`StoreError::Missing`] where the container is gone, or goes while this waits;
    /// [`StoreError::Busy`] where the other call takes too long.
    pub fn acquire(entry: &Entry) -> Result<Self, StoreError> {
        let failed = |e: io::Error| match e.kind() {
            ErrorKind::NotFound => StoreError::Missing {
                id: entry.id.clone(),
            },
            _ => StoreError::io(&entry.dir, e),
        };
        let deadline = Instant::now() + TIMEOUT;
        loop {
            let dir = File::open(&entry.dir).map_err(failed)?;
            match dir.try_lock() {
                Ok(()) if is_at(&dir, entry).map_err(failed)? => {
                    return Ok(Self(Rc::new(Cell::new(Some(dir)))));
                }
                // Another container has the ID now.
                Ok(()) => {}
                Err(TryLockError::Error(e)) => return Err(failed(e)),
                Err(TryLockError::WouldBlock) if Instant::now() > deadline => {
                    return Err(StoreError::Busy {
                        id: entry.id.clone(),
                    });
                }
                Err(TryLockError::WouldBlock) => std::thread::sleep(Duration::from_millis(1)),
            }
        }
    }

    /// Lets this process's hold go; a process that it was forked from keeps its own.
    pub fn release(&self) {
        // Closing, not LOCK_UN: that would unlock it for all (flock(2)).
        drop(self.0.take());
    }
}

/// Whether the open directory is still the one at the container's path.
fn is_at(dir: &File, entry: &Entry) -> io::Result<bool> {
    let (locked, there) = (dir.metadata()?, std::fs::metadata(&entry.dir)?);
    Ok((locked.dev(), locked.ino()) == (there.dev(), there.ino()))
}
