//! How a guest ended, and what exit status that is for its container.

use std::{fmt, io};

use nix::errno::Errno;

use super::hypercall::fault::HypercallFault;

/// How a guest ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum GuestExit {
    /// The guest named its exit code.
    Code(u8),
    /// The guest powered the machine off without naming a code.
    PoweredOff,
    /// The guest asked for a reset; a container is not started again, so it ends.
    Reset,
    /// The monitor was told to end the guest by the signal with this number.
    Signalled(i32),
    /// The guest, or its execution, failed.
    Crashed(Crash),
}

/// What a crash looked like from outside. `rip` is the guest's instruction pointer.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Crash {
    /// An exception while an exception was being delivered, twice. AMD's processors
    /// forget where.
    #[error("the guest crashed: triple fault{}", rip.map_or(String::new(), |rip| format!(" (rip {rip:#x})")))]
    TripleFault {
        /// Where, if the processor says.
        rip: Option<u64>,
    },
    /// The guest stopped for good: `hlt` with interrupts off.
    #[error("the guest crashed: halted with interrupts off (rip {rip:#x})")]
    Halted {
        /// Where: the instruction after `hlt`.
        rip: u64,
    },
    /// The guest said itself that it crashed, and how.
    #[error("the guest crashed: it reported so itself, by {by}")]
    GuestReported {
        /// The device or call that it told it by.
        by: &'static str,
    },
    /// The guest asked its monitor for something in a way that has no answer, with a pointer
    /// out of its memory for one.
    #[error("the guest crashed: hypercall {call}: {source}")]
    Hypercall {
        /// The call's name in its ABI.
        call: &'static str,
        /// What is wrong with it.
        source: HypercallFault,
    },
    /// The guest looked for a device where its ABI has none.
    #[error("the guest crashed: access to port {port:#x}, which is none of its hypercalls'")]
    NoSuchPort {
        /// The I/O port.
        port: u16,
    },
    /// KVM cannot go on with this guest.
    #[error("the guest cannot be run further: {source} (rip {rip:#x})")]
    Emulation {
        /// Where the guest stands.
        rip: u64,
        /// What KVM says.
        source: RunFailure,
    },
    /// The monitor itself failed.
    #[error("the monitor failed: {reason}")]
    Monitor {
        /// What failed, and why.
        reason: String,
    },
}

/// Why KVM cannot go on with a guest.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum RunFailure {
    /// Where the processor leaves instructions to KVM, which knows but some.
    #[error("KVM cannot emulate an instruction")]
    Instruction,
    /// KVM_EXIT_INTERNAL_ERROR.
    #[error("KVM internal error, suberror {suberror}")]
    Internal {
        /// KVM_INTERNAL_ERROR_…, of include/uapi/linux/kvm.h.
        suberror: u32,
    },
    /// KVM_EXIT_FAIL_ENTRY: the vCPU's registers are none that a processor can have.
    #[error("the processor refuses to enter it, reason {reason:#x}")]
    Entry {
        /// The processor's own number for it.
        reason: u64,
    },
    /// The guest was left for something that no guest here does.
    #[error("unexpected exit {exit}")]
    Exit {
        /// kvm-ioctls' name for it.
        exit: String,
    },
    /// The ioctl failed.
    #[error("KVM_RUN failed: {}", io::Error::from(*.0))]
    Run(Errno),
}

impl GuestExit {
    /// The exit status of the container, 0 to 255.
    ///
    /// | end | status |
    /// |---|---|
    /// | the guest's code | that code |
    /// | power off, reset | 0 |
    /// | signal n | 128 + n |
    /// | triple fault, halted for good | 139, as after SIGSEGV |
    /// | crash that the guest reported | 134, as after SIGABRT |
    /// | a wrong hypercall; KVM or the monitor cannot go on | 132, as after SIGILL |
    pub fn status(&self) -> u8 {
        match self {
            GuestExit::Code(code) => *code,
            GuestExit::PoweredOff | GuestExit::Reset => 0,
            // Signal numbers end at 64, so the sum always fits.
            GuestExit::Signalled(signal) => u8::try_from(128 + signal).unwrap_or(u8::MAX),
            GuestExit::Crashed(crash) => crash.status(),
        }
    }
}

impl Crash {
    fn status(&self) -> u8 {
        match self {
            Crash::TripleFault { .. } | Crash::Halted { .. } => 139,
            Crash::GuestReported { .. } => 134,
            Crash::Hypercall { .. }
            | Crash::NoSuchPort { .. }
            | Crash::Emulation { .. }
            | Crash::Monitor { .. } => 132,
        }
    }
}

impl fmt::Display for GuestExit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            GuestExit::Code(code) => write!(f, "the guest exited with code {code}"),
            GuestExit::PoweredOff => write!(f, "the guest powered off"),
            GuestExit::Reset => write!(f, "the guest asked for a reset"),
            GuestExit::Signalled(signal) => write!(f, "the guest was ended by signal {signal}"),
            GuestExit::Crashed(crash) => crash.fmt(f),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_end_has_its_documented_status() {
        let emulation = Crash::Emulation {
            rip: 0,
            source: RunFailure::Instruction,
        };
        let hypercall = Crash::Hypercall {
            call: "puts",
            source: HypercallFault::NotOffered,
        };
        let table = [
            (GuestExit::Code(7), 7),
            (GuestExit::PoweredOff, 0),
            (GuestExit::Reset, 0),
            (GuestExit::Signalled(15), 143),
            (GuestExit::Signalled(64), 192),
            (GuestExit::Crashed(Crash::TripleFault { rip: None }), 139),
            (GuestExit::Crashed(Crash::Halted { rip: 0 }), 139),
            (
                GuestExit::Crashed(Crash::GuestReported { by: "pvpanic" }),
                134,
            ),
            (GuestExit::Crashed(emulation), 132),
            (GuestExit::Crashed(hypercall), 132),
            (GuestExit::Crashed(Crash::NoSuchPort { port: 0x60 }), 132),
        ];
        for (exit, status) in table {
            assert_eq!(exit.status(), status, "{exit}");
        }
    }

    #[test]
    fn a_crash_is_told_in_one_line_with_its_place() {
        let exit = GuestExit::Crashed(Crash::TripleFault {
            rip: Some(0x10_0000),
        });
        assert_eq!(
            exit.to_string(),
            "the guest crashed: triple fault (rip 0x100000)"
        );
        let nowhere = GuestExit::Crashed(Crash::TripleFault { rip: None });
        assert_eq!(nowhere.to_string(), "the guest crashed: triple fault");
    }
}
