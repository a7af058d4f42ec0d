//! A terminal of the test's own, as a person's shell has one.

use std::fs::File;
use std::io::{Read, Write};
use std::os::fd::{AsRawFd, OwnedFd};
use std::os::unix::process::CommandExt;
use std::process::{Child, Command};
use std::time::Instant;

use nix::libc;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::pty::{Winsize, openpty};
use nix::sys::termios::{ControlFlags, InputFlags, LocalFlags, OutputFlags, tcgetattr};
use std::os::fd::AsFd;

use super::program::TIMEOUT;

/// Both ends of a pty: programs get one, the test types and reads at the other.
pub struct Terminal {
    keyboard: File,
    screen: OwnedFd,
    /// All that was read so far.
    pub said: String,
}

impl Terminal {
    /// A terminal of `rows` by `columns`.
    pub fn new(rows: u16, columns: u16) -> Self {
        let pty = openpty(&size(rows, columns), None).unwrap();
        Self {
            keyboard: pty.master.into(),
            screen: pty.slave,
            said: String::new(),
        }
    }

    /// Starts `command` with this as its stdio and its session's controlling terminal.
    pub fn spawn(&self, command: &mut Command) -> Child {
        let end = || self.screen.try_clone().unwrap();
        command.stdin(end()).stdout(end()).stderr(end());
        in_own_session(command);
        // SAFETY: ioctl(2) is async-signal-safe enough: one system call, no memory.
        unsafe {
            command.pre_exec(|| match libc::ioctl(0, libc::TIOCSCTTY, 0) {
                0 => Ok(()),
                _ => Err(std::io::Error::last_os_error()),
            });
        }
        command.spawn().unwrap()
    }

    pub fn write(&mut self, text: &str) {
        self.keyboard.write_all(text.as_bytes()).unwrap();
    }

    /// Reads until `text` was said.
    #[track_caller]
    pub fn read_until(&mut self, text: &str) {
        let deadline = Instant::now() + TIMEOUT;
        while !self.said.contains(text) {
            assert!(
                Instant::now() < deadline,
                "{text:?} was not said: {:?}",
                self.said
            );
            let mut fds = [PollFd::new(self.keyboard.as_fd(), PollFlags::POLLIN)];
            if poll(&mut fds, PollTimeout::from(100u8)).unwrap() > 0 {
                let mut buffer = [0; 1024];
                let count = self.keyboard.read(&mut buffer).unwrap();
                self.said += &String::from_utf8_lossy(&buffer[..count]);
            }
        }
    }

    /// The flags (termios(3)). Not the whole of Termios: the kernel fills in a part of its
    /// characters only.
    pub fn modes(&self) -> (InputFlags, OutputFlags, ControlFlags, LocalFlags) {
        let modes = tcgetattr(&self.screen).unwrap();
        (
            modes.input_flags,
            modes.output_flags,
            modes.control_flags,
            modes.local_flags,
        )
    }

    /// Changes the size, as when a window is dragged: its programs get SIGWINCH.
    pub fn resize(&self, rows: u16, columns: u16) {
        // SAFETY: the descriptor is open and the kernel reads one `Winsize`.
        let set = unsafe {
            libc::ioctl(
                self.keyboard.as_raw_fd(),
                libc::TIOCSWINSZ,
                &size(rows, columns),
            )
        };
        assert_eq!(set, 0);
    }
}

/// Rows and columns of another terminal.
pub fn size_of(terminal: &File) -> (u16, u16) {
    let mut found = size(0, 0);
    // SAFETY: the descriptor is open and the kernel writes one `Winsize`.
    let got = unsafe { libc::ioctl(terminal.as_raw_fd(), libc::TIOCGWINSZ, &mut found) };
    assert_eq!(got, 0);
    (found.ws_row, found.ws_col)
}

/// Lets `command` begin a session, which has no controlling terminal at first.
pub fn in_own_session(command: &mut Command) -> &mut Command {
    // SAFETY: setsid(2) is async-signal-safe.
    unsafe { command.pre_exec(|| Ok(nix::unistd::setsid().map(drop)?)) }
}

fn size(rows: u16, columns: u16) -> Winsize {
    Winsize {
        ws_row: rows,
        ws_col: columns,
        ws_xpixel: 0,
        ws_ypixel: 0,
    }
}
