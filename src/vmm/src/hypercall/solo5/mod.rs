//! Solo5's eight calls: a 32-bit write of a structure's address to port 0x500 + n (Solo5,
//! include/hvt_abi.h; tenders/hvt/hvt_core.c, hvt_module_blk.c and hvt_module_net.c).
//!
//! A Solo5 machine has no other ports: whatever else is written or read ends the guest.

mod block;
mod devices;
mod net;
mod poll;
mod returned;

use std::os::fd::RawFd;
use std::time::{SystemTime, UNIX_EPOCH};

use super::arguments::Arguments;
use super::call::{Called, crash, exit, print};
use super::fault::HypercallFault;
use crate::arch::ports::SOLO5_HYPERCALLS;
use crate::console::Output;
use crate::exit::{Crash, GuestExit};
use crate::memory::GuestMemory;
pub(crate) use devices::Devices;

/// `enum hvt_hypercall`.
const CALLS: [&str; 9] = [
    "",
    "walltime",
    "puts",
    "poll",
    "block_write",
    "block_read",
    "net_write",
    "net_read",
    "halt",
];
const WALLTIME: usize = 1;
const PUTS: usize = 2;
const POLL: usize = 3;
const BLOCK_WRITE: usize = 4;
const BLOCK_READ: usize = 5;
const NET_WRITE: usize = 6;
const NET_READ: usize = 7;
const HALT: usize = 8;

/// SOLO5_EXIT_ABORT: the status of a kernel that panicked.
const ABORT: i32 = 255;

/// The calls, with what they work on.
pub(crate) struct Solo5 {
    devices: Devices,
    output: Output,
}

impl Solo5 {
    /// The calls of a kernel with these devices, whose console is nowhere yet.
    pub(crate) fn new(devices: Devices) -> Solo5 {
        Solo5 {
            devices,
            output: Output::default(),
        }
    }

    pub(crate) fn connect(&mut self, output: Output) {
        self.output = output;
    }

    pub(crate) fn descriptors(&self) -> Vec<RawFd> {
        self.devices.descriptors()
    }

    /// Carries out the call that a write of `data` to `port` is.
    pub(crate) fn write(&mut self, port: u16, data: &[u8], memory: &GuestMemory) -> Called {
        let number = usize::from(port.wrapping_sub(SOLO5_HYPERCALLS));
        let (Some(&call), &[a, b, c, d]) = (CALLS.get(number), data) else {
            return no_call(port);
        };
        let gpa = u32::from_le_bytes([a, b, c, d]).into();
        let at = |size| Arguments::at(memory, gpa, size);
        let done = match number {
            WALLTIME => at(8).and_then(|args| walltime(&args)),
            PUTS => at(16).and_then(|args| self.puts(&args)),
            POLL => at(24).and_then(|args| poll::poll(&args, &self.devices, &self.output)),
            BLOCK_WRITE => at(40).and_then(|args| {
                let block = self.devices.block(args.word(0)?);
                block::write(&args, block, &self.output)
            }),
            BLOCK_READ => at(40).and_then(|args| {
                let block = self.devices.block(args.word(0)?);
                block::read(&args, block, &self.output)
            }),
            NET_WRITE => at(32).and_then(|args| net::write(&args, self.devices.net(args.word(0)?))),
            NET_READ => at(32).and_then(|args| net::read(&args, self.devices.net(args.word(0)?))),
            HALT => return halt(at(16)),
            _ => return no_call(port),
        };
        match done {
            Ok(()) => Called::Done,
            Err(fault) => crash(call, fault),
        }
    }

    /// `hvt_hc_puts`: data, len.
    fn puts(&mut self, args: &Arguments<'_>) -> Result<(), HypercallFault> {
        let text = args.buffer(args.word(0)?, args.word(8)?)?;
        print(&mut self.output, &text)
    }
}

/// `hvt_hc_walltime`: nanoseconds since 1970, of UTC.
fn walltime(args: &Arguments<'_>) -> Result<(), HypercallFault> {
    let since = SystemTime::now().duration_since(UNIX_EPOCH);
    // Before 1970 it is 1970; 64 bits last until 2554.
    let nanoseconds = since.map_or(0, |since| {
        u64::try_from(since.as_nanos()).unwrap_or(u64::MAX)
    });
    args.put_word(0, nanoseconds)
}

/// `hvt_hc_halt`: cookie, exit status. The cookie says where a core dump would find the
/// registers; none is made here.
fn halt(args: Result<Arguments<'_>, HypercallFault>) -> Called {
    match args.and_then(|args| args.int(8)) {
        Ok(ABORT) => {
            let by = "solo5_abort";
            Called::Ended(GuestExit::Crashed(Crash::GuestReported { by }))
        }
        Ok(status) => exit(status),
        Err(fault) => crash(CALLS[HALT], fault),
    }
}

/// How a guest ends that reads from a port, or writes to one that is no call, or in another
/// width than 32 bits.
pub(crate) fn no_call(port: u16) -> Called {
    Called::Ended(GuestExit::Crashed(Crash::NoSuchPort { port }))
}

#[cfg(test)]
mod tests;
