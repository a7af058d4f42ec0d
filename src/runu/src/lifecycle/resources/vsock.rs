//! The socket at which a guest's neighbours ask for its ports: made by `create`, gone with the
//! guest, or by `delete` where its monitor could not take it along.
//!
//! It lies in the container's own tree, and its monitor makes it there as the container's user.

use std::ffi::OsStr;
use std::fs::{self, File};
use std::io::{self, ErrorKind};
use std::os::fd::{AsRawFd, OwnedFd};
use std::os::unix::fs::{FileTypeExt, MetadataExt, OpenOptionsExt};
use std::os::unix::net::UnixListener;
use std::path::{Path, PathBuf};

use nix::errno::Errno;
use nix::fcntl::{OFlag, OpenHow, ResolveFlag, openat2};
use nix::libc::O_PATH;
use nix::sys::socket::{AddressFamily, SockFlag, SockType, UnixAddr, connect, socket};
use nix::sys::stat::{Mode, umask};

use crate::lifecycle::effective_config;
use crate::lifecycle::resources::error::ResourceError;
use crate::lifecycle::resources::resource::Resource;
use crate::lifecycle::store::entry::Entry;
use crate::lifecycle::store::record::Record;
use vmm::Vsock;

/// Whoever reaches its directory may connect: a sidecar seldom has the guest's user.
const SOCKET_UMASK: Mode = Mode::from_bits_truncate(0o111);

/// Why a guest cannot have its socket.
#[derive(Debug, thiserror::Error)]
pub(in crate::lifecycle) enum VsockError {
    #[error(
        "the guest's socket {}: somebody listens there: give each container a path of its own by annotation runu.dev/vsock.<container>",
        path.display()
    )]
    InUse { path: PathBuf },
    #[error(
        "the guest's socket {}: something is there that is no socket: remove it, or name another path",
        path.display()
    )]
    NoSocket { path: PathBuf },
    #[error("the guest's socket {}: {cure}", path.display())]
    Directory { path: PathBuf, cure: &'static str },
    #[error("the guest's socket {}", path.display())]
    Io { path: PathBuf, source: io::Error },
}

/// A socket that this process has made.
pub(in crate::lifecycle) struct BoundSocket {
    path: PathBuf,
    /// Device and inode: somebody else may have put another one there.
    identity: (u64, u64),
}

/// What is at a path.
#[derive(Debug, PartialEq, Eq)]
enum Found {
    Free,
    /// A socket that no process listens at.
    Stale,
    Listening,
    /// No socket.
    Other,
}

/// Listens at `path`, in this process's own tree. A socket that no process listens at any more is
/// replaced. The process must have no other thread: its umask changes for a moment.
///
/// # Errors
/// One line with the fault and its cure.
pub(in crate::lifecycle) fn bind(path: &Path) -> Result<(Vsock, BoundSocket), VsockError> {
    let refused = |source| VsockError::from_io(path, source);
    match look(path).map_err(refused)? {
        Found::Free => {}
        Found::Stale => fs::remove_file(path).map_err(refused)?,
        Found::Listening => return Err(VsockError::InUse { path: path.into() }),
        Found::Other => return Err(VsockError::NoSocket { path: path.into() }),
    }
    let before = umask(SOCKET_UMASK);
    let bound = UnixListener::bind(path);
    umask(before);
    let listener = bound.map_err(refused)?;
    let identity = identity(path).map_err(refused)?;
    let path = path.to_owned();
    let vsock = Vsock {
        listener,
        path: path.clone(),
    };
    Ok((vsock, BoundSocket { path, identity }))
}

impl VsockError {
    /// By what the file system says of the socket's path.
    fn from_io(path: &Path, source: io::Error) -> Self {
        let path = path.to_owned();
        let cure = match source.kind() {
            ErrorKind::NotFound => "its directory is not there: mount one, such as an emptyDir",
            ErrorKind::NotADirectory => "its directory is a file: name another path",
            ErrorKind::ReadOnlyFilesystem => {
                "its directory is read-only: mount one that can be written to, such as an emptyDir"
            }
            ErrorKind::PermissionDenied => {
                "the container's user may not write to its directory: let it, or mount an emptyDir"
            }
            _ => return Self::Io { path, source },
        };
        Self::Directory { path, cure }
    }
}

impl BoundSocket {
    /// Takes it away again, if it is still there and can be: else `delete` or the next guest does.
    pub(in crate::lifecycle) fn remove(self) {
        if identity(&self.path).is_ok_and(|found| found == self.identity) {
            let _ = fs::remove_file(&self.path);
        }
    }
}

fn identity(path: &Path) -> io::Result<(u64, u64)> {
    let metadata = fs::symlink_metadata(path)?;
    Ok((metadata.dev(), metadata.ino()))
}

/// # Errors
/// Those of lstat(2) and socket(2).
fn look(path: &Path) -> io::Result<Found> {
    let kind = match fs::symlink_metadata(path) {
        Ok(metadata) => metadata.file_type(),
        Err(e) if e.kind() == ErrorKind::NotFound => return Ok(Found::Free),
        Err(e) => return Err(e),
    };
    if !kind.is_socket() {
        return Ok(Found::Other);
    }
    let flags = SockFlag::SOCK_CLOEXEC | SockFlag::SOCK_NONBLOCK;
    let caller = socket(AddressFamily::Unix, SockType::Stream, flags, None)?;
    Ok(match connect(caller.as_raw_fd(), &UnixAddr::new(path)?) {
        Err(Errno::ECONNREFUSED) => Found::Stale,
        _ => Found::Listening,
    })
}

/// The guest's socket as a resource: its monitor binds it by [`bind`], and takes it along if it is
/// not killed.
pub(super) struct GuestSocket {
    entry: Entry,
    record: Record,
    path: PathBuf,
}

impl GuestSocket {
    /// The socket of the plan; `None` where it has none.
    pub(super) fn of(entry: &Entry, record: &Record) -> Option<Self> {
        let path = record.plan.vsock.clone()?;
        Some(Self {
            entry: entry.clone(),
            record: record.clone(),
            path,
        })
    }
}

impl Resource for GuestSocket {
    /// Removes the socket that a monitor has left which was killed. Its tree is gone with it: what
    /// lies on the host is found by config.json. Where that leads over a symbolic link, or where
    /// it cannot be removed, the next guest replaces it.
    fn undo(&mut self) -> Result<(), ResourceError> {
        let dir = dir_on_host(&self.entry, &self.record, &self.path);
        if let (Some(dir), Some(name)) = (dir, self.path.file_name()) {
            remove_stale(&dir, name);
        }
        Ok(())
    }
}

fn remove_stale(dir: &OwnedFd, name: &OsStr) {
    // What lies beneath the descriptor, however long its path is.
    let path = PathBuf::from(format!("/proc/self/fd/{}", dir.as_raw_fd())).join(name);
    if matches!(look(&path), Ok(Found::Stale)) {
        let _ = fs::remove_file(&path);
    }
}

/// The directory of `path`: in what is mounted there last, or in the rootfs.
fn dir_on_host(entry: &Entry, record: &Record, path: &Path) -> Option<OwnedFd> {
    let dir = path.parent()?;
    let config = effective_config::read(entry)?;
    let mounts = config["mounts"].as_array().into_iter().flatten();
    let mut mounted = mounts.filter_map(|mount| {
        let destination = Path::new("/").join(mount["destination"].as_str()?);
        let rest = dir.strip_prefix(destination).ok()?.to_owned();
        Some((mount, rest))
    });
    let (top, rest) = match mounted.next_back() {
        Some((mount, rest)) if is_bind(&mount["options"]) => {
            let source = mount["source"].as_str()?;
            (record.bundle.join(source), rest)
        }
        // A file system that is gone with the container.
        Some(_) => return None,
        None => {
            let rest = dir.strip_prefix("/").ok()?.to_owned();
            (record.rootfs.clone(), rest)
        }
    };
    let top = File::options()
        .read(true)
        .custom_flags(O_PATH)
        .open(top)
        .ok()?;
    let how = OpenHow::new()
        .flags(OFlag::O_PATH | OFlag::O_DIRECTORY | OFlag::O_CLOEXEC)
        .resolve(ResolveFlag::RESOLVE_BENEATH | ResolveFlag::RESOLVE_NO_SYMLINKS);
    // `rest` may be nothing at all.
    openat2(top, &Path::new(".").join(rest), how).ok()
}

fn is_bind(options: &serde_json::Value) -> bool {
    let mut options = options.as_array().into_iter().flatten();
    options.any(|option| option == "bind" || option == "rbind")
}
