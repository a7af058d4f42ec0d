//! The freezer of a monitor's cgroup, v1 or v2, which also shows whether it is
//! paused.
//!
//! Not libcontainer's: that waits until the whole cgroup is frozen, which never
//! comes where KVM has put a kernel thread of its own into it (Linux 6.1 under
//! cgroups v2: `kvm-nx-lpage-recovery`). The monitor's threads do stop.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use crate::lifecycle::cgroup::error::CgroupError;
use crate::lifecycle::cgroup::paths::CgroupPaths;
use crate::lifecycle::process::Process;

/// How long a freezer may take to report that all is frozen, before it
/// is not waited for any more.
const TIMEOUT: Duration = Duration::from_millis(100);

/// One cgroup's freezer: its files, and the values that they hold.
///
/// Source: Linux, Documentation/admin-guide/cgroup-v1/freezer-subsystem.rst, and
/// cgroup-v2.rst, "cgroup.freeze", "cgroup.events".
struct Freezer {
    control: PathBuf,
    freeze: &'static str,
    thaw: &'static str,
    /// The file that says when all is frozen, and the line it then has.
    report: (PathBuf, &'static str),
}

/// Stops the process, with all its cgroup, whose path ends in `own`.
///
/// # Errors
/// Those of reading /proc and writing the freezer's file; that it is in another cgroup.
pub(in crate::lifecycle) fn freeze(process: Process, own: &Path) -> Result<(), CgroupError> {
    let freezer = Freezer::of(process)?;
    // A caller who may make no cgroups has it in his own, and would stop himself.
    let dir = freezer.control.parent();
    if !dir.is_some_and(|dir| dir.ends_with(own)) {
        return Err(CgroupError::NotInOwn {
            own: own.to_owned(),
        });
    }
    fs::write(&freezer.control, freezer.freeze)?;
    let deadline = Instant::now() + TIMEOUT;
    let (report, frozen) = &freezer.report;
    while Instant::now() < deadline {
        if fs::read_to_string(report)?
            .lines()
            .any(|line| line == *frozen)
        {
            break;
        }
        std::thread::sleep(Duration::from_millis(1));
    }
    Ok(())
}

/// Lets it go on.
///
/// # Errors
/// As [`freeze`].
pub(in crate::lifecycle) fn thaw(process: Process) -> Result<(), CgroupError> {
    let freezer = Freezer::of(process)?;
    Ok(fs::write(&freezer.control, freezer.thaw)?)
}

/// Whether it was asked to freeze. False where there is no freezer to ask.
pub(in crate::lifecycle) fn is_frozen(process: Process) -> bool {
    let state = Freezer::of(process)
        .and_then(|freezer| fs::read_to_string(freezer.control))
        .unwrap_or_default();
    matches!(state.trim(), "1" | "FREEZING" | "FROZEN")
}

impl Freezer {
    /// The freezer of the process's cgroup: of the v1 hierarchy where there is one.
    fn of(process: Process) -> io::Result<Self> {
        let paths = CgroupPaths::of(process)?;
        if let Some(dir) = paths.v1("freezer") {
            let state = dir.join("freezer.state");
            return Ok(Self {
                control: state.clone(),
                freeze: "FROZEN",
                thaw: "THAWED",
                report: (state, "FROZEN"),
            });
        }
        let dir = paths.v2();
        Ok(Self {
            control: dir.join("cgroup.freeze"),
            freeze: "1",
            thaw: "0",
            report: (dir.join("cgroup.events"), "frozen 1"),
        })
    }
}
