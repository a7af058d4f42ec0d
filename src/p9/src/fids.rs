//! A client's fids: files that it has walked to, by numbers of its own.

use std::collections::HashMap;
use std::ffi::CStr;
use std::fs::File;
use std::os::fd::OwnedFd;
use std::sync::Arc;

use rustix::io::Errno;

use super::dir::{Dir, DirEntry};

/// The most of them. Some guests never give back those of files that they have made.
const MAX: usize = 16 << 10;

/// A file of any kind, and perhaps open.
pub(crate) struct Fid {
    pub node: Node,
    pub open: Option<Open>,
}

/// A file of any kind, as it was found.
#[derive(Clone)]
pub(crate) struct Node {
    /// `None` where the client itself has taken it away.
    pub entry: Option<DirEntry>,
    /// What is in it, if it is a directory.
    pub dir: Option<Arc<Dir>>,
    /// It is only looked at: it belongs to one of the kernel's own file systems.
    pub is_kernel_fs: bool,
}

/// What it was opened as.
pub(crate) enum Open {
    File(File),
    Dir(OwnedFd),
    /// A directory that shows nothing.
    HiddenDir,
}

impl Node {
    /// # Errors
    /// ENOENT for a file that is no longer there.
    pub(crate) fn entry(&self) -> Result<&DirEntry, Errno> {
        self.entry.as_ref().ok_or(Errno::NOENT)
    }

    /// # Errors
    /// ENOTDIR.
    pub(crate) fn dir(&self) -> Result<&Arc<Dir>, Errno> {
        self.dir.as_ref().ok_or(Errno::NOTDIR)
    }
}

impl Fid {
    /// # Errors
    /// EBADF for what is not open as a file, EISDIR for a directory.
    pub(crate) fn file(&self) -> Result<&File, Errno> {
        match &self.open {
            Some(Open::File(file)) => Ok(file),
            Some(Open::Dir(_) | Open::HiddenDir) => Err(Errno::ISDIR),
            None => Err(Errno::BADF),
        }
    }
}

/// The files, by number.
#[derive(Default)]
pub(crate) struct Fids(HashMap<u32, Fid>);

impl Fids {
    /// # Errors
    /// EBADF for a number that means nothing.
    pub(crate) fn get(&self, fid: u32) -> Result<&Fid, Errno> {
        self.0.get(&fid).ok_or(Errno::BADF)
    }

    pub(crate) fn node(&self, fid: u32) -> Result<&Node, Errno> {
        self.get(fid).map(|fid| &fid.node)
    }

    /// A directory that names may be changed in: not open, nor anything but a directory.
    pub(crate) fn dir(&self, fid: u32) -> Result<&Arc<Dir>, Errno> {
        self.node(fid)?.dir()
    }

    /// One that is to be opened.
    ///
    /// # Errors
    /// EBADF, also for one that is open already.
    pub(crate) fn get_unopened(&mut self, fid: u32) -> Result<&mut Fid, Errno> {
        let fid = self.0.get_mut(&fid).filter(|fid| fid.open.is_none());
        fid.ok_or(Errno::BADF)
    }

    pub(crate) fn contains(&self, fid: u32) -> bool {
        self.0.contains_key(&fid)
    }

    /// Gives a node this number, whatever had it before.
    ///
    /// # Errors
    /// ENFILE where there are too many.
    pub(crate) fn insert(&mut self, fid: u32, node: Node) -> Result<(), Errno> {
        if self.0.len() >= MAX && !self.contains(fid) {
            return Err(Errno::NFILE);
        }
        self.0.insert(fid, Fid { node, open: None });
        Ok(())
    }

    /// # Errors
    /// EBADF for a number that means nothing.
    pub(crate) fn remove(&mut self, fid: u32) -> Result<Fid, Errno> {
        self.0.remove(&fid).ok_or(Errno::BADF)
    }

    pub(crate) fn clear(&mut self) {
        self.0.clear();
    }

    /// The client has taken this name away: whatever gets it next is another file.
    pub(crate) fn unlinked(&mut self, dir: &Dir, name: &CStr) {
        self.replace(dir, name, None);
    }

    /// The client has given the file of this name another entry.
    pub(crate) fn renamed(&mut self, dir: &Dir, name: &CStr, to: &DirEntry) {
        self.unlinked(&to.dir, &to.name);
        self.replace(dir, name, Some(to));
    }

    fn replace(&mut self, dir: &Dir, name: &CStr, entry: Option<&DirEntry>) {
        for fid in self.0.values_mut() {
            let old = &mut fid.node.entry;
            if old.as_ref().is_some_and(|old| old.is(dir, name)) {
                *old = entry.cloned();
            }
        }
    }
}
