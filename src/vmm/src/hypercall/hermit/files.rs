//! The container's files, as a guest may have them: regular files of its root file system, and
//! nothing of what is mounted there. /proc has the monitor's own memory for a file.

use std::fs::File;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd, RawFd};
use std::path::Path;

use nix::dir::Dir;
use nix::errno::Errno;
use nix::fcntl::{OFlag, OpenHow, ResolveFlag, openat2};
use nix::sys::stat::{FileStat, Mode, SFlag, fstat, mkdirat};
use nix::unistd::{UnlinkatFlags, Whence, lseek64, unlinkat};
use vm_memory::{ReadVolatile, VolatileMemoryError, VolatileSlice, WriteVolatile};

/// What came of a call, where the guest has asked for something that can be answered.
pub(super) type Answer<T> = Result<T, Errno>;

/// How many files a guest may have open.
const MAX_OPEN: usize = 64;
/// How many directories a guest is told of, and the longest of their names: the device tree has
/// little room.
const MAX_DIRS: usize = 32;
const MAX_DIR_NAME: usize = 64;
/// How often a file is looked up where others keep the kernel from it.
const MAX_TRIES: usize = 16;
/// The guest's first descriptor that is a file.
const FIRST: i32 = 3;

/// ALLOWED_OPEN_FLAGS of the interface: the access mode and what goes with it. Linux's numbers.
const FLAGS: OFlag = OFlag::O_ACCMODE
    .union(OFlag::O_CREAT)
    .union(OFlag::O_EXCL)
    .union(OFlag::O_TRUNC)
    .union(OFlag::O_APPEND)
    .union(OFlag::O_DIRECTORY);
/// No file of a guest's making is executed with rights of its owner's.
const MODES: u32 = 0o777;

/// The directory that is the guest's root.
#[derive(Debug)]
pub(crate) struct Root(pub OwnedFd);

impl Root {
    /// The directories in it, as a guest is told of them: at most [`MAX_DIRS`], without those
    /// that every guest has for its own and those with names that no device tree takes.
    pub(crate) fn dirs(&self) -> Vec<String> {
        let flags = OFlag::O_RDONLY | OFlag::O_DIRECTORY;
        let opened = open_at(self.0.as_fd(), b"/", flags, Mode::empty());
        let Ok(mut entries) = opened.and_then(Dir::from_fd) else {
            return Vec::new();
        };
        let names = entries.iter().flatten().filter_map(|entry| {
            let name = entry.file_name().to_str().ok()?.to_owned();
            let is_dir = self.is_dir(&name);
            let is_own = [".", "..", "dev", "proc", "sys", "tmp"].contains(&&*name);
            (is_dir && !is_own && name.len() < MAX_DIR_NAME).then(|| format!("/{name}"))
        });
        let mut names: Vec<String> = names.take(MAX_DIRS).collect();
        names.sort();
        names
    }

    fn is_dir(&self, name: &str) -> bool {
        let found = look(self.0.as_fd(), name.as_bytes(), OFlag::O_NOFOLLOW);
        found.is_ok_and(|stat| {
            SFlag::from_bits_truncate(stat.st_mode) & SFlag::S_IFMT == SFlag::S_IFDIR
        })
    }
}

/// What the guest has open.
pub(crate) struct Files {
    root: Option<Root>,
    open: Vec<Option<File>>,
}

/// `FileAttr` of the interface.
pub(crate) struct Attributes(FileStat);

impl Files {
    pub(crate) fn new(root: Option<Root>) -> Files {
        Files {
            root,
            open: Vec::new(),
        }
    }

    pub(crate) fn descriptors(&self) -> Vec<RawFd> {
        self.root.iter().map(|root| root.0.as_raw_fd()).collect()
    }

    /// Opens a regular file and gives its descriptor.
    pub(crate) fn open(&mut self, path: &[u8], flags: i32, mode: i32) -> Answer<i32> {
        let flags = OFlag::from_bits_truncate(flags) & FLAGS;
        if flags.contains(OFlag::O_DIRECTORY) {
            return Err(Errno::EISDIR);
        }
        let place = self.open.iter().position(Option::is_none);
        let place = place.unwrap_or(self.open.len());
        if place == MAX_OPEN {
            return Err(Errno::EMFILE);
        }
        let root = self.root()?;
        // openat2(2) takes a mode only where a file may be made.
        let mode = match flags.contains(OFlag::O_CREAT) {
            true => Mode::from_bits_truncate(mode.cast_unsigned() & MODES),
            false => Mode::empty(),
        };
        // Looked at before it is opened: to open some devices is to act on them.
        match look(root, path, OFlag::empty()).and_then(check_regular) {
            Err(Errno::ENOENT) if flags.contains(OFlag::O_CREAT) => {}
            looked => looked?,
        }
        let file = File::from(open_at(
            root,
            path,
            flags | OFlag::O_NONBLOCK | OFlag::O_NOCTTY,
            mode,
        )?);
        check_regular(fstat(&file)?)?;
        if place == self.open.len() {
            self.open.push(None);
        }
        self.open[place] = Some(file);
        let place = i32::try_from(place).map_err(|_| Errno::EMFILE)?;
        Ok(FIRST + place)
    }

    pub(crate) fn close(&mut self, fd: i32) -> Answer<()> {
        let place = usize::try_from(fd.wrapping_sub(FIRST)).ok();
        let open = place.and_then(|place| self.open.get_mut(place)?.take());
        open.map(drop).ok_or(Errno::EBADF)
    }

    pub(crate) fn read(&mut self, fd: i32, to: &mut VolatileSlice<'_>) -> Answer<u64> {
        moved(self.file(fd)?.read_volatile(to))
    }

    pub(crate) fn write(&mut self, fd: i32, from: &VolatileSlice<'_>) -> Answer<u64> {
        moved(self.file(fd)?.write_volatile(from))
    }

    /// `whence` as lseek(2) has it: 0, 1 or 2.
    pub(crate) fn seek(&mut self, fd: i32, offset: i64, whence: i32) -> Answer<u64> {
        let whence = match whence {
            0 => Whence::SeekSet,
            1 => Whence::SeekCur,
            2 => Whence::SeekEnd,
            _ => return Err(Errno::EINVAL),
        };
        lseek64(self.file(fd)?, offset, whence).map(i64::cast_unsigned)
    }

    pub(crate) fn stat(&self, path: &[u8], follow: bool) -> Answer<Attributes> {
        let flags = match follow {
            true => OFlag::empty(),
            false => OFlag::O_NOFOLLOW,
        };
        look(self.root()?, path, flags).map(Attributes)
    }

    pub(crate) fn fstat(&mut self, fd: i32) -> Answer<Attributes> {
        fstat(self.file(fd)?).map(Attributes)
    }

    pub(crate) fn unlink(&self, path: &[u8]) -> Answer<()> {
        let (dir, name) = self.parent(path)?;
        unlinkat(&dir, name, UnlinkatFlags::NoRemoveDir)
    }

    pub(crate) fn mkdir(&self, path: &[u8]) -> Answer<()> {
        let (dir, name) = self.parent(path)?;
        mkdirat(&dir, name, Mode::from_bits_truncate(MODES))
    }

    /// The directory that a name lies in, and the name there.
    fn parent<'a>(&self, path: &'a [u8]) -> Answer<(OwnedFd, &'a [u8])> {
        let path = path.strip_suffix(b"/").unwrap_or(path);
        let (dir, name) = match path.iter().rposition(|&byte| byte == b'/') {
            Some(at) => (&path[..=at], &path[at + 1..]),
            None => (&b"/"[..], path),
        };
        if matches!(name, b"" | b"." | b"..") {
            return Err(Errno::EINVAL);
        }
        let flags = OFlag::O_PATH | OFlag::O_DIRECTORY;
        Ok((open_at(self.root()?, dir, flags, Mode::empty())?, name))
    }

    fn root(&self) -> Answer<BorrowedFd<'_>> {
        let root = self.root.as_ref().ok_or(Errno::ENOENT)?;
        Ok(root.0.as_fd())
    }

    fn file(&mut self, fd: i32) -> Answer<&mut File> {
        let place = usize::try_from(fd.wrapping_sub(FIRST)).ok();
        let open = place.and_then(|place| self.open.get_mut(place)?.as_mut());
        open.ok_or(Errno::EBADF)
    }
}

/// Opens what the guest sees at `path`: symbolic links lead nowhere else, and what is mounted
/// is not reached.
fn open_at(root: BorrowedFd<'_>, path: &[u8], flags: OFlag, mode: Mode) -> Answer<OwnedFd> {
    use std::os::unix::ffi::OsStrExt;
    let path = Path::new(std::ffi::OsStr::from_bytes(path));
    let resolve = ResolveFlag::RESOLVE_IN_ROOT
        | ResolveFlag::RESOLVE_NO_XDEV
        | ResolveFlag::RESOLVE_NO_MAGICLINKS;
    let how = OpenHow::new()
        .flags(flags | OFlag::O_CLOEXEC)
        .mode(mode)
        .resolve(resolve);
    // EAGAIN: somebody on this host renamed or mounted something while a `..` was looked up
    // (openat2(2)). The guest did nothing wrong, and a few tries are enough.
    let mut opened = openat2(root, path, how);
    for _ in 1..MAX_TRIES {
        if !matches!(opened, Err(Errno::EAGAIN)) {
            break;
        }
        opened = openat2(root, path, how);
    }
    // What lies elsewhere is not there for a guest.
    opened.map_err(|errno| match errno {
        Errno::EXDEV | Errno::ELOOP | Errno::ENOTDIR => Errno::ENOENT,
        other => other,
    })
}

fn look(root: BorrowedFd<'_>, path: &[u8], flags: OFlag) -> Answer<FileStat> {
    fstat(open_at(root, path, flags | OFlag::O_PATH, Mode::empty())?)
}

fn check_regular(stat: FileStat) -> Answer<()> {
    match SFlag::from_bits_truncate(stat.st_mode) & SFlag::S_IFMT {
        SFlag::S_IFREG => Ok(()),
        SFlag::S_IFDIR => Err(Errno::EISDIR),
        _ => Err(Errno::EPERM),
    }
}

fn moved(result: Result<usize, VolatileMemoryError>) -> Answer<u64> {
    match result {
        Ok(bytes) => Ok(bytes as u64),
        Err(VolatileMemoryError::IOError(e)) => {
            Err(e.raw_os_error().map_or(Errno::EIO, Errno::from_raw))
        }
        Err(_) => Err(Errno::EFAULT),
    }
}

impl Attributes {
    /// As the interface lays them out, which is as C does.
    pub(crate) fn bytes(&self) -> Vec<u8> {
        let stat = &self.0;
        let pair = |low: u32, high: u32| u64::from(low) | u64::from(high) << 32;
        [
            stat.st_dev,
            stat.st_ino,
            stat.st_nlink,
            pair(stat.st_mode, stat.st_uid),
            stat.st_gid.into(),
            stat.st_rdev,
            stat.st_size.cast_unsigned(),
            stat.st_blksize.cast_unsigned(),
            stat.st_blocks.cast_unsigned(),
            stat.st_atime.cast_unsigned(),
            stat.st_atime_nsec.cast_unsigned(),
            stat.st_mtime.cast_unsigned(),
            stat.st_mtime_nsec.cast_unsigned(),
            stat.st_ctime.cast_unsigned(),
            stat.st_ctime_nsec.cast_unsigned(),
        ]
        .iter()
        .flat_map(|word| word.to_le_bytes())
        .collect()
    }
}
