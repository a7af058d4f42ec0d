//! Files of an image, opened beneath its root only.
//!
//! The tree comes from whoever made the image: its symlinks may point
//! anywhere. openat2(2) resolves them as the container would see them, with
//! the rootfs as `/`, so that no name leads out.

use std::fs::File;
use std::io;
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};

use nix::errno::Errno;
use nix::fcntl::{OFlag, OpenHow, ResolveFlag, openat2};
use nix::sys::stat::Mode;

use super::mounts::{self, Mount};

/// An open root file system.
#[derive(Debug)]
pub struct Rootfs(OwnedFd);

/// Why a file of the image cannot be used.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum FileError {
    /// Nothing of that name.
    #[error("no such file or directory in the rootfs")]
    Missing,
    /// A symlink to what is above the root.
    #[error("its symlink leads out of the rootfs")]
    LeadsOut,
    /// More symlinks than the kernel follows.
    #[error("its symlinks form a loop")]
    Loop,
    /// A directory, a FIFO and so on: which, in words.
    #[error("it is a {0}, not a regular file")]
    NotAFile(&'static str),
    /// Of [`Rootfs::open_plain_file`] alone.
    #[error("it is a symlink, where only a file is taken")]
    Symlink,
    /// More than so many bytes, which is the most that its reader takes.
    #[error("it has more than {0} bytes")]
    TooLarge(u64),
    /// It cannot be opened.
    #[error("{}", .0.desc())]
    Open(Errno),
    /// It is open, and cannot be read.
    #[error("{}", io::Error::from(*.0))]
    Io(Errno),
}

impl From<io::Error> for FileError {
    /// An error of reading.
    fn from(error: io::Error) -> Self {
        Self::Io(error.raw_os_error().map_or(Errno::EIO, Errno::from_raw))
    }
}

impl Rootfs {
    /// Opens the directory `path`, for looking up names only.
    ///
    /// # Errors
    /// Those of open(2).
    pub fn open(path: &Path) -> io::Result<Self> {
        let flags = OFlag::O_PATH | OFlag::O_DIRECTORY | OFlag::O_CLOEXEC;
        let fd = nix::fcntl::open(path, flags, Mode::empty())?;
        Ok(Self(fd))
    }

    /// The mount whose root this is; `None` where it is a directory in one.
    ///
    /// # Errors
    /// Where /proc does not say.
    pub fn mount(&self) -> io::Result<Option<Mount>> {
        let place = mounts::path(&self.0)?;
        Ok(Mount::of(&self.0)?.filter(|mount| mount.place == place))
    }

    /// Opens a regular file for reading. `name` is as the container sees it:
    /// absolute or not, it starts at the root.
    ///
    /// # Errors
    /// [`FileError::Missing`] where there is nothing of that name, others where
    /// there is something that is not a regular file beneath the root.
    pub fn open_file(&self, name: &Path) -> Result<File, FileError> {
        self.open_resolved(name, ResolveFlag::RESOLVE_IN_ROOT)
    }

    /// Opens a regular file as [`Rootfs::open_file`] does, but follows no symlink.
    ///
    /// # Errors
    /// Also [`FileError::Symlink`].
    pub fn open_plain_file(&self, name: &Path) -> Result<File, FileError> {
        let resolve = ResolveFlag::RESOLVE_IN_ROOT | ResolveFlag::RESOLVE_NO_SYMLINKS;
        self.open_resolved(name, resolve)
            .map_err(|error| match error {
                FileError::Loop => FileError::Symlink,
                other => other,
            })
    }

    fn open_resolved(&self, name: &Path, resolve: ResolveFlag) -> Result<File, FileError> {
        // A FIFO must not hold us up; the check below refuses it.
        let flags = OFlag::O_RDONLY | OFlag::O_CLOEXEC | OFlag::O_NONBLOCK | OFlag::O_NOCTTY;
        let fd = match self.open_at(name, flags, resolve) {
            Ok(fd) => fd,
            Err(Errno::ENOENT) => return Err(self.missing(name)),
            Err(Errno::ENOTDIR) => return Err(FileError::Missing),
            Err(Errno::ELOOP) => return Err(FileError::Loop),
            Err(errno) => return Err(FileError::Open(errno)),
        };
        let file = File::from(fd);
        let kind = file.metadata()?.file_type();
        if kind.is_file() {
            return Ok(file);
        }
        Err(FileError::NotAFile(if kind.is_dir() {
            "directory"
        } else {
            "special file"
        }))
    }

    /// Tells a name that is not there from one whose symlink leads out.
    fn missing(&self, name: &Path) -> FileError {
        let relative: PathBuf = name.strip_prefix("/").unwrap_or(name).to_owned();
        match self.open_at(&relative, OFlag::O_PATH, ResolveFlag::RESOLVE_BENEATH) {
            Err(Errno::EXDEV) => FileError::LeadsOut,
            _ => FileError::Missing,
        }
    }

    fn open_at(&self, name: &Path, flags: OFlag, resolve: ResolveFlag) -> nix::Result<OwnedFd> {
        let resolve = resolve | ResolveFlag::RESOLVE_NO_MAGICLINKS;
        let how = OpenHow::new()
            .flags(flags | OFlag::O_CLOEXEC)
            .resolve(resolve);
        // EAGAIN: a rename raced with the look-up (openat2(2)); a few tries are enough
        // for honest races and a bound for others.
        for _ in 0..8 {
            match openat2(&self.0, name, how) {
                Err(Errno::EAGAIN) => {}
                other => return other,
            }
        }
        Err(Errno::EAGAIN)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::symlink;

    #[test]
    fn symlinks_are_resolved_inside_and_never_lead_out() {
        let dir = tempfile::tempdir().unwrap();
        let root = dir.path().join("rootfs");
        std::fs::create_dir(&root).unwrap();
        std::fs::write(dir.path().join("secret"), "host").unwrap();
        std::fs::write(root.join("kernel"), "image").unwrap();
        symlink("/kernel", root.join("absolute")).unwrap();
        symlink("../secret", root.join("out")).unwrap();
        symlink(dir.path().join("secret"), root.join("out-absolute")).unwrap();
        symlink("loop", root.join("loop")).unwrap();
        let rootfs = Rootfs::open(&root).unwrap();
        let open = |name: &str| rootfs.open_file(Path::new(name)).map(drop);

        assert_eq!(open("/kernel"), Ok(()));
        assert_eq!(open("absolute"), Ok(()));
        assert_eq!(open("/../../kernel"), Ok(()));
        assert_eq!(open("out"), Err(FileError::LeadsOut));
        assert_eq!(open("/out-absolute"), Err(FileError::LeadsOut));
        assert_eq!(open("loop"), Err(FileError::Loop));
        assert_eq!(open("missing"), Err(FileError::Missing));
        assert_eq!(open("kernel/below"), Err(FileError::Missing));
        assert_eq!(open("/"), Err(FileError::NotAFile("directory")));
    }
}
