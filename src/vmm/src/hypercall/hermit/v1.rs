//! Interface 1: a 32-bit write of a structure's address, which is packed (uhyve-interface,
//! v1). Buffers are given by virtual addresses.

use super::args::ProgramArgs;
use super::calls::{Hermit, done, returned_wide};
use crate::arch::layout::PAGE_SIZE;
use crate::arch::ports::hermit_v1::{
    CLOSE, CMDSIZE, CMDVAL, EXIT, LSEEK, NETWORK, OPEN, READ, SERIAL_BUFFER, UART, UNLINK, WRITE,
};
use crate::hypercall::arguments::{Arguments, Buffer};
use crate::hypercall::call::{Called, Cpu, crash, exit, print};
use crate::hypercall::fault::HypercallFault;
use crate::memory::GuestMemory;

impl Hermit {
    pub(super) fn write_v1(
        &mut self,
        port: u16,
        data: &[u8],
        memory: &GuestMemory,
        cpu: &dyn Cpu,
    ) -> Option<Called> {
        if port == UART {
            self.output.write(&data[..data.len().min(1)]);
            return Some(Called::Done);
        }
        let gpa = u32::from_le_bytes(data.try_into().ok()?).into();
        let at = |size| Arguments::at(memory, gpa, size);
        Some(match port {
            WRITE => done(
                "write",
                at(20).and_then(|args| self.write_file_v1(&args, cpu)),
            ),
            OPEN => done("open", at(20).and_then(|args| self.open(&args))),
            CLOSE => done("close", at(8).and_then(|args| self.close(&args))),
            READ => done("read", at(28).and_then(|args| self.read_v1(&args, cpu))),
            EXIT => match at(4).and_then(|args| args.int(0)) {
                Ok(code) => exit(code),
                Err(fault) => crash("exit", fault),
            },
            LSEEK => done("lseek", at(16).and_then(|args| self.lseek_v1(&args))),
            CMDSIZE => done(
                "cmdsize",
                at(ProgramArgs::SIZES).and_then(|args| self.program_args.put_sizes(&args)),
            ),
            CMDVAL => done(
                "cmdval",
                at(16).and_then(|args| self.program_args.put_values(&args)),
            ),
            UNLINK => done("unlink", at(12).and_then(|args| self.unlink(&args))),
            SERIAL_BUFFER => done(
                "serial_write_buffer",
                at(16).and_then(|args| {
                    let text = args.buffer(args.word(0)?, args.word(8)?)?;
                    print(&mut self.output, &text)
                }),
            ),
            port if NETWORK.contains(&port) => crash("net", HypercallFault::NotOffered),
            _ => return None,
        })
    }

    /// fd, buffer, length. There is no answer: all of it is written, or the guest ends.
    fn write_file_v1(&mut self, args: &Arguments<'_>, cpu: &dyn Cpu) -> Result<(), HypercallFault> {
        let fd = args.int(0)?;
        for page in pages(args, args.word(4)?, args.word(12)?, cpu) {
            // The length is the guest's, and may be of more pages than there are: one can be
            // mapped many times over.
            if self.output.is_stopped() {
                break;
            }
            let page = page?;
            let mut written = 0;
            while written < page.len {
                match self.write_some(fd, &page.part(written, page.len))? {
                    Ok(0) => return Err(HypercallFault::ShortWrite),
                    Ok(some) => written += some,
                    Err(errno) => return Err(HypercallFault::Write(errno)),
                }
            }
        }
        Ok(())
    }

    /// fd, buffer, length, what it returns.
    fn read_v1(&mut self, args: &Arguments<'_>, cpu: &dyn Cpu) -> Result<(), HypercallFault> {
        let fd = args.int(0)?;
        let mut total = 0;
        let mut answer = Ok(0);
        for page in pages(args, args.word(4)?, args.word(12)?, cpu) {
            if self.output.is_stopped() {
                break;
            }
            let page = page?;
            match self.read(fd, &page)? {
                Ok(read) => {
                    total += read;
                    answer = Ok(total);
                    if read < page.len {
                        break;
                    }
                }
                // What has been read before the error counts.
                Err(errno) if total == 0 => answer = Err(errno),
                Err(_) => {}
            }
            if answer.is_err() {
                break;
            }
        }
        args.put_word(20, returned_wide(answer).cast_unsigned())
    }

    /// fd, offset, whence; the offset is what it returns.
    fn lseek_v1(&mut self, args: &Arguments<'_>) -> Result<(), HypercallFault> {
        let (fd, offset, whence) = (args.int(0)?, args.word(4)?.cast_signed(), args.int(12)?);
        let offset = self.files.seek(fd, offset, whence);
        // -1, whatever the error.
        args.put_word(4, offset.unwrap_or(u64::MAX))
    }
}

/// The buffer of `len` bytes at the virtual address `gva`, page by page: what lies side by
/// side there need not in the machine's memory.
fn pages<'a>(
    args: &'a Arguments<'a>,
    gva: u64,
    len: u64,
    cpu: &'a dyn Cpu,
) -> impl Iterator<Item = Result<Buffer<'a>, HypercallFault>> {
    let mut at = 0;
    std::iter::from_fn(move || {
        if at >= len {
            return None;
        }
        let address = gva.wrapping_add(at);
        let size = (PAGE_SIZE - address % PAGE_SIZE).min(len - at);
        at += size;
        let gpa = cpu
            .translate(address)
            .ok_or(HypercallFault::NotMapped { gva: address });
        Some(gpa.and_then(|gpa| args.buffer(gpa, size)))
    })
}
