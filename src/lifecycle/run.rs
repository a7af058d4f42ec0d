//! `run`: create, start, and in the foreground wait and delete.

use std::process::ExitCode;

use nix::sys::signal::{SigSet, SigmaskHow, Signal, sigprocmask};
use nix::sys::wait::{WaitPidFlag, WaitStatus, waitpid};
use nix::unistd::Pid;

use super::create::Request;
use super::lock::Lock;
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
    let unikernel = create(request)?;
    // From here a signal is the guest's, not ours.
    let signals = SigSet::all();
    let failed = |errno: nix::Error| Error::Start {
        id: id.clone(),
        why: errno.to_string(),
    };
    sigprocmask(SigmaskHow::SIG_BLOCK, Some(&signals), None).map_err(failed)?;

    let started = Lock::take(&unikernel.entry).and_then(|_lock| start::start(&unikernel));
    let ended = started.and_then(|()| match unikernel.record.process {
        Some(process) if !detach => wait(Pid::from_raw(process.pid), &signals).map_err(failed),
        _ => Ok(ExitCode::SUCCESS),
    });
    if ended.is_err() || !(detach || keep) {
        delete::delete(&store, &id, true)?;
    }
    ended
}

/// Waits for the monitor, handing on every signal that comes.
fn wait(pid: Pid, signals: &SigSet) -> nix::Result<ExitCode> {
    loop {
        match waitpid(pid, Some(WaitPidFlag::WNOHANG))? {
            WaitStatus::Exited(_, code) => return Ok(ExitCode::from(code as u8)),
            WaitStatus::Signaled(_, signal, _) => return Ok(ExitCode::from(128 + signal as u8)),
            _ => match signals.wait()? {
                Signal::SIGCHLD => {}
                // ESRCH: it ended just now; the next round sees that.
                signal => drop(nix::sys::signal::kill(pid, signal)),
            },
        }
    }
}
