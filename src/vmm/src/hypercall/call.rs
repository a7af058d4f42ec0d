//! One call: who makes it, and what comes of it.

use kvm_ioctls::VcpuFd;
use nix::errno::Errno;

use super::arguments::Buffer;
use super::fault::HypercallFault;
use crate::console::Output;
use crate::exit::{Crash, GuestExit};

/// What calls need of the vCPU that makes them.
pub(crate) trait Cpu {
    /// The register RDI.
    ///
    /// # Errors
    /// [`HypercallFault::Registers`].
    fn rdi(&self) -> Result<u64, HypercallFault>;

    /// The guest-physical address of the virtual one, if it is mapped.
    fn translate(&self, gva: u64) -> Option<u64>;
}

impl Cpu for VcpuFd {
    fn rdi(&self) -> Result<u64, HypercallFault> {
        self.get_regs()
            .map(|regs| regs.rdi)
            .map_err(|e| HypercallFault::Registers(Errno::from_raw(e.errno())))
    }

    fn translate(&self, gva: u64) -> Option<u64> {
        let translation = self.translate_gva(gva).ok()?;
        (translation.valid != 0).then_some(translation.physical_address)
    }
}

/// What came of an access to a port.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Called {
    /// It was a call, which has been carried out.
    Done,
    /// It was the guest's last.
    Ended(GuestExit),
}

/// How a guest ends that made a call wrong.
pub(super) fn crash(call: &'static str, source: HypercallFault) -> Called {
    Called::Ended(GuestExit::Crashed(Crash::Hypercall { call, source }))
}

/// How a guest ends with the code of its choice, of which a program's status keeps the lowest
/// byte (exit(3)).
pub(super) fn exit(code: i32) -> Called {
    let [lowest, ..] = code.to_le_bytes();
    Called::Ended(GuestExit::Code(lowest))
}

/// Sends a text to the guest's console. Whoever stops the guest does not wait for what it still
/// has to say, which may be all of its memory, and nobody there to read it.
pub(super) fn print(output: &mut Output, text: &Buffer<'_>) -> Result<(), HypercallFault> {
    let _: Result<(), ()> = text.for_each(|_, part| {
        output.write(part);
        match output.is_stopped() {
            true => Err(()),
            false => Ok(()),
        }
    })?;
    Ok(())
}
