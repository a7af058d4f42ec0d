//! What makes a process one of the container's that libcontainer did not start.

use std::fs::File;
use std::io::{self, Write};
use std::os::fd::RawFd;
use std::path::PathBuf;

use nix::errno::Errno;
use nix::fcntl::{FcntlArg, FdFlag, fcntl};
use nix::libc;
use nix::sys::resource::{Resource, getrlimit, setrlimit};
use nix::sys::signal::{SigHandler, Signal, signal};
use nix::unistd::{setgroups, setsid};

use crate::lifecycle::cgroup::error::CgroupError;
use crate::lifecycle::cgroup::paths::CgroupPaths;
use crate::lifecycle::process::Process;

/// What makes a process one of the container's, opened beforehand.
pub(super) struct Membership {
    /// The cgroup.procs of each hierarchy.
    cgroups: Vec<File>,
    /// How soon the kernel ends it when there is no memory (proc_pid_oom_score_adj(5)).
    oom_score_adj: Vec<u8>,
}

impl Membership {
    /// What `process`, one of the container's, has.
    ///
    /// # Errors
    /// Those of reading /proc and of opening the cgroup's files.
    pub(super) fn of(process: Process) -> Result<Self, CgroupError> {
        let files = CgroupPaths::of(process)?.procs();
        if files.is_empty() {
            return Err(CgroupError::None);
        }
        let open = |path: PathBuf| File::options().write(true).open(path);
        Ok(Self {
            cgroups: files.into_iter().map(open).collect::<Result<_, _>>()?,
            oom_score_adj: std::fs::read(format!("/proc/{}/oom_score_adj", process.pid))?,
        })
    }

    /// Makes this process one, between fork and execve. Of its descriptors it keeps 0 to 2 and
    /// `socket`.
    ///
    /// # Errors
    /// Those of the system calls.
    pub(super) fn join(&self, socket: RawFd) -> io::Result<()> {
        for mut cgroup in &self.cgroups {
            cgroup.write_all(b"0")?;
        }
        File::options()
            .write(true)
            .open("/proc/self/oom_score_adj")?
            .write_all(&self.oom_score_adj)?;
        setsid()?;
        // It would want CAP_SETGID to do so itself.
        setgroups(&[])?;
        // The guest's memory is in it.
        setrlimit(Resource::RLIMIT_CORE, 0, 0)?;
        // A descriptor for each file that the guest has looked up.
        let (_, max) = getrlimit(Resource::RLIMIT_NOFILE)?;
        setrlimit(Resource::RLIMIT_NOFILE, max, max)?;
        // Its stderr has no reader when `create` is over.
        // SAFETY: no handler is installed.
        unsafe { signal(Signal::SIGPIPE, SigHandler::SigIgn) }?;
        close_at_execve()?;
        // SAFETY: the caller has it open.
        let socket = unsafe { std::os::fd::BorrowedFd::borrow_raw(socket) };
        fcntl(socket, FcntlArg::F_SETFD(FdFlag::empty()))?;
        Ok(())
    }
}

/// Has every descriptor above 2 closed by execve (close_range(2)): what the caller has leaked.
fn close_at_execve() -> nix::Result<()> {
    // SAFETY: nothing is closed here.
    let marked = unsafe {
        libc::syscall(
            libc::SYS_close_range,
            3,
            u32::MAX,
            libc::CLOSE_RANGE_CLOEXEC,
        )
    };
    Errno::result(marked).map(drop)
}
