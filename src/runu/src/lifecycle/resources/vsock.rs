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
use crate::lifecycle::store::entry::Entry;
use crate::lifecycle::store::record::Record;
use vmm::Vsock;

/// Whoever reaches its directory may connect: a sidecar seldom has the guest's user.
const FORBIDDEN: Mode = Mode::from_bits_truncate(0o111);

/// A socket that this process has made.
pub(in crate::lifecycle) struct Bound {
    path: PathBuf,
    /// Device and inode: somebody else may have put another one there.
    identity: (u64, u64),
}

/// What is at a path.
#[derive(Debug, PartialEq, Eq)]
enum Found {
    Nothing,
    /// A socket that nobody listens at.
    Dead,
    Alive,
    /// No socket.
    Other,
}

/// Listens at `path`, in this process's own tree. A socket that a dead one has left there is
/// replaced. The process must have no other thread: its umask changes for a moment.
///
/// # Errors
/// One line with the fault and its cure.
pub(in crate::lifecycle) fn bind(path: &Path) -> Result<(Vsock, Bound), String> {
    let failed =
        |why: &dyn std::fmt::Display| format!("the guest's socket {}: {why}", path.display());
    let refused = |e: io::Error| failed(&explain(&e));
    match look(path).map_err(refused)? {
        Found::Nothing => {}
        Found::Dead => fs::remove_file(path).map_err(refused)?,
        Found::Alive => {
            let cure = "somebody listens there: give each container a path of its own by \
                        annotation runu.dev/vsock.<container>";
            return Err(failed(&cure));
        }
        Found::Other => {
            let cure = "something is there that is no socket: remove it, or name another path";
            return Err(failed(&cure));
        }
    }
    let before = umask(FORBIDDEN);
    let bound = UnixListener::bind(path);
    umask(before);
    let listener = bound.map_err(refused)?;
    let identity = identity(path).map_err(refused)?;
    let path = path.to_owned();
    let vsock = Vsock {
        listener,
        path: path.clone(),
    };
    Ok((vsock, Bound { path, identity }))
}

fn explain(error: &io::Error) -> String {
    let cure = match error.kind() {
        ErrorKind::NotFound => "its directory is not there: mount one, such as an emptyDir",
        ErrorKind::NotADirectory => "its directory is a file: name another path",
        ErrorKind::ReadOnlyFilesystem => {
            "its directory is read-only: mount one that can be written to, such as an emptyDir"
        }
        ErrorKind::PermissionDenied => {
            "the container's user may not write to its directory: let it, or mount an emptyDir"
        }
        _ => return error.to_string(),
    };
    cure.to_owned()
}

impl Bound {
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
        Err(e) if e.kind() == ErrorKind::NotFound => return Ok(Found::Nothing),
        Err(e) => return Err(e),
    };
    if !kind.is_socket() {
        return Ok(Found::Other);
    }
    let flags = SockFlag::SOCK_CLOEXEC | SockFlag::SOCK_NONBLOCK;
    let caller = socket(AddressFamily::Unix, SockType::Stream, flags, None)?;
    Ok(match connect(caller.as_raw_fd(), &UnixAddr::new(path)?) {
        Err(Errno::ECONNREFUSED) => Found::Dead,
        _ => Found::Alive,
    })
}

/// Removes the socket that a monitor has left which was killed. Its tree is gone with it: what
/// lies on the host is found by config.json. Where that leads over a symbolic link, or where it
/// cannot be removed, the next guest replaces it.
pub(in crate::lifecycle) fn remove_left(entry: &Entry, record: &Record) {
    let Some(path) = &record.plan.vsock else {
        return;
    };
    if let (Some(dir), Some(name)) = (dir_on_host(entry, record, path), path.file_name()) {
        remove_dead(&dir, name);
    }
}

fn remove_dead(dir: &OwnedFd, name: &OsStr) {
    // What lies beneath the descriptor, however long its path is.
    let path = PathBuf::from(format!("/proc/self/fd/{}", dir.as_raw_fd())).join(name);
    if matches!(look(&path), Ok(Found::Dead)) {
        let _ = fs::remove_file(&path);
    }
}

/// The directory of `path`: in what is mounted there last, or in the rootfs.
fn dir_on_host(entry: &Entry, record: &Record, path: &Path) -> Option<OwnedFd> {
    let dir = path.parent()?;
    let config = effective_config::read(entry)?;
    let mounts = config["mounts"].as_array().into_iter().flatten();
    let mut places = mounts.filter_map(|mount| {
        let place = Path::new("/").join(mount["destination"].as_str()?);
        let rest = dir.strip_prefix(place).ok()?.to_owned();
        Some((mount, rest))
    });
    let (top, rest) = match places.next_back() {
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
