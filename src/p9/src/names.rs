//! Tmkdir, Tsymlink, Tmknod, Tlink, Trename, Trenameat, Tunlinkat, Tremove, Treadlink.
//!
//! What is made belongs to this process's user and group, whatever the client says.

use std::ffi::{CStr, CString};
use std::fs::File;
use std::os::fd::AsFd;
use std::sync::Arc;

use rustix::fs::{
    AtFlags, FileType, Mode, OFlags, linkat, mkdirat, readlinkat, renameat, symlinkat, unlinkat,
};
use rustix::io::Errno;

use super::attributes::{change_mode, checked_mode};
use super::dir::{Dir, DirEntry};
use super::server::Server;
use super::wire::{Rmessage, Tmessage};

/// `PATH_MAX` less the zero byte.
const MAX_TARGET: usize = 4095;
/// `AT_REMOVEDIR`, as 9P2000.L has it.
const REMOVE_DIR: u32 = 0x200;

impl Server {
    /// `dfid[4] name[s] mode[4] gid[4]`; `qid[13]`.
    pub(super) fn mkdir(
        &mut self,
        request: &mut Tmessage<'_>,
        reply: &mut Rmessage<'_>,
    ) -> Result<(), Errno> {
        let entry = self.new_entry(request)?;
        let mode = checked_mode(request.u32()?, FileType::Directory)?;
        mkdirat(entry.dir.visible()?, &entry.name, mode)?;
        if Mode::from_raw_mode(entry.stat()?.stx_mode.into()) != mode {
            change_mode(&entry, mode)?;
        }
        self.write_qid(&entry, reply)
    }

    /// `fid[4] name[s] symtgt[s] gid[4]`; `qid[13]`.
    pub(super) fn symlink(
        &mut self,
        request: &mut Tmessage<'_>,
        reply: &mut Rmessage<'_>,
    ) -> Result<(), Errno> {
        let entry = self.new_entry(request)?;
        let target = request.string()?;
        if target.len() > MAX_TARGET {
            return Err(Errno::NAMETOOLONG);
        }
        symlinkat(target, entry.dir.visible()?, &entry.name)?;
        self.write_qid(&entry, reply)
    }

    /// `dfid[4] name[s] mode[4] major[4] minor[4] gid[4]`; `qid[13]`. Regular files only.
    pub(super) fn mknod(
        &mut self,
        request: &mut Tmessage<'_>,
        reply: &mut Rmessage<'_>,
    ) -> Result<(), Errno> {
        let entry = self.new_entry(request)?;
        let bits = request.u32()?;
        match FileType::from_raw_mode(bits) {
            FileType::RegularFile => {}
            _ if bits >> 12 == 0 => {}
            _ => return Err(Errno::PERM),
        }
        let mode = file_mode(bits)?;
        apply_mode(&entry.create(OFlags::WRONLY, mode)?, mode)?;
        self.write_qid(&entry, reply)
    }

    /// `dfid[4] fid[4] name[s]`; nothing.
    pub(super) fn link(&mut self, request: &mut Tmessage<'_>) -> Result<(), Errno> {
        let dir = self.fids.dir(request.u32()?)?.clone();
        let old = self.fids.node(request.u32()?)?.entry()?;
        let name = request.name()?;
        let (from, to) = (old.dir.visible()?, dir.visible()?);
        linkat(from, &old.name, to, &name, AtFlags::empty())
    }

    /// `fid[4] dfid[4] name[s]`; nothing.
    pub(super) fn rename(&mut self, request: &mut Tmessage<'_>) -> Result<(), Errno> {
        let old = self.fids.node(request.u32()?)?.entry()?.clone();
        let dir = self.fids.dir(request.u32()?)?.clone();
        let name = request.name()?;
        self.move_to(&old.dir, &old.name, DirEntry { dir, name })
    }

    /// `olddirfid[4] oldname[s] newdirfid[4] newname[s]`; nothing.
    pub(super) fn renameat(&mut self, request: &mut Tmessage<'_>) -> Result<(), Errno> {
        let from = self.fids.dir(request.u32()?)?.clone();
        let old = request.name()?;
        let dir = self.fids.dir(request.u32()?)?.clone();
        let name = request.name()?;
        self.move_to(&from, &old, DirEntry { dir, name })
    }

    fn move_to(&mut self, from: &Arc<Dir>, old: &CStr, to: DirEntry) -> Result<(), Errno> {
        renameat(from.visible()?, old, to.dir.visible()?, &to.name)?;
        if !to.is(from, old) {
            self.fids.renamed(from, old, &to);
        }
        Ok(())
    }

    /// `dirfd[4] name[s] flags[4]`; nothing.
    pub(super) fn unlinkat(&mut self, request: &mut Tmessage<'_>) -> Result<(), Errno> {
        let dir = self.fids.dir(request.u32()?)?.clone();
        let (name, flags) = (request.name()?, request.u32()?);
        self.unlink(&DirEntry { dir, name }, flags & REMOVE_DIR != 0)
    }

    /// `fid[4]`; nothing. The fid is gone, whether the file is or not.
    pub(super) fn remove(&mut self, request: &mut Tmessage<'_>) -> Result<(), Errno> {
        let node = self.fids.remove(request.u32()?)?.node;
        self.unlink(node.entry()?, node.dir.is_some())
    }

    fn unlink(&mut self, entry: &DirEntry, is_dir: bool) -> Result<(), Errno> {
        let flags = match is_dir {
            true => AtFlags::REMOVEDIR,
            false => AtFlags::empty(),
        };
        unlinkat(entry.dir.visible()?, &entry.name, flags)?;
        self.fids.unlinked(&entry.dir, &entry.name);
        Ok(())
    }

    /// `fid[4]`; `target[s]`.
    pub(super) fn readlink(
        &mut self,
        request: &mut Tmessage<'_>,
        reply: &mut Rmessage<'_>,
    ) -> Result<(), Errno> {
        let entry = self.fids.node(request.u32()?)?.entry()?;
        let target = readlinkat(entry.dir.visible()?, &entry.name, Vec::new())?;
        reply.string(target.to_bytes());
        Ok(())
    }

    /// A name in a directory, where something is to be made.
    fn new_entry(&self, request: &mut Tmessage<'_>) -> Result<DirEntry, Errno> {
        let dir = self.fids.dir(request.u32()?)?.clone();
        let name: CString = request.name()?;
        Ok(DirEntry { dir, name })
    }

    fn write_qid(&mut self, entry: &DirEntry, reply: &mut Rmessage<'_>) -> Result<(), Errno> {
        let stat = entry.stat()?;
        reply.qid(self.qid(&stat));
        Ok(())
    }
}

/// The mode of a new regular file.
pub(crate) fn file_mode(bits: u32) -> Result<Mode, Errno> {
    checked_mode(bits, FileType::RegularFile)
}

/// Gives a new file the mode that the client has asked for: it has a file mode creation mask of
/// its own, and this process's is none of its affairs.
pub(crate) fn apply_mode(file: &File, mode: Mode) -> Result<(), Errno> {
    let stat = super::dir::statx_at(file.as_fd(), c"")?;
    match Mode::from_raw_mode(stat.stx_mode.into()) == mode {
        true => Ok(()),
        false => rustix::fs::fchmod(file, mode),
    }
}
