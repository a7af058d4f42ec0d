//! Signals to a monitor that waits for `start`.
//!
//! It is the first process of its pid namespace, and the kernel keeps from such
//! a process every signal that it has no handler for (pid_namespaces(7)). The
//! machine that runs takes its signals itself, and never calls this handler.

use nix::libc;
use nix::sys::signal::{SaFlags, SigAction, SigHandler, SigSet, Signal, sigaction};

/// The signals that runc's own waiting init ends by: those by which a Go program
/// ends from outside (package os/signal, "Default behavior of signals in Go programs").
const ENDING: [Signal; 4] = [
    Signal::SIGHUP,
    Signal::SIGINT,
    Signal::SIGQUIT,
    Signal::SIGTERM,
];

/// From here on such a signal ends this process, with the status that a shell
/// gives for it: 128 and the signal's number.
///
/// # Errors
/// Those of sigaction(2).
pub fn end_on_signals() -> nix::Result<()> {
    let action = SigAction::new(SigHandler::Handler(end), SaFlags::empty(), SigSet::all());
    for signal in ENDING {
        // SAFETY: the handler calls nothing but _exit(2), which may be called from one.
        unsafe { sigaction(signal, &action) }?;
    }
    Ok(())
}

extern "C" fn end(signal: libc::c_int) {
    // SAFETY: _exit(2) ends the process and does nothing before.
    unsafe { libc::_exit(128 + signal) }
}
