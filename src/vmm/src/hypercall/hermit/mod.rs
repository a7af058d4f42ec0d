//! Hermit's calls: a write to a port by which the kernel asks for files, for its console, for
//! its end (uhyve, uhyve-interface).
//!
//! | module | what it knows |
//! |---|---|
//! | [`v1`], [`v2`] | one interface each: ports and structures |
//! | [`files`] | the container's files, as a guest may have them |
//! | [`words`] | arguments and environment in a command line |
//!
//! What lies at other ports are the machine's devices.

mod files;
mod v1;
mod v2;
mod words;

use std::fs::File;
use std::io::{self, Read};
use std::os::fd::RawFd;

use nix::errno::Errno;
use vm_memory::VolatileSlice;

use super::arguments::{Arguments, Buffer};
use super::{Called, Cpu, crash, print};
use crate::boot::hermit::interface::Interface;
use crate::console::Output;
use crate::exit::GuestExit;
use crate::memory::GuestMemory;
pub(crate) use files::{Files, Root};
use words::Told;

/// The most bytes that one call moves whose answer says how many it moved.
const MAX_MOVED: u64 = 1 << 20;

/// The longest path, with its zero byte (PATH_MAX).
const MAX_PATH: u64 = 4096;

/// Descriptors of the guest's that are its console.
const STDIN: i32 = 0;
const STDOUT: i32 = 1;
const STDERR: i32 = 2;

/// The calls, with what they work on.
pub(crate) struct Hermit {
    interface: Interface,
    files: Files,
    told: Told,
    output: Output,
    input: Option<File>,
}

/// What came of a call, where the guest has asked for something that can be answered.
type Answer<T> = Result<T, Errno>;

/// Why a call cannot be answered: a pointer out of the guest's memory, for one.
type Fault = String;

impl Hermit {
    /// The calls of a kernel that speaks `interface`, has `root`'s files and was given this
    /// command line. Its console is nowhere yet.
    pub(crate) fn new(interface: Interface, root: Option<Root>, cmdline: &str) -> Hermit {
        Hermit {
            interface,
            files: Files::new(root),
            told: Told::of(cmdline),
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

    /// Carries out the call that a write of `data` to `port` is; `None`: it is none.
    pub(crate) fn write(
        &mut self,
        port: u16,
        data: &[u8],
        memory: &GuestMemory,
        cpu: &dyn Cpu,
    ) -> Option<Called> {
        match self.interface {
            Interface::V1 => self.write_v1(port, data, memory, cpu),
            Interface::V2 => self.write_v2(port, memory, cpu),
        }
    }

    /// Opens a file for the guest. Flags and modes are Linux's.
    fn open(&mut self, args: &Arguments<'_>) -> Result<(), Fault> {
        let path = path(args, args.word(0)?)?;
        let (flags, mode) = (args.int(8)?, args.int(12)?);
        let opened = path.and_then(|path| self.files.open(&path, flags, mode));
        args.put_int(16, returned(opened))
    }

    fn close(&mut self, args: &Arguments<'_>) -> Result<(), Fault> {
        let closed = match args.int(0)? {
            STDIN..=STDERR => Ok(()),
            fd => self.files.close(fd),
        };
        args.put_int(4, returned(closed.map(|()| 0)))
    }

    fn unlink(&mut self, args: &Arguments<'_>) -> Result<(), Fault> {
        let path = path(args, args.word(0)?)?;
        let unlinked = path.and_then(|path| self.files.unlink(&path));
        args.put_int(8, returned(unlinked.map(|()| 0)))
    }

    /// Reads into at most [`MAX_MOVED`] bytes of `buffer`; says how many there were.
    fn read(&mut self, fd: i32, buffer: &Buffer<'_>) -> Result<Answer<u64>, Fault> {
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
    fn write_some(&mut self, fd: i32, buffer: &Buffer<'_>) -> Result<Answer<u64>, Fault> {
        match fd {
            STDOUT | STDERR => {
                let text = buffer.part(0, MAX_MOVED);
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
fn path(args: &Arguments<'_>, gpa: u64) -> Result<Answer<Vec<u8>>, Fault> {
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
fn returned(answer: Answer<i32>) -> i32 {
    answer.unwrap_or_else(|errno| -known(errno))
}

fn returned_wide(answer: Answer<u64>) -> i64 {
    match answer {
        Ok(count) => count.cast_signed(),
        Err(errno) => (-known(errno)).into(),
    }
}

/// The interface has ten errors; all others are the first of them, as in uhyve.
fn known(errno: Errno) -> i32 {
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

/// The guest's end with the code of its choice, of which a program's status keeps the lowest
/// byte (exit(3)).
fn exit(code: i32) -> Called {
    Called::Ended(GuestExit::Code(code as u8))
}

/// The end of a call without an answer of its own.
fn done(call: &'static str, result: Result<(), Fault>) -> Called {
    match result {
        Ok(()) => Called::Done,
        Err(fault) => crash(call, fault),
    }
}

#[cfg(test)]
mod tests;
