//! A client of the server.

use std::fs::File;
use std::os::fd::OwnedFd;
use std::path::PathBuf;

use nix::fcntl::OFlag;
use nix::sys::stat::Mode;
use tempfile::TempDir;

use crate::message_type;
use crate::server::{MAX_MSIZE, Server};
use crate::wire::Tmessage;

/// The root's fid.
pub(super) const ROOT: u32 = 0;
const RLERROR: u8 = 7;

/// Fields of a message.
#[derive(Default)]
pub(super) struct Fields(pub Vec<u8>);

pub(super) fn fields() -> Fields {
    Fields::default()
}

impl Fields {
    fn with(mut self, bytes: &[u8]) -> Fields {
        self.0.extend(bytes);
        self
    }

    pub(super) fn u8(self, value: u8) -> Fields {
        self.with(&[value])
    }

    pub(super) fn u16(self, value: u16) -> Fields {
        self.with(&value.to_le_bytes())
    }

    pub(super) fn u32(self, value: u32) -> Fields {
        self.with(&value.to_le_bytes())
    }

    pub(super) fn u64(self, value: u64) -> Fields {
        self.with(&value.to_le_bytes())
    }

    pub(super) fn text(self, text: impl AsRef<[u8]>) -> Fields {
        let text = text.as_ref();
        self.u16(text.len() as u16).with(text)
    }

    pub(super) fn data(self, data: &[u8]) -> Fields {
        self.u32(data.len() as u32).with(data)
    }
}

/// An entry of a directory, as a reply has it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Entry {
    pub name: String,
    /// As in readdir(3).
    pub kind: u8,
    pub path: u64,
    pub next: u64,
}

pub(super) struct Client {
    pub server: Server,
    pub dir: TempDir,
}

impl Client {
    /// One that has attached to the root of a new directory.
    pub(super) fn new() -> Client {
        let dir = tempfile::tempdir().unwrap();
        Client::of(dir.path().to_owned(), dir)
    }

    /// One that has attached to another directory.
    pub(super) fn of(root: impl Into<PathBuf>, dir: TempDir) -> Client {
        let mut client = Client::silent(root, dir);
        client.begin(MAX_MSIZE);
        client
    }

    /// One that has not said anything yet.
    pub(super) fn silent(root: impl Into<PathBuf>, dir: TempDir) -> Client {
        let flags = OFlag::O_PATH | OFlag::O_DIRECTORY | OFlag::O_CLOEXEC;
        let root: OwnedFd = nix::fcntl::open(&root.into(), flags, Mode::empty()).unwrap();
        Client {
            server: Server::new(root).unwrap(),
            dir,
        }
    }

    pub(super) fn begin(&mut self, msize: u32) {
        let version = fields().u32(msize).text("9P2000.L");
        self.call(message_type::TVERSION, version).unwrap();
        self.attach("").unwrap();
    }

    pub(super) fn attach(&mut self, tree: &str) -> Result<Vec<u8>, i32> {
        let who = fields().u32(ROOT).u32(u32::MAX).text("root");
        self.call(message_type::TATTACH, who.text(tree).u32(0))
    }

    /// Sends a message; the reply's fields, or its error.
    pub(super) fn call(&mut self, kind: u8, fields: Fields) -> Result<Vec<u8>, i32> {
        let frame = frame(kind, &fields);
        let reply = self.server.handle(&frame, MAX_MSIZE as usize).unwrap();
        open(reply, kind)
    }

    /// Walks by `path`, and gives the new fid if it has come to the end.
    pub(super) fn walk(&mut self, to: u32, path: &str) -> Result<u32, i32> {
        let names: Vec<&str> = path.split('/').filter(|name| !name.is_empty()).collect();
        let mut walk = fields().u32(ROOT).u32(to).u16(names.len() as u16);
        for name in &names {
            walk = walk.text(name);
        }
        let reply = self.call(message_type::TWALK, walk)?;
        match Tmessage(&reply).u16() {
            Ok(count) if usize::from(count) == names.len() => Ok(to),
            _ => Err(super::code(nix::errno::Errno::ENOENT)),
        }
    }

    /// Walks to a file and opens it by Linux's flags.
    pub(super) fn open(&mut self, fid: u32, path: &str, flags: i32) -> Result<u32, i32> {
        self.walk(fid, path)?;
        let flags = flags.cast_unsigned();
        let opened = self.call(message_type::TLOPEN, fields().u32(fid).u32(flags));
        if opened.is_err() {
            self.clunk(fid);
        }
        opened.map(|_| fid)
    }

    /// Makes a file in the root, opened by Linux's flags.
    pub(super) fn create(
        &mut self,
        fid: u32,
        name: &str,
        flags: i32,
        mode: u32,
    ) -> Result<u32, i32> {
        self.walk(fid, "")?;
        let create = fields().u32(fid).text(name).u32(flags.cast_unsigned());
        self.call(message_type::TLCREATE, create.u32(mode).u32(0))
            .map(|_| fid)
    }

    pub(super) fn clunk(&mut self, fid: u32) {
        self.call(message_type::TCLUNK, fields().u32(fid)).unwrap();
    }

    pub(super) fn read(&mut self, fid: u32, offset: u64, count: u32) -> Result<Vec<u8>, i32> {
        let read = fields().u32(fid).u64(offset).u32(count);
        let reply = self.call(message_type::TREAD, read)?;
        Ok(Tmessage(&reply).data().unwrap().to_vec())
    }

    pub(super) fn write(&mut self, fid: u32, offset: u64, data: &[u8]) -> Result<u32, i32> {
        let write = fields().u32(fid).u64(offset).data(data);
        let reply = self.call(message_type::TWRITE, write)?;
        Ok(Tmessage(&reply).u32().unwrap())
    }

    /// The entries of an open directory from `offset` on, as far as they fit into `count` bytes.
    pub(super) fn entries(&mut self, fid: u32, offset: u64, count: u32) -> Result<Vec<Entry>, i32> {
        let read = fields().u32(fid).u64(offset).u32(count);
        let reply = self.call(message_type::TREADDIR, read)?;
        let data = Tmessage(&reply).data().unwrap();
        assert!(data.len() <= count as usize);
        let mut rest = Tmessage(data);
        let mut entries = Vec::new();
        while !rest.0.is_empty() {
            let (_, _, path) = (rest.u8(), rest.u32(), rest.u64().unwrap());
            let (next, kind) = (rest.u64().unwrap(), rest.u8().unwrap());
            let name = String::from_utf8_lossy(rest.string().unwrap()).into_owned();
            entries.push(Entry {
                name,
                kind,
                path,
                next,
            });
        }
        Ok(entries)
    }

    /// `mode`, `size` and the qid's path.
    pub(super) fn attributes(&mut self, fid: u32) -> Result<(u32, u64, u64), i32> {
        let reply = self.call(message_type::TGETATTR, fields().u32(fid).u64(0x7ff))?;
        let mut rest = Tmessage(&reply);
        let (_valid, _kind, _version) = (rest.u64(), rest.u8(), rest.u32());
        let (path, mode) = (rest.u64().unwrap(), rest.u32().unwrap());
        let (_uid, _gid, _links, _device) = (rest.u32(), rest.u32(), rest.u64(), rest.u64());
        Ok((mode, rest.u64().unwrap(), path))
    }

    pub(super) fn remove(&mut self, fid: u32) -> Result<Vec<u8>, i32> {
        self.call(message_type::TREMOVE, fields().u32(fid))
    }

    /// A file beneath the root, by the host.
    pub(super) fn host(&self, name: &str) -> std::path::PathBuf {
        self.dir.path().join(name)
    }

    pub(super) fn make(&self, name: &str, content: &str) -> File {
        std::fs::write(self.host(name), content).unwrap();
        File::open(self.host(name)).unwrap()
    }

    pub(super) fn content(&self, name: &str) -> String {
        std::fs::read_to_string(self.host(name)).unwrap()
    }
}

/// A whole frame, with a tag that the reply must have.
pub(super) fn frame(kind: u8, fields: &Fields) -> Vec<u8> {
    let size = (7 + fields.0.len()) as u32;
    let mut frame = size.to_le_bytes().to_vec();
    frame.extend([kind, 0x34, 0x12]);
    frame.extend(&fields.0);
    frame
}

/// The fields of a reply, or its error.
pub(super) fn open(reply: &[u8], kind: u8) -> Result<Vec<u8>, i32> {
    let mut rest = Tmessage(reply);
    assert_eq!(rest.u32().unwrap() as usize, reply.len());
    let answered = rest.u8().unwrap();
    assert_eq!(rest.u16().unwrap(), 0x1234);
    match answered {
        RLERROR => Err(rest.u32().unwrap().cast_signed()),
        _ => {
            assert_eq!(answered, kind + 1);
            Ok(rest.0.to_vec())
        }
    }
}
