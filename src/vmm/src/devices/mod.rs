//! The devices of the machine that KVM does not emulate itself. [`bus`] says which of them
//! answers which port, [`mmio_bus`] which one an address in memory.

pub(crate) mod board;
pub(crate) mod bus;
mod cmos;
pub(crate) mod debug_exit;
pub(crate) mod i8042;
mod keyboard;
pub(crate) mod mmio_bus;
pub(crate) mod pci;
pub(crate) mod power;
pub(crate) mod serial;
pub(crate) mod virtio;
