//! A process that is not mistaken for a later one with the same pid.

use std::io;
use std::os::fd::OwnedFd;
use std::time::{Duration, Instant};

use nix::errno::Errno;
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use rustix::process::PidfdFlags;
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
        Some(Self {
            pid: pid.as_raw(),
            start_time: Stat::read(pid.as_raw())?.start_time,
        })
    }

    /// Whether it still runs. A zombie does not: its exit status is all that is
    /// left.
    pub fn is_alive(&self) -> bool {
        Stat::read(self.pid)
            .is_some_and(|stat| stat.start_time == self.start_time && !stat.is_ended())
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

    /// A descriptor that poll(2) finds readable when the whole process has ended
    /// (pidfd_open(2)).
    ///
    /// # Errors
    /// That system call's; `ESRCH` where the process is no more.
    pub fn end_descriptor(&self) -> io::Result<OwnedFd> {
        let pid = rustix::process::Pid::from_raw(self.pid).ok_or(Errno::ESRCH)?;
        let descriptor = rustix::process::pidfd_open(pid, PidfdFlags::empty())?;
        // Asked afterwards: the descriptor holds on to the one that had the pid.
        match self.is_alive() {
            true => Ok(descriptor),
            false => Err(Errno::ESRCH.into()),
        }
    }

    /// Ends it with SIGKILL and waits until it is gone or a zombie; gives false
    /// if it does not die within `timeout`.
    pub fn end(&self, timeout: Duration) -> bool {
        let deadline = Instant::now() + timeout;
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

/// What proc_pid_stat(5) says of a process.
#[derive(Debug, PartialEq, Eq)]
struct Stat {
    /// Field 3: a letter.
    state: u8,
    /// Field 20: how many threads it has.
    threads: u64,
    /// Field 22: clock ticks since boot.
    start_time: u64,
}

impl Stat {
    fn read(pid: i32) -> Option<Self> {
        Self::parse(&std::fs::read(format!("/proc/{pid}/stat")).ok()?)
    }

    fn parse(text: &[u8]) -> Option<Self> {
        // The name, in parentheses, may hold anything; fields count from its end.
        let end_of_name = text.iter().rposition(|&b| b == b')')?;
        let fields = std::str::from_utf8(&text[end_of_name + 1..]).ok()?;
        let fields: Vec<_> = fields.split_ascii_whitespace().collect();
        Some(Self {
            state: fields.first()?.bytes().next()?,
            threads: fields.get(17)?.parse().ok()?,
            start_time: fields.get(19)?.parse().ok()?,
        })
    }

    /// Whether there is nothing left but an exit status. The first thread may be a zombie
    /// while others still give the guest's memory back.
    fn is_ended(&self) -> bool {
        matches!(self.state, b'Z' | b'X') && self.threads <= 1
    }
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
    fn a_zombie_with_threads_has_not_ended() {
        let stat = |state: &str, threads| {
            let line =
                format!("7 (a) b) {state} 1 7 7 0 -1 4 0 0 0 0 0 0 0 0 20 0 {threads} 0 99 0");
            Stat::parse(line.as_bytes()).unwrap()
        };
        assert_eq!((stat("S", 2).threads, stat("S", 2).start_time), (2, 99));
        assert!(!stat("S", 1).is_ended());
        assert!(!stat("Z", 2).is_ended());
        assert!(stat("Z", 1).is_ended());
        assert_eq!(Stat::parse(b"7 (a) Z 1"), None);
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
