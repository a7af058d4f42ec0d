//! Signals: those that end the guest, and the one that kicks the vCPU.
//!
//! The monitor may be the first process of its pid namespace. For that one a signal's default
//! action is to do nothing (pid_namespaces(7)), so that each needs a handler, or to be read,
//! from the beginning: one that came too early would be lost, and whoever sent it would wait.

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

/// The signals that are read from a descriptor: those, and that the terminal's size changed.
fn read() -> Vec<c_int> {
    let mut signals = ending();
    signals.push(libc::SIGWINCH);
    signals
}

/// The signal that makes a vCPU leave KVM_RUN: the last real-time signal, for the first
/// ones are the C library's, and images name those after them as their stop signal.
pub(crate) fn kick() -> c_int {
    SIGRTMAX()
}

fn ending() -> Vec<c_int> {
    let real_time = SIGRTMIN()..kick();
    ENDING.into_iter().chain(real_time).collect()
}

/// Until [`take_over`], the ending signals end this process, with the status that the guest's
/// end by them has: 128 and the signal's number.
///
/// # Errors
/// Those of sigaction(2).
pub(crate) fn end_this_process() -> io::Result<()> {
    for signal in ending() {
        register_signal_handler(signal, exit)?;
    }
    Ok(())
}

extern "C" fn exit(signal: c_int, _: *mut siginfo_t, _: *mut c_void) {
    // SAFETY: _exit(2) may be called from a signal handler (signal-safety(7)).
    unsafe { libc::_exit(128 + signal) }
}

/// From here on, in this thread and those that it starts, the ending signals and SIGWINCH are
/// no longer delivered but read from the descriptor returned. SIGPIPE is ignored, and so is
/// SIGXFSZ: a guest that writes past the container's RLIMIT_FSIZE gets an error.
///
/// # Errors
/// Those of sigaction(2), pthread_sigmask(3) and signalfd(2).
pub(crate) fn take_over() -> io::Result<SignalFd> {
    let set = create_sigset(&read())?;
    // SAFETY: `create_sigset` has initialised the set.
    let set = unsafe { SigSet::from_sigset_t_unchecked(set) };
    set.thread_block()?;
    for ignored in [Signal::SIGPIPE, Signal::SIGXFSZ] {
        // SAFETY: ignoring a signal installs no handler.
        unsafe { signal(ignored, SigHandler::SigIgn) }?;
    }
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
