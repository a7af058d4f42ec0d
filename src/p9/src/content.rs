//! Tlopen, Tlcreate, Tread, Twrite, Treaddir, Tfsync, Tlock, Tgetlock.

use std::fs::File;
use std::io::{self, ErrorKind};
use std::os::fd::AsFd;
use std::os::unix::fs::FileExt;

use rustix::fs::{FileType, OFlags, RawDir, SeekFrom, fdatasync, fsync, ftruncate, seek};
use rustix::io::Errno;

use super::dir::{DirEntry, statx_at};
use super::fids::{Fid, Node, Open};
use super::names::{apply_mode, file_mode};
use super::server::Server;
use super::wire::{Qid, Rmessage, Tmessage};

/// What a client's flags may ask for beside the access mode: they are Linux's own, as on
/// x86-64. The rest is the client's own affair, or has been dealt with.
const FLAGS: OFlags = OFlags::APPEND.union(OFlags::SYNC).union(OFlags::DSYNC);
/// A file may be read and written in pieces of any size.
const ANY_SIZE: u32 = 0;
/// Bytes for entries as the kernel writes them; the longest has less than 300.
const ENTRIES: usize = 32 << 10;
/// `P9_LOCK_SUCCESS`, and F_UNLCK of fcntl(2).
const LOCKED: u8 = 0;
const UNLOCKED: u8 = 2;

impl Server {
    /// `fid[4] flags[4]`; `qid[13] iounit[4]`.
    pub(super) fn lopen(
        &mut self,
        request: &mut Tmessage<'_>,
        reply: &mut Rmessage<'_>,
    ) -> Result<(), Errno> {
        let (number, flags) = (request.u32()?, flags(request.u32()?)?);
        let fid = self.fids.get_unopened(number)?;
        let (open, stat) = match &fid.node.dir {
            Some(_) if access(flags) != OFlags::RDONLY => return Err(Errno::ISDIR),
            Some(dir) if dir.is_hidden => (Open::HiddenDir, statx_at(dir.fd(), c"")?),
            Some(dir) => (Open::Dir(dir.open()?), statx_at(dir.fd(), c"")?),
            None if flags.contains(OFlags::DIRECTORY) => return Err(Errno::NOTDIR),
            None => {
                let file = open_file(fid.node.entry()?, flags)?;
                let stat = statx_at(file.as_fd(), c"")?;
                (Open::File(file), stat)
            }
        };
        fid.open = Some(open);
        reply.qid(self.qid(&stat));
        reply.u32(ANY_SIZE);
        Ok(())
    }

    /// `fid[4] name[s] flags[4] mode[4] gid[4]`; `qid[13] iounit[4]`. The fid becomes the new
    /// file's.
    pub(super) fn lcreate(
        &mut self,
        request: &mut Tmessage<'_>,
        reply: &mut Rmessage<'_>,
    ) -> Result<(), Errno> {
        let (number, name) = (request.u32()?, request.name()?);
        let (flags, mode) = (flags(request.u32()?)?, file_mode(request.u32()?)?);
        let fid = self.fids.get_unopened(number)?;
        let dir = fid.node.dir()?.clone();
        let entry = DirEntry { dir, name };
        let file = match entry.create(access(flags) | flags & FLAGS, mode) {
            // Made by somebody else in the meantime.
            Err(Errno::EXIST) if !flags.contains(OFlags::EXCL) => open_file(&entry, flags)?,
            made => {
                let file = made?;
                apply_mode(&file, mode)?;
                file
            }
        };
        let stat = statx_at(file.as_fd(), c"")?;
        let node = Node {
            entry: Some(entry),
            dir: None,
            is_kernel_fs: false,
        };
        *fid = Fid {
            node,
            open: Some(Open::File(file)),
        };
        reply.qid(self.qid(&stat));
        reply.u32(ANY_SIZE);
        Ok(())
    }

    /// `fid[4] offset[8] count[4]`; `count[4] data[count]`.
    pub(super) fn read(
        &mut self,
        request: &mut Tmessage<'_>,
        reply: &mut Rmessage<'_>,
    ) -> Result<(), Errno> {
        let (fid, offset, count) = (request.u32()?, request.u64()?, request.u32()?);
        let file = self.fids.get(fid)?.file()?;
        reply.data(count, |buffer| {
            retry_interrupted(|| file.read_at(buffer, offset))
        })
    }

    /// `fid[4] offset[8] count[4] data[count]`; `count[4]`.
    pub(super) fn write(
        &mut self,
        request: &mut Tmessage<'_>,
        reply: &mut Rmessage<'_>,
    ) -> Result<(), Errno> {
        let (fid, offset, data) = (request.u32()?, request.u64()?, request.data()?);
        let file = self.fids.get(fid)?.file()?;
        let written = retry_interrupted(|| file.write_at(data, offset))?;
        reply.u32(u32::try_from(written).map_err(|_| Errno::IO)?);
        Ok(())
    }

    /// `fid[4] offset[8] count[4]`; `count[4]` and as many bytes of entries, each
    /// `qid[13] offset[8] type[1] name[s]`.
    pub(super) fn readdir(
        &mut self,
        request: &mut Tmessage<'_>,
        reply: &mut Rmessage<'_>,
    ) -> Result<(), Errno> {
        let (fid, offset, count) = (request.u32()?, request.u64()?, request.u32()?);
        let fid = self.fids.get(fid)?;
        let device = fid.node.dir.as_ref().map_or(0, |dir| dir.id.0);
        let bits = self.path(device, 0);
        let path = |inode| inode ^ bits;
        match &fid.open {
            Some(Open::Dir(dir)) => {
                seek(dir, SeekFrom::Start(offset))?;
                self.entries.reserve(ENTRIES);
                let entries = RawDir::new(dir, self.entries.spare_capacity_mut());
                reply.data(count, |buffer| list(entries, path, buffer))
            }
            Some(Open::HiddenDir) => {
                reply.data(count, |buffer| list_nothing(offset, path(1), buffer))
            }
            Some(Open::File(_)) => Err(Errno::NOTDIR),
            None => Err(Errno::BADF),
        }
    }

    /// `fid[4] datasync[4]`; nothing.
    pub(super) fn fsync(&mut self, request: &mut Tmessage<'_>) -> Result<(), Errno> {
        let (fid, is_data_only) = (request.u32()?, request.u32()? != 0);
        match &self.fids.get(fid)?.open {
            Some(Open::File(file)) if is_data_only => fdatasync(file),
            Some(Open::File(file)) => fsync(file),
            Some(Open::Dir(dir)) => fsync(dir),
            Some(Open::HiddenDir) => Ok(()),
            None => Err(Errno::BADF),
        }
    }

    /// `fid[4] type[1] flags[4] start[8] length[8] proc_id[4] client_id[s]`; `status[1]`. A lock
    /// holds among the client's own processes, by the client's own doing.
    pub(super) fn lock(
        &mut self,
        request: &mut Tmessage<'_>,
        reply: &mut Rmessage<'_>,
    ) -> Result<(), Errno> {
        self.fids.get(request.u32()?)?.file()?;
        reply.u8(LOCKED);
        Ok(())
    }

    /// `fid[4] type[1] start[8] length[8] proc_id[4] client_id[s]`; the same without the fid:
    /// nobody else holds a lock.
    pub(super) fn getlock(
        &mut self,
        request: &mut Tmessage<'_>,
        reply: &mut Rmessage<'_>,
    ) -> Result<(), Errno> {
        self.fids.get(request.u32()?)?.file()?;
        let _kind = request.u8()?;
        let (start, length) = (request.u64()?, request.u64()?);
        let (process, client) = (request.u32()?, request.string()?);
        reply.u8(UNLOCKED);
        reply.u64(start);
        reply.u64(length);
        reply.u32(process);
        reply.string(client);
        Ok(())
    }
}

/// Opens a regular file, and cuts it only when it is known to be one.
fn open_file(entry: &DirEntry, flags: OFlags) -> Result<File, Errno> {
    let file = entry.open(access(flags) | flags & FLAGS)?;
    if flags.contains(OFlags::TRUNC) {
        match access(flags) {
            OFlags::RDONLY => ftruncate(entry.open(OFlags::WRONLY)?, 0)?,
            _ => ftruncate(&file, 0)?,
        }
    }
    Ok(file)
}

fn flags(bits: u32) -> Result<OFlags, Errno> {
    let flags = OFlags::from_bits_retain(bits);
    match flags & OFlags::RWMODE == OFlags::RWMODE {
        true => Err(Errno::INVAL),
        false => Ok(flags),
    }
}

fn access(flags: OFlags) -> OFlags {
    flags & OFlags::RWMODE
}

/// Does it again where a signal has interrupted it.
fn retry_interrupted(mut transfer: impl FnMut() -> io::Result<usize>) -> Result<usize, Errno> {
    loop {
        match transfer() {
            Err(e) if e.kind() == ErrorKind::Interrupted => {}
            Err(e) => return Err(Errno::from_io_error(&e).unwrap_or(Errno::IO)),
            Ok(len) => return Ok(len),
        }
    }
}

/// Writes as many entries into `buffer` as fit; gives their bytes.
fn list<F: AsFd>(
    mut entries: RawDir<'_, F>,
    path: impl Fn(u64) -> u64,
    buffer: &mut [u8],
) -> Result<usize, Errno> {
    let mut len = 0;
    while let Some(entry) = entries.next() {
        let entry = entry?;
        let bytes = entry_bytes(
            path(entry.ino()),
            entry.next_entry_cookie(),
            entry.file_type(),
            entry.file_name().to_bytes(),
        );
        match buffer.get_mut(len..len + bytes.len()) {
            Some(entry) => entry.copy_from_slice(&bytes),
            // So small a count is a fault of the client's.
            None if len == 0 => return Err(Errno::INVAL),
            None => break,
        }
        len += bytes.len();
    }
    Ok(len)
}

/// The entries of a directory that shows nothing, from `offset` on.
fn list_nothing(offset: u64, path: u64, buffer: &mut [u8]) -> Result<usize, Errno> {
    let entries = (1..)
        .zip([&b"."[..], b".."])
        .filter(|(next, _)| *next > offset);
    let bytes: Vec<u8> = entries
        .flat_map(|(next, name)| entry_bytes(path, next, FileType::Directory, name))
        .collect();
    let entry = buffer.get_mut(..bytes.len()).ok_or(Errno::INVAL)?;
    entry.copy_from_slice(&bytes);
    Ok(bytes.len())
}

/// `qid[13] offset[8] type[1] name[s]`: the offset is where the next entry is found, the type
/// as in readdir(3).
fn entry_bytes(path: u64, next: u64, kind: FileType, name: &[u8]) -> Vec<u8> {
    let qid_kind = match kind {
        FileType::Directory => Qid::DIR,
        FileType::Symlink => Qid::SYMLINK,
        _ => 0,
    };
    let kind = match kind {
        FileType::Unknown => 0,
        // A mode's uppermost four bits of sixteen.
        kind => ((kind.as_raw_mode() >> 12) & 0xf) as u8,
    };
    #[expect(
        clippy::cast_possible_truncation,
        reason = "the kernel's names have 255 bytes at most"
    )]
    let len = name.len() as u16;
    let mut bytes = vec![qid_kind];
    bytes.extend([0; 4]);
    bytes.extend(path.to_le_bytes());
    bytes.extend(next.to_le_bytes());
    bytes.push(kind);
    bytes.extend(len.to_le_bytes());
    bytes.extend(name);
    bytes
}
