//! Signals: those that end the guest, and the one that kicks the vCPU.

use std::io;

use nix::libc::{self, c_int, c_void, siginfo_t};
use nix::sys::signal::{SigHandler, SigSet, Signal, signal};
use nix::sys::signalfd::{SfdFlags, SignalFd};
use vmm_sys_util::signal::{
    SIGRTMAX, SIGRTMIN, create_sigset, register_signal_handler, unblock_signal,
};

/// Standard signals that by default end a process from outside (signal(7)); those that
/// report a fault of the process itself keep doing so.
const ENDING: [c_int; 13] = [
    libc::SIGHUP,
    libc::SIGINT,
    libc::SIGQUIT,
    libc::SIGTERM,
    libc::SIGUSR1,
    libc::SIGUSR2,
    libc::SIGALRM,
    libc::SIGVTALRM,
    libc::SIGPROF,
    libc::SIGIO,
    libc::SIGPWR,
    libc::SIGSTKFLT,
    libc::SIGXCPU,
];

/// The signal that makes a vCPU leave KVM_RUN: the last real-time signal, for the first
/// ones are the C library's, and images name those after them as their stop signal.
pub fn kick() -> c_int {
    SIGRTMAX()
}

/// From here on, in this thread and those that it starts, the ending signals are no
/// longer delivered but read from the descriptor returned. SIGPIPE is ignored.
///
/// # Errors
/// Those of sigaction(2), pthread_sigmask(3) and signalfd(2).
pub fn take_over() -> io::Result<SignalFd> {
    let real_time = SIGRTMIN()..kick();
    let numbers: Vec<c_int> = ENDING.into_iter().chain(real_time).collect();
    let set = create_sigset(&numbers)?;
    // SAFETY: `create_sigset` has initialised the set.
    let set = unsafe { SigSet::from_sigset_t_unchecked(set) };
    set.thread_block()?;
    // SAFETY: ignoring a signal installs no handler.
    unsafe { signal(Signal::SIGPIPE, SigHandler::SigIgn) }?;
    register_signal_handler(kick(), interrupt)?;
    // The signal mask is inherited by execve: whoever started this program may have blocked
    // the kick, and a vCPU that cannot be kicked cannot be stopped.
    unblock_signal(kick()).map_err(|e| io::Error::other(format!("signal {}: {e:?}", kick())))?;
    Ok(SignalFd::with_flags(
        &set,
        SfdFlags::SFD_CLOEXEC | SfdFlags::SFD_NONBLOCK,
    )?)
}

/// Does nothing: that a handler ran is what ends KVM_RUN and blocking writes with EINTR.
extern "C" fn interrupt(_: c_int, _: *mut siginfo_t, _: *mut c_void) {}
