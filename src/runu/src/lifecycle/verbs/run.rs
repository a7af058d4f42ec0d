//! `run`: create, start, and in the foreground wait and delete.

use std::process::ExitCode;

use nix::libc::{SIGCHLD, SIGWINCH};
use nix::sys::signal::SigSet;
use nix::sys::signalfd::{SfdFlags, SignalFd};
use nix::sys::wait::{WaitPidFlag, WaitStatus, waitpid};
use nix::unistd::Pid;

use crate::lifecycle::error::Error;
use crate::lifecycle::monitor::tty::{CallerTerminal, TerminalProxy};
use crate::lifecycle::process::Process;
use crate::lifecycle::request::Request;
use crate::lifecycle::store::Store;
use crate::lifecycle::store::lock::Lock;
use crate::lifecycle::unikernel::Unikernel;
use crate::lifecycle::verbs::create::create_at;
use crate::lifecycle::verbs::delete;
use crate::lifecycle::verbs::error::StartError;
use crate::lifecycle::verbs::start;

/// Runs a unikernel; in the foreground gives its exit status.
///
/// # Errors
/// As `create`, `start` and `delete`; and where there is to be a terminal, but the caller
/// has none.
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
    let signals = block_signals().map_err(|errno| Error::start(&id, errno))?;
    let terminal = match !detach && request.bundle.config.wants_terminal() {
        true => Some(CallerTerminal::find().map_err(|why| Error::NoTerminal { why })?),
        false => None,
    };
    let unikernel = create_at(request, terminal.as_ref())?;
    let ended = match detach {
        true => {
            let pid = unikernel.record.process.map_or(0, |process| process.pid);
            start_locked(&unikernel, pid).map(|()| ExitCode::SUCCESS)
        }
        false => in_foreground(&unikernel, &signals, terminal),
    };
    if ended.is_err() || !(detach || keep) {
        delete::delete(&store, &id, true)?;
    }
    ended
}

/// Every signal, from now on read instead of delivered.
fn block_signals() -> nix::Result<SignalFd> {
    let all = SigSet::all();
    all.thread_block()?;
    SignalFd::with_flags(&all, SfdFlags::SFD_CLOEXEC)
}

fn start_locked(unikernel: &Unikernel, main_pid: i32) -> Result<(), Error> {
    let _lock = Lock::acquire(&unikernel.entry)?;
    start::start(unikernel, main_pid)
}

/// Starts a created unikernel and stays with it until it ends; gives its exit status.
fn in_foreground(
    unikernel: &Unikernel,
    signals: &SignalFd,
    terminal: Option<CallerTerminal>,
) -> Result<ExitCode, Error> {
    let id = unikernel.id();
    let terminal = terminal.map(CallerTerminal::join).transpose();
    let terminal = terminal.map_err(|e| Error::start(id, StartError::Terminal(e)))?;
    // As long as this process stays, it is the service.
    start_locked(unikernel, std::process::id().cast_signed())?;
    let status = match unikernel.record.process {
        Some(process) => wait(process, signals, terminal.as_ref()),
        None => Ok(ExitCode::SUCCESS),
    };
    if let Some(terminal) = terminal {
        terminal.finish();
    }
    status.map_err(|errno| Error::start(id, errno))
}

/// Waits for the monitor, handing on every signal that comes, real-time ones too.
fn wait(
    process: Process,
    signals: &SignalFd,
    terminal: Option<&TerminalProxy>,
) -> nix::Result<ExitCode> {
    loop {
        match waitpid(Pid::from_raw(process.pid), Some(WaitPidFlag::WNOHANG))? {
            WaitStatus::Exited(_, code) => return Ok(exit_code(code)),
            WaitStatus::Signaled(_, signal, _) => return Ok(exit_code(128 + signal as i32)),
            _ => {}
        }
        let Some(info) = signals.read_signal()? else {
            continue;
        };
        match (info.ssi_signo.cast_signed(), terminal) {
            (SIGCHLD, _) => {}
            (SIGWINCH, Some(terminal)) => terminal.resize(),
            // ESRCH: it ended just now; the next round sees that.
            (signal, _) => drop(process.signal(signal)),
        }
    }
}

/// A process's status as a shell has it, which is at most 255 (exit(3)).
fn exit_code(status: i32) -> ExitCode {
    ExitCode::from(u8::try_from(status).unwrap_or(u8::MAX))
}
