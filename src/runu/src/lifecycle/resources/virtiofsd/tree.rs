//! The container's tree for a process that is not in the container: a program of the host's, with
//! the host's libraries, that shall see of the host's files these.

use std::ffi::OsString;
use std::fs::{self, File};
use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::ffi::OsStringExt;
use std::path::{Path, PathBuf};

use nix::errno::Errno;
use nix::sched::{CloneFlags, setns, unshare};
use nix::unistd::{chroot, fchdir};
use rustix::fs::{CWD, Mode, OFlags, open};
use rustix::mount::{
    MountPropagationFlags, MoveMountFlags, OpenTreeFlags, UnmountFlags, mount_change, move_mount,
    open_tree, unmount,
};

use crate::lifecycle::process::Process;
use p9::is_kernel_fs;

/// Gives the calling thread, and what it will start, a mount namespace of its own: the host's, with
/// the root of `process` and all that is mounted there at `place`. What the host unmounts goes
/// there too, nothing goes the other way, and with the last process in it all of it is gone.
///
/// A program that is told `/proc/PID/root` and asks for the real name of that is told `/`, and
/// serves the host's own root: the Rust virtiofsd asks.
///
/// The kernel's own file systems are left out, as 9P leaves them out: behind procfs there is the
/// monitor, and whoever serves it for the guest.
///
/// # Errors
/// Those of the calls below; `ESRCH` where the process is no more. The thread is then in neither
/// place for sure, and of no use.
pub(super) fn enter(process: Process, place: &Path) -> io::Result<()> {
    // A thread with a working directory of its own can change its mount namespace (setns(2)).
    unshare(CloneFlags::CLONE_FS | CloneFlags::CLONE_NEWNS)?;
    mount_change(
        "/",
        MountPropagationFlags::DOWNSTREAM | MountPropagationFlags::REC,
    )?;
    let own = File::open("/proc/thread-self/ns/mnt")?;
    let here = dir("/")?;
    let tree = clone_tree(process)?;
    setns(&own, CloneFlags::CLONE_NEWNS)?;
    // It has set the root to the namespace's, which need not be this program's.
    fchdir(&here)?;
    chroot(".")?;
    move_mount(
        &tree,
        "",
        CWD,
        place,
        MoveMountFlags::MOVE_MOUNT_F_EMPTY_PATH,
    )?;
    while let Some(dir) = pseudo_mount(place)? {
        unmount(&dir, UnmountFlags::DETACH)?;
    }
    Ok(())
}

/// A copy of all mounts that a process sees; the thread is in its mount namespace then.
fn clone_tree(process: Process) -> io::Result<OwnedFd> {
    let root = dir(&format!("/proc/{}/root", process.pid))?;
    let theirs = File::open(format!("/proc/{}/ns/mnt", process.pid))?;
    // What was opened is the process's, and no later one's.
    if !process.is_alive() {
        return Err(Errno::ESRCH.into());
    }
    setns(&theirs, CloneFlags::CLONE_NEWNS)?;
    let flags = OpenTreeFlags::OPEN_TREE_CLONE
        | OpenTreeFlags::OPEN_TREE_CLOEXEC
        | OpenTreeFlags::AT_EMPTY_PATH
        | OpenTreeFlags::AT_RECURSIVE;
    Ok(open_tree(&root, "", flags)?)
}

fn dir(path: &str) -> io::Result<OwnedFd> {
    let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
    Ok(open(path, flags, Mode::empty())?)
}

/// A mount of the kernel's own that can be reached below `place`.
fn pseudo_mount(place: &Path) -> io::Result<Option<PathBuf>> {
    let mounts = fs::read("/proc/thread-self/mountinfo")?;
    for mount in mounts.split(|&byte| byte == b'\n').filter_map(mount_point) {
        if !mount.starts_with(place) {
            continue;
        }
        let flags = OFlags::PATH | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        match open(&mount, flags, Mode::empty()) {
            Ok(file) if is_kernel_fs(file.as_fd())? => return Ok(Some(mount)),
            // Beneath another mount, or where nothing is any more.
            Ok(_) | Err(rustix::io::Errno::NOENT) => {}
            Err(errno) => return Err(errno.into()),
        }
    }
    Ok(None)
}

/// The fifth field of a line of proc_pid_mountinfo(5), where a backslash and three octal digits are
/// a byte.
fn mount_point(line: &[u8]) -> Option<PathBuf> {
    let mut field = line.split(|&byte| byte == b' ').nth(4)?;
    let mut path = Vec::with_capacity(field.len());
    while let Some((&byte, rest)) = field.split_first() {
        let escaped = rest.get(..3).filter(|_| byte == b'\\');
        let escaped = escaped.and_then(|digits| std::str::from_utf8(digits).ok());
        let escaped = escaped.and_then(|digits| u8::from_str_radix(digits, 8).ok());
        path.push(escaped.unwrap_or(byte));
        field = if escaped.is_some() { &rest[3..] } else { rest };
    }
    Some(OsString::from_vec(path).into())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn mount_points_are_read_whatever_their_names() {
        let line = |path: &str| format!("36 35 98:0 / {path} rw - ext3 /dev/root rw");
        for (written, path) in [
            ("/mnt", "/mnt"),
            ("/a\\040b\\134c", "/a b\\c"),
            ("/\\040", "/ "),
            ("/a\\9", "/a\\9"),
            ("/a\\777", "/a\\777"),
        ] {
            assert_eq!(
                mount_point(line(written).as_bytes()).unwrap(),
                Path::new(path)
            );
        }
        assert_eq!(mount_point(b""), None);
    }
}
