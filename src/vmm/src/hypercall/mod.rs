//! Calls that a kernel makes to its monitor, by writing to a port.

mod arguments;
mod call;
pub(crate) mod fault;
pub(crate) mod hermit;
pub(crate) mod solo5;

use std::fs::File;
use std::os::fd::RawFd;

use super::boot::HypercallAbi;
use super::boot::solo5::manifest::Manifest;
use super::config::{BlockDevice, NetDevice};
use super::console::Output;
use super::error::Error;
use super::memory::GuestMemory;
pub(crate) use call::{Called, Cpu};
use hermit::{Hermit, Root};
use solo5::{Devices, Solo5};

/// The calls of one kernel's ABI.
pub(crate) enum Hypercalls {
    Solo5(Solo5),
    Hermit(Hermit),
}

impl Hypercalls {
    /// The calls that a kernel makes by `abi`, on these devices, `root`'s files and this command
    /// line. Its console is nowhere yet.
    ///
    /// # Errors
    /// For a device that the kernel declares and does not get, or gets and does not declare; for
    /// one that cannot be opened.
    pub(crate) fn new(
        abi: HypercallAbi<'_>,
        blocks: Vec<BlockDevice>,
        nets: Vec<NetDevice>,
        root: Option<Root>,
        cmdline: &str,
    ) -> Result<Hypercalls, Error> {
        Ok(match abi {
            HypercallAbi::Solo5(manifest) => {
                let devices = Devices::attach(manifest, blocks, nets)?;
                Hypercalls::Solo5(Solo5::new(devices))
            }
            HypercallAbi::Hermit(interface) => {
                // It declares none, so that it is given none.
                Devices::attach(&mut Manifest::default(), blocks, nets)?;
                Hypercalls::Hermit(Hermit::new(interface, root, cmdline))
            }
        })
    }

    /// Sends what the guest writes to its console to `output`; what it reads comes from
    /// `input`.
    pub(crate) fn connect(&mut self, output: Output, input: Option<File>) {
        match self {
            Hypercalls::Solo5(solo5) => solo5.connect(output),
            Hypercalls::Hermit(hermit) => hermit.connect(output, input),
        }
    }

    /// Carries out what the guest asks for by writing `data` to `port`; what it points to lies
    /// in `memory`. `None`: it is no call, but for a device.
    pub(crate) fn write(
        &mut self,
        port: u16,
        data: &[u8],
        memory: &GuestMemory,
        cpu: &dyn Cpu,
    ) -> Option<Called> {
        match self {
            Hypercalls::Solo5(solo5) => Some(solo5.write(port, data, memory)),
            Hypercalls::Hermit(hermit) => hermit.write(port, data, memory, cpu),
        }
    }

    /// What a read from `port` means, if it is not for a device.
    pub(crate) fn read(&mut self, port: u16) -> Option<Called> {
        match self {
            Hypercalls::Solo5(_) => Some(solo5::no_call(port)),
            Hypercalls::Hermit(_) => None,
        }
    }

    /// The open descriptors that the calls need.
    pub(crate) fn descriptors(&self) -> Vec<RawFd> {
        match self {
            Hypercalls::Solo5(solo5) => solo5.descriptors(),
            Hypercalls::Hermit(hermit) => hermit.descriptors(),
        }
    }
}
