//! The calls that both interfaces have, each in its own structure.

use std::fs::File;
use std::io::{self, Read};
use std::os::fd::RawFd;

use nix::errno::Errno;
use vm_memory::VolatileSlice;

use super::args::ProgramArgs;
use super::files::{Answer, Files, Root};
use crate::boot::hermit::interface::Interface;
use crate::console::Output;
use crate::hypercall::arguments::{Arguments, Buffer};
use crate::hypercall::call::{Called, crash, print};
use crate::hypercall::fault::HypercallFault;

/// The most bytes that one call moves whose answer says how many it moved.
const MAX_MOVED: usize = 1 << 20;

/// The longest path, with its zero byte (PATH_MAX).
const MAX_PATH: u64 = 4096;

/// Descriptors of the guest's that are its console.
pub(super) const STDIN: i32 = 0;
const STDOUT: i32 = 1;
pub(super) const STDERR: i32 = 2;

/// The calls, with what they work on.
pub(crate) struct Hermit {
    pub(super) interface: Interface,
    pub(super) files: Files,
    pub(super) program_args: ProgramArgs,
    pub(super) output: Output,
    input: Option<File>,
}

impl Hermit {
    /// The calls of a kernel that speaks `interface`, has `root`'s files and was given this
    /// command line. Its console is nowhere yet.
    pub(crate) fn new(interface: Interface, root: Option<Root>, cmdline: &str) -> Hermit {
        Hermit {
            interface,
            files: Files::new(root),
            program_args: ProgramArgs::of(cmdline),
            output: Output::default(),
            input: None,
        }
    }

    /// Sends what the guest writes to its console to `output`; it reads from `input`.
    pub(crate) fn connect(&mut self, output: Output, input: Option<File>) {
        self.output = output;
        self.input = input;
    }

    pub(crate) fn descriptors(&self) -> Vec<RawFd> {
        self.files.descriptors()
    }

    /// Opens a file for the guest. Flags and modes are Linux's.
    pub(super) fn open(&mut self, args: &Arguments<'_>) -> Result<(), HypercallFault> {
        let path = path(args, args.word(0)?)?;
        let (flags, mode) = (args.int(8)?, args.int(12)?);
        let opened = path.and_then(|path| self.files.open(&path, flags, mode));
        args.put_int(16, returned(opened))
    }

    pub(super) fn close(&mut self, args: &Arguments<'_>) -> Result<(), HypercallFault> {
        let closed = match args.int(0)? {
            STDIN..=STDERR => Ok(()),
            fd => self.files.close(fd),
        };
        args.put_int(4, returned(closed.map(|()| 0)))
    }

    pub(super) fn unlink(&mut self, args: &Arguments<'_>) -> Result<(), HypercallFault> {
        let path = path(args, args.word(0)?)?;
        let unlinked = path.and_then(|path| self.files.unlink(&path));
        args.put_int(8, returned(unlinked.map(|()| 0)))
    }

    /// Reads into at most [`MAX_MOVED`] bytes of `buffer`; says how many there were.
    pub(super) fn read(
        &mut self,
        fd: i32,
        buffer: &Buffer<'_>,
    ) -> Result<Answer<u64>, HypercallFault> {
        let mut part = buffer.beginning(MAX_MOVED)?;
        Ok(match fd {
            _ if part.is_empty() => Ok(0),
            STDIN => self.read_console(&part),
            STDOUT | STDERR => Err(Errno::EBADF),
            fd => self.files.read(fd, &mut part),
        })
    }

    /// Waits for input as a terminal's reader does. At its end, and when the guest is to stop,
    /// there are no more bytes.
    fn read_console(&mut self, part: &VolatileSlice<'_>) -> Answer<u64> {
        let mut bytes = vec![0; part.len().min(4096)];
        while let (Some(input), false) = (&mut self.input, self.output.is_stopped()) {
            match input.read(&mut bytes) {
                Ok(read) => {
                    part.copy_from(&bytes[..read]);
                    return Ok(read as u64);
                }
                Err(e) if e.kind() == io::ErrorKind::Interrupted => {}
                Err(e) if e.kind() == io::ErrorKind::WouldBlock => wait_readable(input),
                Err(_) => self.input = None,
            }
        }
        Ok(0)
    }

    /// Writes at most [`MAX_MOVED`] bytes of `buffer`; says how many.
    pub(super) fn write_some(
        &mut self,
        fd: i32,
        buffer: &Buffer<'_>,
    ) -> Result<Answer<u64>, HypercallFault> {
        match fd {
            STDOUT | STDERR => {
                let text = buffer.part(0, MAX_MOVED as u64);
                print(&mut self.output, &text)?;
                Ok(Ok(text.len))
            }
            fd => {
                let part = buffer.beginning(MAX_MOVED)?;
                Ok(self.files.write(fd, &part))
            }
        }
    }
}

/// Somebody else may have made the descriptor non-blocking. Any failure or signal ends the
/// wait; the caller tries again.
fn wait_readable(file: &File) {
    use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
    use std::os::fd::AsFd;
    let mut fds = [PollFd::new(file.as_fd(), PollFlags::POLLIN)];
    let _ = poll(&mut fds, PollTimeout::NONE);
}

/// The text at `gpa` up to its zero byte.
pub(super) fn path(args: &Arguments<'_>, gpa: u64) -> Result<Answer<Vec<u8>>, HypercallFault> {
    let mut path = Vec::new();
    while (path.len() as u64) < MAX_PATH {
        let at = gpa.saturating_add(path.len() as u64);
        match args.buffer(at, 1)?.to_vec()?[..] {
            [0] => return Ok(Ok(path)),
            ref byte => path.extend(byte),
        }
    }
    Ok(Err(Errno::EINVAL))
}

/// A number as the interface has it: below 0 it is an error.
pub(super) fn returned(answer: Answer<i32>) -> i32 {
    answer.unwrap_or_else(|errno| -known(errno))
}

pub(super) fn returned_wide(answer: Answer<u64>) -> i64 {
    match answer {
        Ok(count) => count.cast_signed(),
        Err(errno) => (-known(errno)).into(),
    }
}

/// The interface has ten errors; all others are the first of them, as in uhyve.
pub(super) fn known(errno: Errno) -> i32 {
    match errno {
        Errno::EBADF
        | Errno::EEXIST
        | Errno::EFAULT
        | Errno::EINVAL
        | Errno::EIO
        | Errno::EISDIR
        | Errno::ENOENT
        | Errno::EOVERFLOW
        | Errno::EROFS => errno as i32,
        _ => Errno::EPERM as i32,
    }
}

/// The end of a call without an answer of its own.
pub(super) fn done(call: &'static str, result: Result<(), HypercallFault>) -> Called {
    match result {
        Ok(()) => Called::Done,
        Err(fault) => crash(call, fault),
    }
}
