//! A server of 9P2000.L: a tree of files for a client that nobody trusts.
//!
//! The client sees what lies beneath the root, with all that is mounted there, as this process
//! may see it. It never gets out: each name is looked up on its own, by openat2(2), and leads
//! to no other directory. Symbolic links are handed out to be read, and followed by the client.
//! What is never opened: device nodes, sockets, FIFOs, and the files of the kernel's own file
//! systems (procfs and its like), whose directories look empty.
//!
//! | module | what is in it |
//! |---|---|
//! | [`wire`] | requests and replies as bytes |
//! | [`directory`] | looking up and opening, and what is refused there |
//! | [`fids`] | what the client has in its hand |
//! | [`session`] | the messages to begin with, and to walk |
//! | [`content`] | to open, read and write |
//! | [`names`] | to make, move and take away |
//! | [`attributes`] | to get and set attributes |
//!
//! Sources: diod's protocol.md; Linux's include/net/9p/9p.h and net/9p/client.c.

#![warn(missing_docs)]
// A test knows its numbers.
#![cfg_attr(
    test,
    allow(
        clippy::cast_possible_truncation,
        clippy::cast_possible_wrap,
        clippy::cast_sign_loss,
        clippy::cast_lossless,
        clippy::too_many_lines
    )
)]

mod attributes;
mod content;
mod dir;
mod fids;
mod names;
mod session;
#[cfg(test)]
mod tests;
mod wire;

use std::os::fd::{AsRawFd, OwnedFd, RawFd};
use std::sync::Arc;

use rustix::fs::Statx;
use rustix::io::Errno;

pub use dir::is_kernels;

use dir::{Dir, device, file_type};
use fids::Fids;
use wire::{Qid, Reply, Request};

/// The most bytes that a frame may have, whatever the client proposes.
pub const MAX_FRAME: u32 = 1 << 20;
/// The least that a client may propose: what Linux insists on.
const MIN_FRAME: u32 = 4 << 10;
/// The most file systems that a tree's files are told apart by.
const MAX_DEVICES: usize = 255;

/// A message's type: what asks for it, less one than what answers it.
mod kind {
    pub(crate) const STATFS: u8 = 8;
    pub(crate) const LOPEN: u8 = 12;
    pub(crate) const LCREATE: u8 = 14;
    pub(crate) const SYMLINK: u8 = 16;
    pub(crate) const MKNOD: u8 = 18;
    pub(crate) const RENAME: u8 = 20;
    pub(crate) const READLINK: u8 = 22;
    pub(crate) const GETATTR: u8 = 24;
    pub(crate) const SETATTR: u8 = 26;
    pub(crate) const READDIR: u8 = 40;
    pub(crate) const FSYNC: u8 = 50;
    pub(crate) const LOCK: u8 = 52;
    pub(crate) const GETLOCK: u8 = 54;
    pub(crate) const LINK: u8 = 70;
    pub(crate) const MKDIR: u8 = 72;
    pub(crate) const RENAMEAT: u8 = 74;
    pub(crate) const UNLINKAT: u8 = 76;
    pub(crate) const VERSION: u8 = 100;
    pub(crate) const ATTACH: u8 = 104;
    pub(crate) const FLUSH: u8 = 108;
    pub(crate) const WALK: u8 = 110;
    pub(crate) const READ: u8 = 116;
    pub(crate) const WRITE: u8 = 118;
    pub(crate) const CLUNK: u8 = 120;
    pub(crate) const REMOVE: u8 = 122;
}

/// One client's server.
pub struct Server {
    root: Arc<Dir>,
    fids: Fids,
    /// The most bytes of a frame; 0 until the client has proposed some.
    max_frame: u32,
    /// File systems that were seen, the root's first.
    devices: Vec<u64>,
    /// Room for entries of a directory.
    entries: Vec<u8>,
    buffer: Vec<u8>,
}

/// A frame that no reply can be made to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Unanswerable;

impl Server {
    /// Serves the tree beneath `root`, a descriptor of a directory that may be open as a path.
    ///
    /// # Errors
    /// Those of statx(2) and statfs(2).
    pub fn new(root: OwnedFd) -> std::io::Result<Server> {
        let root = Dir::root(root)?;
        Ok(Server {
            devices: vec![root.id.0],
            root: Arc::new(root),
            fids: Fids::default(),
            max_frame: 0,
            entries: Vec::new(),
            buffer: Vec::new(),
        })
    }

    /// The root's file descriptor, which the server needs from the beginning; what it opens
    /// later is its own.
    pub fn descriptor(&self) -> RawFd {
        self.root.fd().as_raw_fd()
    }

    /// The client is gone, and another begins.
    pub fn reset(&mut self) {
        self.fids.clear();
        self.max_frame = 0;
    }

    /// Carries out the request in `frame` and gives the reply, of at most `room` bytes.
    ///
    /// # Errors
    /// [`Unanswerable`] for a frame without a header, and where there is no room for an error.
    pub fn answer(&mut self, frame: &[u8], room: usize) -> Result<&[u8], Unanswerable> {
        let (header, fields) = frame.split_at_checked(wire::HEADER).ok_or(Unanswerable)?;
        let (kind, tag) = (header[4], u16::from_le_bytes([header[5], header[6]]));
        let max = match self.max_frame {
            0 => MIN_FRAME,
            max => max,
        };
        let max = room.min(max as usize);
        if max < wire::ERROR {
            return Err(Unanswerable);
        }
        let mut buffer = std::mem::take(&mut self.buffer);
        if buffer.len() < max {
            buffer.resize(max, 0);
        }
        let mut reply = Reply::new(&mut buffer[..max]);
        let result = self.carry_out(kind, &mut Request(fields), &mut reply);
        let len = reply.finish(kind.wrapping_add(1), tag, result);
        self.buffer = buffer;
        Ok(&self.buffer[..len])
    }

    fn carry_out(
        &mut self,
        kind: u8,
        request: &mut Request<'_>,
        reply: &mut Reply<'_>,
    ) -> Result<(), Errno> {
        match kind {
            kind::VERSION => self.version(request, reply),
            _ if self.max_frame == 0 => Err(Errno::PROTO),
            kind::ATTACH => self.attach(request, reply),
            kind::WALK => self.walk(request, reply),
            kind::CLUNK => self.fids.remove(request.u32()?).map(drop),
            // What came before it has been answered.
            kind::FLUSH => Ok(()),
            kind::LOPEN => self.open(request, reply),
            kind::LCREATE => self.create(request, reply),
            kind::READ => self.read(request, reply),
            kind::WRITE => self.write(request, reply),
            kind::READDIR => self.read_dir(request, reply),
            kind::FSYNC => self.sync(request),
            kind::LOCK => self.lock(request, reply),
            kind::GETLOCK => self.get_lock(request, reply),
            kind::MKDIR => self.make_dir(request, reply),
            kind::SYMLINK => self.make_symlink(request, reply),
            kind::MKNOD => self.make_file(request, reply),
            kind::LINK => self.link(request),
            kind::RENAME => self.rename(request),
            kind::RENAMEAT => self.rename_at(request),
            kind::UNLINKAT => self.unlink_at(request),
            kind::REMOVE => self.remove(request),
            kind::READLINK => self.read_link(request, reply),
            kind::GETATTR => self.get_attributes(request, reply),
            kind::SETATTR => self.set_attributes(request),
            kind::STATFS => self.file_system(request, reply),
            // Extended attributes, authentication, and what belongs to other dialects.
            _ => Err(Errno::OPNOTSUPP),
        }
    }

    /// What the client knows a file by.
    fn qid(&mut self, stat: &Statx) -> Qid {
        let device = device(stat);
        if !self.devices.contains(&device) && self.devices.len() < MAX_DEVICES {
            self.devices.push(device);
        }
        let kind = match file_type(stat) {
            rustix::fs::FileType::Directory => Qid::DIR,
            rustix::fs::FileType::Symlink => Qid::SYMLINK,
            _ => 0,
        };
        let changed = stat.stx_mtime.tv_sec.cast_unsigned() ^ u64::from(stat.stx_mtime.tv_nsec);
        Qid {
            kind,
            // A part of it is enough to tell versions apart.
            version: (changed ^ stat.stx_size << 8) as u32,
            path: self.path(device, stat.stx_ino),
        }
    }

    /// One number for a file system and an inode. File systems are told apart by the uppermost
    /// bits, which few inodes use.
    fn path(&self, device: u64, inode: u64) -> u64 {
        let known = self.devices.iter().position(|known| *known == device);
        inode ^ (known.unwrap_or(MAX_DEVICES) as u64).reverse_bits()
    }
}
