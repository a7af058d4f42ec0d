//! A network namespace (network_namespaces(7)) and work that is done in it.

use std::fs::File;
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::Path;

use nix::sched::{CloneFlags, setns};

/// The work in a namespace ended by a panic, which has told its own reason.
#[derive(Debug, thiserror::Error)]
#[error("it panicked")]
struct Panicked;

/// An open network namespace. It stays for as long as this does.
#[derive(Debug)]
pub struct Namespace(File);

impl Namespace {
    /// Opens the one that a path names, such as `/proc/PID/ns/net`.
    ///
    /// # Errors
    /// Those of open(2).
    pub fn open(path: &Path) -> io::Result<Self> {
        File::open(path).map(Self)
    }

    /// Whether it is the one that this process is in itself.
    ///
    /// # Errors
    /// Those of stat(2).
    pub fn is_own(&self) -> io::Result<bool> {
        let (this, own) = (self.0.metadata()?, std::fs::metadata("/proc/self/ns/net")?);
        Ok((this.dev(), this.ino()) == (own.dev(), own.ino()))
    }

    /// Does `work` there, alone of all calls of this: in a thread of its own, which does not
    /// come back (setns(2)).
    ///
    /// # Errors
    /// When the namespace cannot be entered, and the work's own.
    pub fn enter<T, E>(&self, work: impl FnOnce() -> Result<T, E> + Send) -> Result<T, E>
    where
        T: Send,
        E: Send + From<io::Error>,
    {
        // flock(2): it goes with the descriptor, whatever becomes of this process.
        let lock = self.0.try_clone()?;
        let entered = || {
            lock.lock()?;
            setns(&self.0, CloneFlags::CLONE_NEWNET).map_err(io::Error::from)?;
            work()
        };
        let panicked = |_| Err(io::Error::other(Panicked).into());
        std::thread::scope(|scope| scope.spawn(entered).join().unwrap_or_else(panicked))
    }
}
