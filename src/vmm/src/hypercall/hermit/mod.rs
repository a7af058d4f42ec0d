//! Hermit's calls: a write to a port by which the kernel asks for files, for its console, for
//! its end (uhyve, uhyve-interface).
//!
//! | module | what it knows |
//! |---|---|
//! | [`v1`], [`v2`] | one interface each: ports and structures |
//! | [`calls`] | what both have: the calls themselves |
//! | [`files`] | the container's files, as a guest may have them |
//! | [`args`] | arguments and environment in a command line |
//!
//! What lies at other ports are the machine's devices.

mod args;
mod calls;
mod files;
mod v1;
mod v2;

use super::call::{Called, Cpu};
use crate::boot::hermit::interface::Interface;
use crate::memory::GuestMemory;
pub(crate) use calls::Hermit;
pub(crate) use files::Root;

impl Hermit {
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
}

#[cfg(test)]
mod tests;
