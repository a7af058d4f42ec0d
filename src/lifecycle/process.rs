//! A process that is told apart from a later one with the same pid.

use std::time::{Duration, Instant};

use nix::errno::Errno;
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use serde::{Deserialize, Serialize};

/// A pid and when the process began: together they name one process until the
/// machine restarts.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Process {
    pub pid: i32,
    /// Clock ticks since boot (proc_pid_stat(5), field 22).
    pub start_time: u64,
}

impl Process {
    /// The process that has this pid now.
    pub fn of(pid: Pid) -> Option<Self> {
        let (_, start_time) = stat(pid.as_raw())?;
        Some(Self {
            pid: pid.as_raw(),
            start_time,
        })
    }

    /// Whether it still runs. A zombie does not: its exit status is all that is
    /// left.
    pub fn is_alive(&self) -> bool {
        stat(self.pid).is_some_and(|(state, start_time)| {
            start_time == self.start_time && !matches!(state, b'Z' | b'X')
        })
    }

    /// Sends a signal.
    ///
    /// # Errors
    /// kill(2)'s; `ESRCH` where the process is no more.
    pub fn signal(&self, signal: i32) -> nix::Result<()> {
        if !self.is_alive() {
            return Err(Errno::ESRCH);
        }
        // Signal numbers past those that nix names (real-time ones) are passed as they are.
        // SAFETY: kill(2) takes two integers and touches no memory.
        Errno::result(unsafe { nix::libc::kill(self.pid, signal) }).map(drop)
    }

    /// Ends it with SIGKILL and waits until it is gone or a zombie; gives false
    /// if it would not die within `patience`.
    pub fn end(&self, patience: Duration) -> bool {
        let deadline = Instant::now() + patience;
        while self.is_alive() {
            let _ = kill(Pid::from_raw(self.pid), Signal::SIGKILL);
            if Instant::now() > deadline {
                return false;
            }
            std::thread::sleep(Duration::from_millis(1));
        }
        true
    }
}

/// State letter and start time of a process (proc_pid_stat(5)).
fn stat(pid: i32) -> Option<(u8, u64)> {
    let text = std::fs::read(format!("/proc/{pid}/stat")).ok()?;
    // The name, in parentheses, may hold anything; fields count from its end.
    let end_of_name = text.iter().rposition(|&b| b == b')')?;
    let fields = std::str::from_utf8(&text[end_of_name + 1..]).ok()?;
    let mut fields = fields.split_ascii_whitespace();
    let state = fields.next()?.bytes().next()?;
    let start_time = fields.nth(18)?.parse().ok()?;
    Some((state, start_time))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_process_is_known_by_its_start() {
        let me = Process::of(nix::unistd::getpid()).unwrap();
        assert!(me.is_alive());
        assert!(
            !Process {
                start_time: me.start_time + 1,
                ..me
            }
            .is_alive()
        );
    }

    #[test]
    fn a_zombie_is_not_alive() {
        let mut child = std::process::Command::new("/bin/sleep")
            .arg("60")
            .spawn()
            .unwrap();
        let process = Process::of(Pid::from_raw(child.id() as i32)).unwrap();
        assert!(process.is_alive());
        assert!(process.end(Duration::from_secs(10)));
        assert!(!process.is_alive());
        child.wait().unwrap();
        assert_eq!(process.signal(0), Err(Errno::ESRCH));
    }
}
