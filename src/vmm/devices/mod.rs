//! The devices of the machine that KVM does not emulate itself. [`bus`] says which of them
//! answers which port.

pub mod board;
pub mod bus;
mod cmos;
pub mod debug_exit;
pub mod i8042;
mod keyboard;
mod pci;
pub mod power;
pub mod serial;
