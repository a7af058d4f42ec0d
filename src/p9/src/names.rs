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

use super::Server;
use super::attributes::{change_mode, own_mode};
use super::dir::{Dir, Place};
use super::wire::{Reply, Request};

/// `PATH_MAX` less the zero byte.
const MAX_TARGET: usize = 4095;
/// `AT_REMOVEDIR`, as 9P2000.L has it.
const REMOVE_DIR: u32 = 0x200;

impl Server {
    /// `dfid[4] name[s] mode[4] gid[4]`; `qid[13]`.
    pub(super) fn make_dir(
        &mut self,
        request: &mut Request<'_>,
        reply: &mut Reply<'_>,
    ) -> Result<(), Errno> {
        let place = self.new_place(request)?;
        let mode = own_mode(request.u32()?, FileType::Directory)?;
        mkdirat(place.dir.visible()?, &place.name, mode)?;
        if Mode::from_raw_mode(place.stat()?.stx_mode.into()) != mode {
            change_mode(&place, mode)?;
        }
        self.tell(&place, reply)
    }

    /// `fid[4] name[s] symtgt[s] gid[4]`; `qid[13]`.
    pub(super) fn make_symlink(
        &mut self,
        request: &mut Request<'_>,
        reply: &mut Reply<'_>,
    ) -> Result<(), Errno> {
        let place = self.new_place(request)?;
        let target = request.text()?;
        if target.len() > MAX_TARGET {
            return Err(Errno::NAMETOOLONG);
        }
        symlinkat(target, place.dir.visible()?, &place.name)?;
        self.tell(&place, reply)
    }

    /// `dfid[4] name[s] mode[4] major[4] minor[4] gid[4]`; `qid[13]`. Regular files only.
    pub(super) fn make_file(
        &mut self,
        request: &mut Request<'_>,
        reply: &mut Reply<'_>,
    ) -> Result<(), Errno> {
        let place = self.new_place(request)?;
        let bits = request.u32()?;
        match FileType::from_raw_mode(bits) {
            FileType::RegularFile => {}
            _ if bits >> 12 == 0 => {}
            _ => return Err(Errno::PERM),
        }
        let mode = file_mode(bits)?;
        fix_mode(&place.create(OFlags::WRONLY, mode)?, mode)?;
        self.tell(&place, reply)
    }

    /// `dfid[4] fid[4] name[s]`; nothing.
    pub(super) fn link(&mut self, request: &mut Request<'_>) -> Result<(), Errno> {
        let dir = self.fids.dir(request.u32()?)?.clone();
        let old = self.fids.node(request.u32()?)?.place()?;
        let name = request.name()?;
        let (from, to) = (old.dir.visible()?, dir.visible()?);
        linkat(from, &old.name, to, &name, AtFlags::empty())
    }

    /// `fid[4] dfid[4] name[s]`; nothing.
    pub(super) fn rename(&mut self, request: &mut Request<'_>) -> Result<(), Errno> {
        let old = self.fids.node(request.u32()?)?.place()?.clone();
        let dir = self.fids.dir(request.u32()?)?.clone();
        let name = request.name()?;
        self.move_to(&old.dir, &old.name, Place { dir, name })
    }

    /// `olddirfid[4] oldname[s] newdirfid[4] newname[s]`; nothing.
    pub(super) fn rename_at(&mut self, request: &mut Request<'_>) -> Result<(), Errno> {
        let from = self.fids.dir(request.u32()?)?.clone();
        let old = request.name()?;
        let dir = self.fids.dir(request.u32()?)?.clone();
        let name = request.name()?;
        self.move_to(&from, &old, Place { dir, name })
    }

    fn move_to(&mut self, from: &Arc<Dir>, old: &CStr, to: Place) -> Result<(), Errno> {
        renameat(from.visible()?, old, to.dir.visible()?, &to.name)?;
        if !to.is(from, old) {
            self.fids.moved(from, old, &to);
        }
        Ok(())
    }

    /// `dirfd[4] name[s] flags[4]`; nothing.
    pub(super) fn unlink_at(&mut self, request: &mut Request<'_>) -> Result<(), Errno> {
        let dir = self.fids.dir(request.u32()?)?.clone();
        let (name, flags) = (request.name()?, request.u32()?);
        self.unlink(&Place { dir, name }, flags & REMOVE_DIR != 0)
    }

    /// `fid[4]`; nothing. The fid is gone, whether the file is or not.
    pub(super) fn remove(&mut self, request: &mut Request<'_>) -> Result<(), Errno> {
        let node = self.fids.remove(request.u32()?)?.node;
        self.unlink(node.place()?, node.dir.is_some())
    }

    fn unlink(&mut self, place: &Place, is_dir: bool) -> Result<(), Errno> {
        let flags = match is_dir {
            true => AtFlags::REMOVEDIR,
            false => AtFlags::empty(),
        };
        unlinkat(place.dir.visible()?, &place.name, flags)?;
        self.fids.forget(&place.dir, &place.name);
        Ok(())
    }

    /// `fid[4]`; `target[s]`.
    pub(super) fn read_link(
        &mut self,
        request: &mut Request<'_>,
        reply: &mut Reply<'_>,
    ) -> Result<(), Errno> {
        let place = self.fids.node(request.u32()?)?.place()?;
        let target = readlinkat(place.dir.visible()?, &place.name, Vec::new())?;
        reply.text(target.to_bytes());
        Ok(())
    }

    /// A name in a directory, where something is to be made.
    fn new_place(&self, request: &mut Request<'_>) -> Result<Place, Errno> {
        let dir = self.fids.dir(request.u32()?)?.clone();
        let name: CString = request.name()?;
        Ok(Place { dir, name })
    }

    fn tell(&mut self, place: &Place, reply: &mut Reply<'_>) -> Result<(), Errno> {
        let stat = place.stat()?;
        reply.qid(self.qid(&stat));
        Ok(())
    }
}

/// The mode of a new regular file.
pub(crate) fn file_mode(bits: u32) -> Result<Mode, Errno> {
    own_mode(bits, FileType::RegularFile)
}

/// Gives a new file the mode that the client has asked for: it has a file mode creation mask of
/// its own, and this process's is none of its affairs.
pub(crate) fn fix_mode(file: &File, mode: Mode) -> Result<(), Errno> {
    let stat = super::dir::statx_at(file.as_fd(), c"")?;
    match Mode::from_raw_mode(stat.stx_mode.into()) == mode {
        true => Ok(()),
        false => rustix::fs::fchmod(file, mode),
    }
}
