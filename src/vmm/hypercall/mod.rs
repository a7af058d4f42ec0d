//! Calls that a kernel makes to its monitor, by writing to a port.

mod arguments;
pub mod solo5;

use std::os::fd::RawFd;

use super::console::Output;
use super::exit::{Crash, GuestExit};
use super::memory::GuestMemory;
use solo5::Solo5;

/// The calls of one kernel's ABI.
pub enum Hypercalls {
    Solo5(Solo5),
}

/// What came of an access to a port.
#[derive(Debug, PartialEq, Eq)]
pub enum Called {
    /// It was a call, which has been carried out.
    Done,
    /// It was the guest's last.
    Ended(GuestExit),
}

impl Hypercalls {
    /// Sends what the guest writes to its console to `output`.
    pub fn connect(&mut self, output: Output) {
        match self {
            Hypercalls::Solo5(solo5) => solo5.connect(output),
        }
    }

    /// Carries out what the guest asks for by writing `data` to `port`; what it points to lies
    /// in `memory`. `None`: it is no call, but for a device.
    pub fn write(&mut self, port: u16, data: &[u8], memory: &GuestMemory) -> Option<Called> {
        match self {
            Hypercalls::Solo5(solo5) => Some(solo5.write(port, data, memory)),
        }
    }

    /// What a read from `port` means, if it is not for a device.
    pub fn read(&mut self, port: u16) -> Option<Called> {
        match self {
            Hypercalls::Solo5(_) => Some(solo5::no_call(port)),
        }
    }

    /// The open descriptors that the calls need.
    pub fn descriptors(&self) -> Vec<RawFd> {
        match self {
            Hypercalls::Solo5(solo5) => solo5.descriptors(),
        }
    }
}

/// How a guest ends that made a call wrong.
fn crash(call: &'static str, fault: String) -> Called {
    Called::Ended(GuestExit::Crashed(Crash::Hypercall { call, fault }))
}
