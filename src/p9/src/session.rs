//! Tversion, Tattach, Twalk.

use rustix::io::Errno;

use super::dir::{DirEntry, statx_at};
use super::fids::Node;
use super::server::{MAX_MSIZE, MIN_MSIZE, Server};
use super::wire::{Qid, Rmessage, Tmessage};

const VERSION: &[u8] = b"9P2000.L";
/// The fid that means none.
const NO_FID: u32 = u32::MAX;
/// `MAXWELEM`: the most names in a walk.
const MAX_NAMES: u16 = 16;

impl Server {
    /// `msize[4] version[s]`; the same. The session begins anew.
    pub(super) fn version(
        &mut self,
        request: &mut Tmessage<'_>,
        reply: &mut Rmessage<'_>,
    ) -> Result<(), Errno> {
        let (proposed, version) = (request.u32()?, request.string()?);
        self.reset();
        if proposed < MIN_MSIZE {
            return Err(Errno::MSGSIZE);
        }
        let agreed = proposed.min(MAX_MSIZE);
        reply.u32(agreed);
        if version == VERSION {
            self.msize = agreed;
            reply.string(VERSION);
        } else {
            reply.string(b"unknown");
        }
        Ok(())
    }

    /// `fid[4] afid[4] uname[s] aname[s] n_uname[4]`; `qid[13]`. Whoever the user is said to be,
    /// what may be done is what this process may do.
    pub(super) fn attach(
        &mut self,
        request: &mut Tmessage<'_>,
        reply: &mut Rmessage<'_>,
    ) -> Result<(), Errno> {
        let (fid, authentication) = (request.u32()?, request.u32()?);
        let (_user, tree) = (request.string()?, request.string()?);
        if authentication != NO_FID {
            return Err(Errno::INVAL);
        }
        // There is one tree.
        if !matches!(tree, b"" | b"/") {
            return Err(Errno::NOENT);
        }
        if fid == NO_FID || self.fids.contains(fid) {
            return Err(Errno::BADF);
        }
        let stat = statx_at(self.root.fd(), c"")?;
        let entry = DirEntry {
            dir: self.root.clone(),
            name: c".".to_owned(),
        };
        let root = Node {
            entry: Some(entry),
            dir: Some(self.root.clone()),
            is_kernel_fs: self.root.is_hidden,
        };
        self.fids.insert(fid, root)?;
        reply.qid(self.qid(&stat));
        Ok(())
    }

    /// `fid[4] newfid[4] nwname[2] nwname*(wname[s])`; `nwqid[2] nwqid*(qid[13])`. A walk that
    /// ends early says how far it has come, and makes no new fid.
    pub(super) fn walk(
        &mut self,
        request: &mut Tmessage<'_>,
        reply: &mut Rmessage<'_>,
    ) -> Result<(), Errno> {
        let (from, to, count) = (request.u32()?, request.u32()?, request.u16()?);
        if count > MAX_NAMES {
            return Err(Errno::INVAL);
        }
        let fid = self.fids.get(from)?;
        let is_free = from == to && fid.open.is_none() || !self.fids.contains(to);
        if !is_free || to == NO_FID {
            return Err(Errno::BADF);
        }
        let mut node = fid.node.clone();
        let mut names = Vec::new();
        for _ in 0..count {
            names.push(request.name()?);
        }
        let mut qids: Vec<Qid> = Vec::new();
        for name in names {
            match self.walk_one(node.clone(), name) {
                Ok((found, qid)) => {
                    node = found;
                    qids.push(qid);
                }
                Err(errno) if qids.is_empty() => return Err(errno),
                Err(_) => break,
            }
        }
        if qids.len() == usize::from(count) {
            self.fids.insert(to, node)?;
        }
        // No more than MAX_NAMES.
        reply.u16(u16::try_from(qids.len()).map_err(|_| Errno::INVAL)?);
        qids.into_iter().for_each(|qid| reply.qid(qid));
        Ok(())
    }

    fn walk_one(&mut self, from: Node, name: std::ffi::CString) -> Result<(Node, Qid), Errno> {
        let dir = from.dir()?.clone();
        let found = dir.lookup(&name)?;
        let node = Node {
            entry: Some(DirEntry { dir, name }),
            dir: found.dir,
            is_kernel_fs: found.is_kernel_fs,
        };
        Ok((node, self.qid(&found.stat)))
    }
}
