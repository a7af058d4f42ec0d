//! `kill`: a signal to the monitor, which ends the guest or ignores it.

use std::str::FromStr;

use nix::errno::Errno;
use nix::libc::SIGKILL;
use nix::sys::signal::Signal;

use crate::lifecycle::cgroup::freezer;
use crate::lifecycle::error::Error;
use crate::lifecycle::unikernel::Unikernel;

/// The highest signal number, with the real-time ones (signal(7)).
const LAST_SIGNAL: i32 = 64;

/// Sends a signal. With `all`, a container that has stopped is no error.
///
/// # Errors
/// For an unknown signal, or a container that does not run.
pub(in crate::lifecycle) fn kill(
    unikernel: &Unikernel,
    signal: &str,
    all: bool,
) -> Result<(), Error> {
    let number = parse(signal).ok_or_else(|| Error::UnknownSignal {
        signal: signal.to_owned(),
    })?;
    let not_running = || Error::NotRunning {
        id: unikernel.id().to_owned(),
    };
    let Some(process) = unikernel.process() else {
        return if all { Ok(()) } else { Err(not_running()) };
    };
    let was_paused = freezer::is_frozen(process);
    match process.signal(number) {
        Ok(()) => {}
        Err(Errno::ESRCH) if all => {}
        Err(Errno::ESRCH) => return Err(not_running()),
        Err(source) => {
            return Err(Error::Signal {
                id: unikernel.id().to_owned(),
                source,
            });
        }
    }
    if was_paused && number == SIGKILL {
        // Under cgroups v1 a frozen process does not die; that it is gone is no error.
        let _ = freezer::thaw(process);
    }
    Ok(())
}

/// `9`, `KILL`, `SIGKILL`, `sigkill` → 9.
fn parse(text: &str) -> Option<i32> {
    if let Ok(number) = text.parse::<i32>() {
        return (0..=LAST_SIGNAL).contains(&number).then_some(number);
    }
    let name = text.to_ascii_uppercase();
    let name = if name.starts_with("SIG") {
        name
    } else {
        format!("SIG{name}")
    };
    Signal::from_str(&name).ok().map(|signal| signal as i32)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn signals_by_number_and_name() {
        for (text, number) in [
            ("9", 9),
            ("KILL", 9),
            ("sigterm", 15),
            ("SIGUSR1", 10),
            ("64", 64),
        ] {
            assert_eq!(parse(text), Some(number), "{text}");
        }
        for text in ["", "65", "-1", "KILLER", "SIG"] {
            assert_eq!(parse(text), None, "{text}");
        }
    }
}
