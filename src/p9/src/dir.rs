//! Directories and the files in them, looked up one name at a time and never through a symbolic
//! link.
//!
//! There is no way back from an open path to the file itself without /proc, which the monitor
//! must not use: a file is known by its directory and its name there.

use std::ffi::{CStr, CString};
use std::fs::File;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::sync::Arc;

use rustix::fs::{
    AtFlags, FileType, Mode, OFlags, ResolveFlags, Statx, StatxFlags, fstatfs, openat2, statx,
};
use rustix::io::Errno;

/// A directory of the tree, open as a path.
pub(crate) struct Dir {
    fd: OwnedFd,
    /// Its device and inode.
    pub id: (u64, u64),
    /// It belongs to one of the kernel's own file systems, and shows nothing.
    pub is_hidden: bool,
}

/// Where a file lies.
#[derive(Clone)]
pub(crate) struct DirEntry {
    pub dir: Arc<Dir>,
    pub name: CString,
}

/// A file of any kind that was found.
pub(crate) struct Lookup {
    pub stat: Statx,
    /// What is in it, if it is a directory.
    pub dir: Option<Arc<Dir>>,
    /// It belongs to one of the kernel's own file systems.
    pub is_kernel_fs: bool,
}

const LOOKUP: OFlags = OFlags::PATH.union(OFlags::NOFOLLOW);
/// So that to open waits for nobody, a FIFO's other end or a terminal.
const WITHOUT_EFFECT: OFlags = OFlags::NOFOLLOW
    .union(OFlags::NONBLOCK)
    .union(OFlags::NOCTTY);

impl Dir {
    /// The root of a tree, from a descriptor of a directory.
    ///
    /// # Errors
    /// Those of statx(2).
    pub(crate) fn root(fd: OwnedFd) -> Result<Dir, Errno> {
        let stat = statx_at(fd.as_fd(), c"")?;
        let id = (device(&stat), stat.stx_ino);
        let is_hidden = is_kernel_fs(fd.as_fd())?;
        Ok(Dir { fd, id, is_hidden })
    }

    pub(crate) fn fd(&self) -> BorrowedFd<'_> {
        self.fd.as_fd()
    }

    /// The directory as one that files may be looked up in, made and removed.
    ///
    /// # Errors
    /// EACCES for a hidden one.
    pub(crate) fn visible(&self) -> Result<BorrowedFd<'_>, Errno> {
        match self.is_hidden {
            true => Err(Errno::ACCESS),
            false => Ok(self.fd()),
        }
    }

    /// Looks a name up.
    ///
    /// # Errors
    /// ENOENT also for whatever is in a hidden directory.
    pub(crate) fn lookup(&self, name: &CStr) -> Result<Lookup, Errno> {
        let within = self.visible().map_err(|_| Errno::NOENT)?;
        let fd = open_at(within, name, LOOKUP, Mode::empty())?;
        let stat = statx_at(fd.as_fd(), c"")?;
        let id = (device(&stat), stat.stx_ino);
        // What is of the same file system as this directory is not, or the directory were hidden.
        let is_kernel_fs = id.0 != self.id.0 && is_kernel_fs(fd.as_fd())?;
        let is_dir = file_type(&stat) == FileType::Directory;
        let dir = is_dir.then(|| {
            let is_hidden = is_kernel_fs;
            Arc::new(Dir { fd, id, is_hidden })
        });
        Ok(Lookup {
            stat,
            dir,
            is_kernel_fs,
        })
    }

    /// Opens the directory itself, to read its entries.
    pub(crate) fn open(&self) -> Result<OwnedFd, Errno> {
        let flags = OFlags::RDONLY | OFlags::DIRECTORY;
        open_at(self.visible()?, c".", flags, Mode::empty())
    }
}

impl DirEntry {
    /// Opens a regular file that is there, by `flags` that make and cut none.
    ///
    /// # Errors
    /// EISDIR and ELOOP for a directory and a symbolic link. EACCES for what is never opened:
    /// device nodes, sockets, FIFOs, and the files of the kernel's own file systems.
    pub(crate) fn open(&self, flags: OFlags) -> Result<File, Errno> {
        let within = self.dir.visible()?;
        // Looked at before it is opened: to open some devices is to act on them.
        check_regular(open_at(within, &self.name, LOOKUP, Mode::empty())?.as_fd())?;
        let file = open_at(within, &self.name, flags | WITHOUT_EFFECT, Mode::empty())?;
        // Somebody else may have put another file in its entry.
        check_regular(file.as_fd())?;
        Ok(file.into())
    }

    /// Makes a regular file that is not there yet.
    pub(crate) fn create(&self, flags: OFlags, mode: Mode) -> Result<File, Errno> {
        let flags = flags | WITHOUT_EFFECT | OFlags::CREATE | OFlags::EXCL;
        Ok(open_at(self.dir.visible()?, &self.name, flags, mode)?.into())
    }

    pub(crate) fn stat(&self) -> Result<Statx, Errno> {
        statx_at(self.dir.fd(), &self.name)
    }

    /// Whether it is this name in this directory.
    pub(crate) fn is(&self, dir: &Dir, name: &CStr) -> bool {
        self.dir.id == dir.id && *self.name == *name
    }
}

/// Opens `name`, one name or `.`, in a directory. What is mounted there is what is opened.
fn open_at(
    within: BorrowedFd<'_>,
    name: &CStr,
    flags: OFlags,
    mode: Mode,
) -> Result<OwnedFd, Errno> {
    let resolve = ResolveFlags::BENEATH | ResolveFlags::NO_SYMLINKS | ResolveFlags::NO_MAGICLINKS;
    // EAGAIN: a rename raced with the look-up (openat2(2)).
    for _ in 0..8 {
        match openat2(within, name, flags | OFlags::CLOEXEC, mode, resolve) {
            Err(Errno::AGAIN) => {}
            other => return other,
        }
    }
    Err(Errno::AGAIN)
}

/// The attributes of `name` in a directory, or of the open file itself where the name is empty.
pub(crate) fn statx_at(fd: BorrowedFd<'_>, name: &CStr) -> Result<Statx, Errno> {
    let flags = AtFlags::EMPTY_PATH | AtFlags::SYMLINK_NOFOLLOW | AtFlags::NO_AUTOMOUNT;
    let mask = StatxFlags::BASIC_STATS | StatxFlags::BTIME;
    statx(fd, name, flags, mask)
}

pub(crate) fn file_type(stat: &Statx) -> FileType {
    FileType::from_raw_mode(stat.stx_mode.into())
}

/// The file system that a file is in, as one number.
pub(crate) fn device(stat: &Statx) -> u64 {
    u64::from(stat.stx_dev_major) << 32 | u64::from(stat.stx_dev_minor)
}

fn check_regular(fd: BorrowedFd<'_>) -> Result<(), Errno> {
    match file_type(&statx_at(fd, c"")?) {
        FileType::RegularFile if is_kernel_fs(fd)? => Err(Errno::ACCESS),
        FileType::RegularFile => Ok(()),
        FileType::Directory => Err(Errno::ISDIR),
        FileType::Symlink => Err(Errno::LOOP),
        _ => Err(Errno::ACCESS),
    }
}

/// The kernel's own file systems: what is read and written there is the kernel's state, and in
/// procfs the monitor's memory.
///
/// Source: Linux 6.12, include/uapi/linux/magic.h, and where each `s_magic` is set.
const KERNEL_FS_MAGIC: [u32; 25] = [
    0x9fa0,      // proc
    0x6265_6572, // sysfs
    0x1cd1,      // devpts
    0x0027_e0eb, // cgroup
    0x6367_7270, // cgroup2
    0x1980_0202, // mqueue
    0x6462_6720, // debugfs
    0x7472_6163, // tracefs
    0x7363_6673, // securityfs
    0xf97c_ff8c, // selinuxfs
    0x4341_5d53, // smackfs
    0x5a3c_69f0, // apparmorfs
    0xcafe_4a11, // bpf
    0x6165_676c, // pstore
    0xde5e_81e4, // efivarfs
    0x4249_4e4d, // binfmt_misc
    0x6265_6570, // configfs
    0x6573_5543, // fusectl
    0x0765_5821, // resctrl
    0x6e73_6673, // nsfs
    0x5049_4446, // pidfs
    0x6759_6969, // rpc_pipefs
    0x6e66_7364, // nfsd
    0x6c6f_6f70, // binderfs
    0xabba_1974, // xenfs
];

/// Whether a file is in one of the kernel's own file systems.
///
/// # Errors
/// Those of fstatfs(2).
pub fn is_kernel_fs(fd: BorrowedFd<'_>) -> Result<bool, Errno> {
    // The magic numbers have 32 bits.
    let magic = (fstatfs(fd)?.f_type.cast_unsigned() & 0xffff_ffff) as u32;
    Ok(KERNEL_FS_MAGIC.contains(&magic))
}
