//! What the monitor gives up before the guest's first instruction.

use std::ffi::CStr;
use std::fs::File;
use std::io::{self, Write};
use std::os::fd::RawFd;

use caps::CapSet;
use nix::errno::Errno;
use nix::libc;
use nix::sys::statfs;

use crate::lifecycle::process::Process;

/// The name of the monitor's process once it runs the guest.
const NAME: &CStr = c"runu";

/// Why the monitor cannot give up what it must: then no guest runs.
#[derive(Debug, thiserror::Error)]
pub(in crate::lifecycle) enum PrivilegeError {
    #[error("cannot drop capabilities: {0}")]
    Capabilities(#[from] caps::errors::CapsError),
    #[error("cannot give up {what}: {errno}")]
    Kernel { what: &'static str, errno: Errno },
}

/// Gives up every capability, the gaining of privilege by execve, and all file
/// descriptors but 0 to 2 and those in `keep`.
///
/// # Errors
/// When the kernel refuses any of it.
pub(in crate::lifecycle) fn drop_all(keep: &[RawFd]) -> Result<(), PrivilegeError> {
    let failed = |what| move |errno| PrivilegeError::Kernel { what, errno };
    // Not to be traced, and /proc/PID/exe not to be opened, by a neighbour with
    // whom the pod shares its processes: that file is the host's runu.
    nix::sys::prctl::set_dumpable(false).map_err(failed("being dumpable"))?;
    nix::sys::prctl::set_name(NAME).map_err(failed("the process's name"))?;
    close_all_but(keep).map_err(failed("file descriptors"))?;
    nix::sys::prctl::set_no_new_privs().map_err(failed("new privileges"))?;
    // The bounding set matters to execve only, which no_new_privs has settled;
    // emptying it needs a capability that the container may not have.
    let _ = caps::clear(None, CapSet::Bounding);
    for set in [
        CapSet::Ambient,
        CapSet::Inheritable,
        CapSet::Effective,
        CapSet::Permitted,
    ] {
        caps::clear(None, set)?;
    }
    Ok(())
}

/// Does some work with the privileges that are left after [`drop_all`]: this thread's effective
/// capabilities are gone until it is done.
///
/// # Errors
/// When the kernel refuses any of it.
pub(in crate::lifecycle) fn without_capabilities<T>(
    work: impl FnOnce() -> T,
) -> Result<T, PrivilegeError> {
    let before = caps::read(None, CapSet::Effective)?;
    caps::clear(None, CapSet::Effective)?;
    let done = work();
    caps::set(None, CapSet::Effective, &before)?;
    Ok(done)
}

/// Gives this process a SELinux label (proc_pid_attr(5), `current`), as libcontainer 0.7 does
/// not.
///
/// # Errors
/// Where SELinux is off or its policy does not allow it, or /proc is not mounted.
pub(in crate::lifecycle) fn set_selinux_label(label: &str) -> io::Result<()> {
    let mut file = File::options()
        .write(true)
        .open("/proc/thread-self/attr/current")?;
    // An image's own file of that name takes every label.
    if statfs::fstatfs(&file)?.filesystem_type() != statfs::PROC_SUPER_MAGIC {
        return Err(io::Error::other("/proc is not mounted in the container"));
    }
    file.write_all(label.as_bytes())
}

/// Whether a monitor has come past its start: it has dropped its privileges, or is about to.
pub(in crate::lifecycle) fn has_dropped(process: Process) -> bool {
    let name = std::fs::read(format!("/proc/{}/comm", process.pid));
    name.is_ok_and(|name| name.trim_ascii_end() == NAME.to_bytes())
}

/// Closes every descriptor above 2 that is not in `keep` (close_range(2)).
fn close_all_but(keep: &[RawFd]) -> nix::Result<()> {
    let mut keep: Vec<u32> = keep
        .iter()
        .filter_map(|&fd| u32::try_from(fd).ok())
        .collect();
    keep.sort_unstable();
    let mut first = 3;
    for fd in keep.into_iter().chain([u32::MAX]) {
        if first < fd {
            // SAFETY: what lies between the kept descriptors belongs to code that never runs
            // again in this process: libcontainer's channels, and whatever the caller leaked.
            Errno::result(unsafe { libc::syscall(libc::SYS_close_range, first, fd - 1, 0) })?;
        }
        first = fd.saturating_add(1).max(first);
    }
    Ok(())
}
