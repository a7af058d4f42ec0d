//! A client in a terminal: its stdio is a pty whose other end the test has.

use std::fs::File;
use std::io::{Read, Write};
use std::os::fd::{AsFd, OwnedFd};
use std::process::{Child, Command};

use nix::poll::{PollFd, PollFlags, PollTimeout, poll};

use harness::program::{TIMEOUT, wait_for};

pub struct Terminal {
    master: File,
    client: Child,
    said: String,
}

impl Terminal {
    /// Starts a client in a new terminal.
    pub fn spawn(mut client: Command) -> Self {
        let pty = nix::pty::openpty(None, None).unwrap();
        let end = |slave: &OwnedFd| slave.try_clone().unwrap();
        let child = client
            .stdin(end(&pty.slave))
            .stdout(end(&pty.slave))
            .stderr(pty.slave)
            .spawn()
            .unwrap();
        Self {
            master: pty.master.into(),
            client: child,
            said: String::new(),
        }
    }

    /// Types a line.
    pub fn type_line(&mut self, line: &str) {
        self.master.write_all(line.as_bytes()).unwrap();
        self.master.write_all(b"\n").unwrap();
    }

    /// Waits until `text` stands in the terminal.
    #[track_caller]
    pub fn wait_for(&mut self, text: &str) {
        while !self.said.contains(text) {
            assert!(self.read(), "no {text:?} in the terminal: {:?}", self.said);
        }
    }

    /// Reads what there is; false after the end, or when nothing comes for long.
    fn read(&mut self) -> bool {
        let timeout = PollTimeout::try_from(TIMEOUT).unwrap();
        let mut fds = [PollFd::new(self.master.as_fd(), PollFlags::POLLIN)];
        if poll(&mut fds, timeout).unwrap() == 0 {
            return false;
        }
        let mut buffer = [0; 4096];
        // The last slave's close is EIO here (pty(7)).
        let count = self.master.read(&mut buffer).unwrap_or(0);
        self.said += &String::from_utf8_lossy(&buffer[..count]);
        count > 0
    }

    /// Waits for the client's end: its exit code and all that stood in the terminal.
    #[track_caller]
    pub fn end(mut self) -> (i32, String) {
        while self.read() {}
        let what = format!("the client's end after {:?}", self.said);
        let status = wait_for(&what, || self.client.try_wait().unwrap());
        (status.code().unwrap_or(-1), std::mem::take(&mut self.said))
    }
}
