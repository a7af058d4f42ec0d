//! One client's server: it reads a T-message and writes the R-message.

use std::fmt;
use std::os::fd::{AsRawFd, OwnedFd, RawFd};
use std::sync::Arc;

use rustix::fs::Statx;
use rustix::io::Errno;

use super::dir::{Dir, device, file_type};
use super::fids::Fids;
use super::message_type;
use super::wire::{self, Qid, Rmessage, Tmessage};

/// The most bytes that a message may have (`msize`), whatever the client proposes.
pub const MAX_MSIZE: u32 = 1 << 20;
/// The least `msize` that a client may propose: what Linux insists on.
pub(crate) const MIN_MSIZE: u32 = 4 << 10;
/// The most file systems that a tree's files are told apart by.
const MAX_DEVICES: usize = 255;

/// The server of one client and one tree of files.
pub struct Server {
    pub(super) root: Arc<Dir>,
    pub(super) fids: Fids,
    /// The most bytes of a message, as negotiated; 0 before Tversion.
    pub(super) msize: u32,
    /// File systems that were seen, the root's first.
    pub(super) devices: Vec<u64>,
    /// Room for entries of a directory.
    pub(super) entries: Vec<u8>,
    pub(super) buffer: Vec<u8>,
}

/// A message that there can be no reply to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Unanswerable;

impl fmt::Display for Unanswerable {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a 9P message that there can be no reply to")
    }
}

impl std::error::Error for Unanswerable {}

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
            msize: 0,
            entries: Vec::new(),
            buffer: Vec::new(),
        })
    }

    /// The root's file descriptor, which the server needs from the beginning; what it opens
    /// later is its own.
    pub fn descriptor(&self) -> RawFd {
        self.root.fd().as_raw_fd()
    }

    /// Ends the session: the next client begins with Tversion, and has no fid.
    pub fn reset(&mut self) {
        self.fids.clear();
        self.msize = 0;
    }

    /// Carries out the T-message and gives the R-message, of at most `max_len` bytes and of at most
    /// the negotiated `msize`; a failure is an Rlerror.
    ///
    /// # Errors
    /// [`Unanswerable`] for a message without a header, and where an Rlerror does not fit.
    pub fn handle(&mut self, message: &[u8], max_len: usize) -> Result<&[u8], Unanswerable> {
        let (header, fields) = message.split_at_checked(wire::HEADER).ok_or(Unanswerable)?;
        let (kind, tag) = (header[4], u16::from_le_bytes([header[5], header[6]]));
        let max = match self.msize {
            0 => MIN_MSIZE,
            max => max,
        };
        let max = max_len.min(max as usize);
        if max < wire::ERROR {
            return Err(Unanswerable);
        }
        let mut buffer = std::mem::take(&mut self.buffer);
        if buffer.len() < max {
            buffer.resize(max, 0);
        }
        let mut reply = Rmessage::new(&mut buffer[..max]);
        let result = self.dispatch(kind, &mut Tmessage(fields), &mut reply);
        let len = reply.finish(kind.wrapping_add(1), tag, result);
        self.buffer = buffer;
        Ok(&self.buffer[..len])
    }

    fn dispatch(
        &mut self,
        kind: u8,
        request: &mut Tmessage<'_>,
        reply: &mut Rmessage<'_>,
    ) -> Result<(), Errno> {
        match kind {
            message_type::TVERSION => self.version(request, reply),
            _ if self.msize == 0 => Err(Errno::PROTO),
            message_type::TATTACH => self.attach(request, reply),
            message_type::TWALK => self.walk(request, reply),
            message_type::TCLUNK => self.fids.remove(request.u32()?).map(drop),
            // What came before it has been answered.
            message_type::TFLUSH => Ok(()),
            message_type::TLOPEN => self.lopen(request, reply),
            message_type::TLCREATE => self.lcreate(request, reply),
            message_type::TREAD => self.read(request, reply),
            message_type::TWRITE => self.write(request, reply),
            message_type::TREADDIR => self.readdir(request, reply),
            message_type::TFSYNC => self.fsync(request),
            message_type::TLOCK => self.lock(request, reply),
            message_type::TGETLOCK => self.getlock(request, reply),
            message_type::TMKDIR => self.mkdir(request, reply),
            message_type::TSYMLINK => self.symlink(request, reply),
            message_type::TMKNOD => self.mknod(request, reply),
            message_type::TLINK => self.link(request),
            message_type::TRENAME => self.rename(request),
            message_type::TRENAMEAT => self.renameat(request),
            message_type::TUNLINKAT => self.unlinkat(request),
            message_type::TREMOVE => self.remove(request),
            message_type::TREADLINK => self.readlink(request, reply),
            message_type::TGETATTR => self.getattr(request, reply),
            message_type::TSETATTR => self.setattr(request),
            message_type::TSTATFS => self.statfs(request, reply),
            // Extended attributes, authentication, and what belongs to other dialects.
            _ => Err(Errno::OPNOTSUPP),
        }
    }

    /// What the client knows a file by.
    pub(super) fn qid(&mut self, stat: &Statx) -> Qid {
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
            version: ((changed ^ stat.stx_size << 8) & 0xffff_ffff) as u32,
            path: self.path(device, stat.stx_ino),
        }
    }

    /// One number for a file system and an inode. File systems are told apart by the uppermost
    /// bits, which few inodes use.
    pub(super) fn path(&self, device: u64, inode: u64) -> u64 {
        let known = self.devices.iter().position(|known| *known == device);
        inode ^ (known.unwrap_or(MAX_DEVICES) as u64).reverse_bits()
    }
}
