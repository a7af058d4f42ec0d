//! The files at the other end of COM1 and of the virtio console.

use std::fs::File;
use std::io::{self, IsTerminal, Read, Write};
use std::os::fd::{AsFd, BorrowedFd};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use nix::poll::{PollFd, PollFlags, PollTimeout, poll};

/// Where the guest's input comes from and where its output goes; `None` is nowhere.
#[derive(Debug, Default)]
pub struct Console {
    /// Read by the guest, as far as it takes it. Need not be non-blocking.
    pub input: Option<File>,
    /// Written by the guest; a slow reader slows it down.
    pub output: Option<File>,
}

impl Console {
    /// This process's descriptors 0 and 1; one that is closed is nowhere.
    pub fn stdio() -> Console {
        Console {
            input: duplicate(io::stdin().as_fd()),
            output: duplicate(io::stdout().as_fd()),
        }
    }
}

impl Console {
    /// The first of the two that is a terminal.
    pub fn terminal(&self) -> Option<File> {
        let files = [&self.input, &self.output];
        let mut terminals = files.into_iter().flatten().filter(|f| f.is_terminal());
        terminals.next().and_then(|file| file.try_clone().ok())
    }
}

fn duplicate(fd: BorrowedFd<'_>) -> Option<File> {
    fd.try_clone_to_owned().ok().map(File::from)
}

/// The guest's output. A write blocks the guest while the reader is slow, and is given
/// up when the guest is to stop. Each vCPU has one of its own, so that none waits for a lock
/// while another waits for the reader.
#[derive(Debug, Default, Clone)]
pub(crate) struct Output {
    file: Option<Arc<File>>,
    stop: Arc<AtomicBool>,
}

impl Output {
    pub(crate) fn new(file: Option<File>, stop: Arc<AtomicBool>) -> Output {
        let file = file.map(Arc::new);
        Output { file, stop }
    }

    /// Whether the guest is to stop.
    pub(crate) fn is_stopped(&self) -> bool {
        self.stop.load(Ordering::Relaxed)
    }

    /// Writes all of `bytes`. When nobody can read them any more, they and all later ones
    /// are dropped.
    pub(crate) fn write(&mut self, mut bytes: &[u8]) {
        while let (Some(file), false) = (&self.file, bytes.is_empty()) {
            match file.as_ref().write(bytes) {
                // No file should take nothing and call that success; one that does would be
                // tried for ever.
                Ok(0) => self.file = None,
                Ok(written) => bytes = &bytes[written.min(bytes.len())..],
                // The signal that interrupts says either "stop" or nothing.
                Err(e) if e.kind() == io::ErrorKind::Interrupted => {
                    if self.stop.load(Ordering::Relaxed) {
                        return;
                    }
                }
                Err(e) if e.kind() == io::ErrorKind::WouldBlock => {
                    wait_writable(file);
                    if self.stop.load(Ordering::Relaxed) {
                        return;
                    }
                }
                Err(_) => self.file = None,
            }
        }
    }
}

/// Somebody else may have made the descriptor non-blocking. Any failure or signal ends
/// the wait; the caller tries again.
fn wait_writable(file: &File) {
    let mut fds = [PollFd::new(file.as_fd(), PollFlags::POLLOUT)];
    let _ = poll(&mut fds, PollTimeout::NONE);
}

/// The guest's input, read no further than the guest takes it.
pub(crate) struct Input {
    file: Option<File>,
    /// Read, but not yet taken by the guest.
    pending: Vec<u8>,
}

impl Input {
    pub(crate) fn new(file: Option<File>) -> Input {
        Input {
            file,
            pending: Vec::new(),
        }
    }

    /// What to wait for: nothing at the end of input, and nothing while the guest has not
    /// taken what was read before.
    pub(crate) fn to_poll(&self) -> Option<BorrowedFd<'_>> {
        match &self.file {
            Some(file) if self.pending.is_empty() => Some(file.as_fd()),
            _ => None,
        }
    }

    /// Reads at most `max` bytes. To be called when the file is readable, else it blocks.
    pub(crate) fn fill(&mut self, max: usize) {
        let Some(file) = &mut self.file else { return };
        self.pending.resize(max, 0);
        let read = file.read(&mut self.pending);
        self.pending.truncate(*read.as_ref().unwrap_or(&0));
        match read {
            Ok(0) => self.file = None,
            Ok(_) => {}
            Err(e)
                if matches!(
                    e.kind(),
                    io::ErrorKind::Interrupted | io::ErrorKind::WouldBlock
                ) => {}
            // A terminal that hung up, for one.
            Err(_) => self.file = None,
        }
    }

    /// Offers what is pending to `take`, which returns how many bytes it took.
    pub(crate) fn offer(&mut self, take: impl FnOnce(&[u8]) -> usize) {
        if !self.pending.is_empty() {
            let taken = take(&self.pending);
            self.pending.drain(..taken.min(self.pending.len()));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pipe() -> (File, File) {
        let (reader, writer) = io::pipe().unwrap();
        (
            File::from(std::os::fd::OwnedFd::from(reader)),
            File::from(std::os::fd::OwnedFd::from(writer)),
        )
    }

    #[test]
    fn input_is_read_only_as_it_is_taken() {
        let (reader, mut writer) = pipe();
        writer.write_all(b"abcdef").unwrap();
        let mut input = Input::new(Some(reader));
        input.fill(4);
        assert!(input.to_poll().is_none(), "the guest has to take it first");
        input.offer(|bytes| {
            assert_eq!(bytes, b"abcd");
            3
        });
        assert!(input.to_poll().is_none());
        input.offer(|bytes| {
            assert_eq!(bytes, b"d");
            1
        });
        assert!(input.to_poll().is_some());
    }

    #[test]
    fn the_end_of_input_is_not_polled_again() {
        let (reader, writer) = pipe();
        drop(writer);
        let mut input = Input::new(Some(reader));
        assert!(input.to_poll().is_some());
        input.fill(4);
        assert!(input.to_poll().is_none());
        input.fill(4);
    }

    #[test]
    fn output_that_nobody_reads_is_dropped() {
        let (reader, writer) = pipe();
        drop(reader);
        // The test harness ignores SIGPIPE, as every Rust program does.
        let mut output = Output::new(Some(writer), Arc::default());
        output.write(b"lost");
        assert!(output.file.is_none());
        output.write(b"lost too");
    }

    #[test]
    fn output_arrives() {
        let (mut reader, writer) = pipe();
        Output::new(Some(writer), Arc::default()).write(b"hello");
        let mut text = String::new();
        reader.read_to_string(&mut text).unwrap();
        assert_eq!(text, "hello");
    }
}
