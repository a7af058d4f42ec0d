//! Tgetattr, Tsetattr, Tstatfs.

use std::fs::File;
use std::os::fd::{AsFd, OwnedFd};

use rustix::fs::{
    AtFlags, FileType, Gid, Mode, OFlags, Timespec, Timestamps, UTIME_NOW, UTIME_OMIT, Uid,
    chmodat, chownat, fchmod, fchown, fstatfs, ftruncate, futimens, utimensat,
};
use rustix::fs::{Statx, StatxTimestamp};
use rustix::io::Errno;

use super::dir::{DirEntry, file_type, statx_at};
use super::fids::{Fid, Open};
use super::server::Server;
use super::wire::{Rmessage, Tmessage};

/// `P9_GETATTR_BASIC` and `P9_GETATTR_BTIME`: all but a generation and a data version.
const KNOWN: u64 = 0x7ff | 0x800;
/// `V9FS_MAGIC`: what a file system of this kind is known by.
const FILE_SYSTEM: u32 = 0x0102_1997;

/// `P9_SETATTR_…`: which of the attributes to set.
mod set {
    pub(super) const MODE: u32 = 0x1;
    pub(super) const UID: u32 = 0x2;
    pub(super) const GID: u32 = 0x4;
    pub(super) const SIZE: u32 = 0x8;
    pub(super) const ATIME: u32 = 0x10;
    pub(super) const MTIME: u32 = 0x20;
    /// To what is given; without it, to the time that it is.
    pub(super) const ATIME_GIVEN: u32 = 0x80;
    pub(super) const MTIME_GIVEN: u32 = 0x100;
}

/// Attributes to be set.
struct SetAttr {
    which: u32,
    mode: u32,
    uid: u32,
    gid: u32,
    size: u64,
    atime: (u64, u64),
    mtime: (u64, u64),
}

impl Server {
    /// `fid[4] request_mask[8]`; `valid[8] qid[13] mode[4] uid[4] gid[4] nlink[8] rdev[8]
    /// size[8] blksize[8] blocks[8]`, four times `seconds[8] nanoseconds[8]` (of access, of
    /// modification, of change, of birth), `gen[8] data_version[8]`.
    pub(super) fn getattr(
        &mut self,
        request: &mut Tmessage<'_>,
        reply: &mut Rmessage<'_>,
    ) -> Result<(), Errno> {
        let (fid, mask) = (request.u32()?, request.u64()?);
        let stat = stat(self.fids.get(fid)?)?;
        reply.u64(mask & KNOWN);
        reply.qid(self.qid(&stat));
        reply.u32(stat.stx_mode.into());
        reply.u32(stat.stx_uid);
        reply.u32(stat.stx_gid);
        reply.u64(stat.stx_nlink.into());
        reply.u64(device_number(stat.stx_rdev_major, stat.stx_rdev_minor));
        reply.u64(stat.stx_size);
        reply.u64(stat.stx_blksize.into());
        reply.u64(stat.stx_blocks);
        for time in [
            stat.stx_atime,
            stat.stx_mtime,
            stat.stx_ctime,
            stat.stx_btime,
        ] {
            let StatxTimestamp {
                tv_sec, tv_nsec, ..
            } = time;
            reply.u64(tv_sec.cast_unsigned());
            reply.u64(tv_nsec.into());
        }
        reply.u64(0);
        reply.u64(0);
        Ok(())
    }

    /// `fid[4] valid[4] mode[4] uid[4] gid[4] size[8] atime_sec[8] atime_nsec[8] mtime_sec[8]
    /// mtime_nsec[8]`; nothing.
    pub(super) fn setattr(&mut self, request: &mut Tmessage<'_>) -> Result<(), Errno> {
        let fid = request.u32()?;
        let attributes = SetAttr {
            which: request.u32()?,
            mode: request.u32()?,
            uid: request.u32()?,
            gid: request.u32()?,
            size: request.u64()?,
            atime: (request.u64()?, request.u64()?),
            mtime: (request.u64()?, request.u64()?),
        };
        attributes.set(self.fids.get(fid)?)
    }

    /// `fid[4]`; `type[4] bsize[4] blocks[8] bfree[8] bavail[8] files[8] ffree[8] fsid[8]
    /// namelen[4]`.
    pub(super) fn statfs(
        &mut self,
        request: &mut Tmessage<'_>,
        reply: &mut Rmessage<'_>,
    ) -> Result<(), Errno> {
        let fid = self.fids.get(request.u32()?)?;
        let stat = match (&fid.open, &fid.node.dir) {
            (Some(Open::File(file)), _) => fstatfs(file)?,
            (_, Some(dir)) => fstatfs(dir.fd())?,
            (_, None) => fstatfs(fid.node.entry()?.dir.fd())?,
        };
        reply.u32(FILE_SYSTEM);
        let u32_of = |number: i64| u32::try_from(number).map_err(|_| Errno::OVERFLOW);
        reply.u32(u32_of(stat.f_bsize)?);
        reply.u64(stat.f_blocks);
        reply.u64(stat.f_bfree);
        reply.u64(stat.f_bavail);
        reply.u64(stat.f_files);
        reply.u64(stat.f_ffree);
        reply.u64(0);
        reply.u32(u32_of(stat.f_namelen)?);
        Ok(())
    }
}

fn stat(fid: &Fid) -> Result<Statx, Errno> {
    match (&fid.open, &fid.node.dir) {
        (Some(Open::File(file)), _) => statx_at(file.as_fd(), c""),
        (_, Some(dir)) => statx_at(dir.fd(), c""),
        (_, None) => fid.node.entry()?.stat(),
    }
}

/// What is to be changed: an open file, or else what lies at a entry.
struct Target<'a> {
    file: Option<&'a File>,
    entry: Result<&'a DirEntry, Errno>,
}

impl<'a> Target<'a> {
    fn of(fid: &'a Fid) -> Target<'a> {
        let entry = match fid.node.is_kernel_fs {
            true => Err(Errno::ACCESS),
            false => fid.node.entry(),
        };
        Target {
            file: match &fid.open {
                Some(Open::File(file)) => Some(file),
                _ => None,
            },
            entry,
        }
    }
}

impl SetAttr {
    fn has(&self, bits: u32) -> bool {
        self.which & bits != 0
    }

    fn set(&self, fid: &Fid) -> Result<(), Errno> {
        let target = Target::of(fid);
        if self.has(set::UID | set::GID) {
            self.set_owner(&target)?;
        }
        if self.has(set::MODE) {
            let mode = checked_mode(self.mode, file_type(&stat(fid)?))?;
            match target.file {
                Some(file) => fchmod(file, mode)?,
                None => change_mode(target.entry?, mode)?,
            }
        }
        if self.has(set::SIZE) {
            self.set_size(&target)?;
        }
        if self.has(set::ATIME | set::MTIME) {
            self.set_times(&target)?;
        }
        Ok(())
    }

    fn set_owner(&self, target: &Target<'_>) -> Result<(), Errno> {
        let id = |bit, id| match self.has(bit) {
            // To chown(2) it means none.
            true if id == u32::MAX => Err(Errno::INVAL),
            true => Ok(Some(id)),
            false => Ok(None),
        };
        let uid = id(set::UID, self.uid)?.map(Uid::from_raw);
        let gid = id(set::GID, self.gid)?.map(Gid::from_raw);
        match target.file {
            Some(file) => fchown(file, uid, gid),
            None => {
                let DirEntry { dir, name } = target.entry?;
                chownat(dir.fd(), name, uid, gid, AtFlags::SYMLINK_NOFOLLOW)
            }
        }
    }

    fn set_size(&self, target: &Target<'_>) -> Result<(), Errno> {
        match target.file.map(|file| ftruncate(file, self.size)) {
            // It is not open for writing.
            None | Some(Err(Errno::INVAL | Errno::BADF)) => {
                ftruncate(target.entry?.open(OFlags::WRONLY)?, self.size)
            }
            Some(done) => done,
        }
    }

    fn set_times(&self, target: &Target<'_>) -> Result<(), Errno> {
        let times = Timestamps {
            last_access: self.time(set::ATIME, set::ATIME_GIVEN, self.atime),
            last_modification: self.time(set::MTIME, set::MTIME_GIVEN, self.mtime),
        };
        match target.file {
            Some(file) => futimens(file, &times),
            None => {
                let DirEntry { dir, name } = target.entry?;
                utimensat(dir.fd(), name, &times, AtFlags::SYMLINK_NOFOLLOW)
            }
        }
    }

    fn time(&self, set: u32, given: u32, (seconds, nanoseconds): (u64, u64)) -> Timespec {
        let (tv_sec, tv_nsec) = match (self.has(set), self.has(given)) {
            (false, _) => (0, UTIME_OMIT),
            (true, false) => (0, UTIME_NOW),
            // What is no such number utimensat(2) refuses; its two words for other things are
            // the client's to use.
            (true, true) => (seconds.cast_signed(), nanoseconds.cast_signed()),
        };
        Timespec { tv_sec, tv_nsec }
    }
}

/// The mode that a client asks for, of a file of this kind.
///
/// # Errors
/// EPERM for what would run with its owner's rights for whoever executes it: the client is a
/// guest, and they would be others on this host.
pub(crate) fn checked_mode(bits: u32, kind: FileType) -> Result<Mode, Errno> {
    let mode = Mode::from_raw_mode(bits & 0o7777);
    let refused = match kind {
        FileType::Directory => Mode::SUID,
        _ => Mode::SUID | Mode::SGID,
    };
    match mode.intersects(refused) {
        true => Err(Errno::PERM),
        false => Ok(mode),
    }
}

/// Changes the mode of what lies at a entry, but of no symbolic link.
///
/// A file that cannot be opened has no descriptor by which its mode could be changed, and
/// chmod(2) follows links: one that somebody else puts there at this very moment would be
/// followed, to a file that the client might change as well.
pub(crate) fn change_mode(entry: &DirEntry, mode: Mode) -> Result<(), Errno> {
    let opened = match entry.dir.lookup(&entry.name)?.dir {
        Some(dir) => dir.open(),
        None => entry.open(OFlags::RDONLY).map(OwnedFd::from),
    };
    match opened {
        Ok(fd) => fchmod(fd, mode),
        Err(Errno::LOOP) => Err(Errno::OPNOTSUPP),
        Err(Errno::ACCESS) => chmodat(entry.dir.visible()?, &entry.name, mode, AtFlags::empty()),
        Err(errno) => Err(errno),
    }
}

/// A device's number as Linux hands it to programs (include/linux/kdev_t.h, `new_encode_dev`).
fn device_number(major: u32, minor: u32) -> u64 {
    let (major, minor) = (u64::from(major), u64::from(minor));
    minor & 0xff | major << 8 | (minor & !0xff) << 12
}
