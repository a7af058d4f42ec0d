//! Interfaces 2 and 3: a write of anything, with a structure's address in RDI (uhyve-interface,
//! v2). Buffers are given by guest-physical addresses.

use nix::errno::Errno;

use super::calls::{Hermit, STDERR, STDIN, done, known, path, returned_wide};
use super::files::{Answer, Attributes};
use crate::arch::ports::hermit_v2::{
    CLOSE, EXIT, FSTAT, GETDENTS, LSEEK, MKDIR, NOT_OFFERED, OPEN, READ, SERIAL_BUFFER,
    SERIAL_BYTE, STAT, UNLINK, WRITE,
};
use crate::bits::low;
use crate::hypercall::arguments::Arguments;
use crate::hypercall::call::{Called, Cpu, crash, exit, print};
use crate::hypercall::fault::HypercallFault;
use crate::memory::GuestMemory;

/// `StatResult` and its like: nothing yet, success, an error with its number behind it.
const SUCCESS: i32 = 1;
const ERROR: i32 = 2;
/// `GetdentResult::Error`.
const GETDENTS_ERROR: i32 = 3;

/// `StatKind::Stat`: symbolic links are followed.
const FOLLOW: i32 = 0;

impl Hermit {
    pub(super) fn write_v2(
        &mut self,
        port: u16,
        memory: &GuestMemory,
        cpu: &dyn Cpu,
    ) -> Option<Called> {
        if !(EXIT..=NOT_OFFERED[3].0).contains(&port) {
            return None;
        }
        let gpa = match cpu.rdi() {
            Ok(rdi) => rdi,
            Err(fault) => return Some(crash("any", fault)),
        };
        let at = |size| Arguments::at(memory, gpa, size);
        Some(match port {
            EXIT => exit(low(gpa).cast_signed()),
            SERIAL_BYTE => {
                let [byte, ..] = gpa.to_le_bytes();
                self.output.write(&[byte]);
                Called::Done
            }
            SERIAL_BUFFER => done(
                "serial_write_buffer",
                at(16).and_then(|args| {
                    let text = args.buffer(args.word(8)?, args.word(0)?)?;
                    print(&mut self.output, &text)
                }),
            ),
            WRITE => done("write", at(32).and_then(|args| self.write_file_v2(&args))),
            OPEN => done("open", at(20).and_then(|args| self.open(&args))),
            CLOSE => done("close", at(8).and_then(|args| self.close(&args))),
            READ => done("read", at(32).and_then(|args| self.read_v2(&args))),
            LSEEK => done("lseek", at(16).and_then(|args| self.lseek_v2(&args))),
            UNLINK => done("unlink", at(12).and_then(|args| self.unlink(&args))),
            GETDENTS => done("getdents", at(40).and_then(|args| getdents(&args))),
            STAT => done("stat", at(32).and_then(|args| self.stat(&args))),
            FSTAT => done("fstat", at(24).and_then(|args| self.fstat(&args))),
            MKDIR => done("mkdir", at(24).and_then(|args| self.mkdir(&args))),
            port => {
                let (_, call) = NOT_OFFERED.iter().find(|(known, _)| *known == port)?;
                crash(call, HypercallFault::NotOffered)
            }
        })
    }

    /// Length, what it returns, buffer, fd.
    fn write_file_v2(&mut self, args: &Arguments<'_>) -> Result<(), HypercallFault> {
        let buffer = args.buffer(args.word(16)?, args.word(0)?)?;
        let written = self.write_some(args.int(24)?, &buffer)?;
        args.put_word(8, returned_wide(written).cast_unsigned())
    }

    /// Likewise.
    fn read_v2(&mut self, args: &Arguments<'_>) -> Result<(), HypercallFault> {
        let buffer = args.buffer(args.word(16)?, args.word(0)?)?;
        let read = self.read(args.int(24)?, &buffer)?;
        args.put_word(8, returned_wide(read).cast_unsigned())
    }

    /// Offset, whence, fd; the offset is what it returns.
    fn lseek_v2(&mut self, args: &Arguments<'_>) -> Result<(), HypercallFault> {
        let (offset, whence, fd) = (args.word(0)?.cast_signed(), args.int(8)?, args.int(12)?);
        let offset = self.files.seek(fd, offset, whence);
        args.put_word(0, returned_wide(offset).cast_unsigned())
    }

    /// Path, kind, where the attributes go, what it returns.
    fn stat(&mut self, args: &Arguments<'_>) -> Result<(), HypercallFault> {
        let path = path(args, args.word(0)?)?;
        let follow = args.int(8)? == FOLLOW;
        let found = path.and_then(|path| self.files.stat(&path, follow));
        put_attributes(args, args.word(16)?, 24, found)
    }

    /// fd, where the attributes go, what it returns.
    fn fstat(&mut self, args: &Arguments<'_>) -> Result<(), HypercallFault> {
        let found = match args.int(0)? {
            // The host's own say nothing that is the guest's business.
            STDIN..=STDERR => Err(Errno::EBADF),
            fd => self.files.fstat(fd),
        };
        put_attributes(args, args.word(8)?, 16, found)
    }

    /// Path, its length, what it returns.
    fn mkdir(&mut self, args: &Arguments<'_>) -> Result<(), HypercallFault> {
        let path = path(args, args.word(0)?)?;
        let made = path.and_then(|path| self.files.mkdir(&path));
        put_result(args, 16, made)
    }
}

/// fd, buffer, length, what it returns: there are no open directories.
fn getdents(args: &Arguments<'_>) -> Result<(), HypercallFault> {
    args.put_int(24, GETDENTS_ERROR)?;
    args.put_int(32, known(Errno::EBADF))
}

fn put_attributes(
    args: &Arguments<'_>,
    gpa: u64,
    result_at: u64,
    found: Answer<Attributes>,
) -> Result<(), HypercallFault> {
    if let Ok(attributes) = &found {
        let bytes = attributes.bytes();
        args.buffer(gpa, bytes.len() as u64)?.put(&bytes)?;
    }
    put_result(args, result_at, found.map(|_| ()))
}

fn put_result(args: &Arguments<'_>, at: u64, result: Answer<()>) -> Result<(), HypercallFault> {
    match result {
        Ok(()) => args.put_int(at, SUCCESS),
        Err(errno) => {
            args.put_int(at, ERROR)?;
            args.put_int(at + 4, known(errno))
        }
    }
}
