//! `run`: create, start, and in the foreground wait and delete.

use std::process::ExitCode;

use nix::libc::SIGCHLD;
use nix::sys::signal::SigSet;
use nix::sys::signalfd::{SfdFlags, SignalFd};
use nix::sys::wait::{WaitPidFlag, WaitStatus, waitpid};
use nix::unistd::Pid;

use super::create::Request;
use super::lock::Lock;
use super::process::Process;
use super::{Error, Store, create, delete, start};

/// Runs a unikernel; in the foreground gives its exit status.
///
/// # Errors
/// As `create`, `start` and `delete`.
pub fn run(request: Request) -> Result<ExitCode, Error> {
    let store = Store::of(request.globals.root.as_deref());
    let id = request.args.id.clone();
    let (detach, keep) = request
        .args
        .run
        .as_ref()
        .map_or((false, false), |r| (r.detach, r.keep));
    // From here a signal is the guest's, not ours; one that comes while there is none yet
    // waits for it.
    let all = SigSet::all();
    let failed = |errno: nix::Error| Error::Start {
        id: id.clone(),
        why: errno.to_string(),
    };
    all.thread_block().map_err(failed)?;
    let signals = SignalFd::with_flags(&all, SfdFlags::SFD_CLOEXEC).map_err(failed)?;
    let unikernel = create(request)?;
    let started = Lock::take(&unikernel.entry).and_then(|_lock| start::start(&unikernel));
    let ended = started.and_then(|()| match unikernel.record.process {
        Some(process) if !detach => wait(process, &signals).map_err(failed),
        _ => Ok(ExitCode::SUCCESS),
    });
    if ended.is_err() || !(detach || keep) {
        delete::delete(&store, &id, true)?;
    }
    ended
}

/// Waits for the monitor, handing on every signal that comes, real-time ones too.
fn wait(process: Process, signals: &SignalFd) -> nix::Result<ExitCode> {
    loop {
        match waitpid(Pid::from_raw(process.pid), Some(WaitPidFlag::WNOHANG))? {
            WaitStatus::Exited(_, code) => return Ok(ExitCode::from(code as u8)),
            WaitStatus::Signaled(_, signal, _) => return Ok(ExitCode::from(128 + signal as u8)),
            _ => match signals.read_signal()? {
                Some(info) if info.ssi_signo != SIGCHLD as u32 => {
                    // ESRCH: it ended just now; the next round sees that.
                    let _ = process.signal(info.ssi_signo as i32);
                }
                _ => {}
            },
        }
    }
}
