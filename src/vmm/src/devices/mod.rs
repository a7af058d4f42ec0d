//! The devices of the machine that KVM does not emulate itself. [`bus`] says which of them
//! answers which port, [`mmio_bus`] which one an address in memory.

pub mod board;
pub mod bus;
mod cmos;
pub mod debug_exit;
pub mod i8042;
mod keyboard;
pub mod mmio_bus;
pub mod pci;
pub mod power;
pub mod serial;
pub mod virtio;
