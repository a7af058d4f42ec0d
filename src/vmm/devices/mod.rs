//! The devices of the machine that KVM does not emulate itself. [`bus`] says which of them
//! answers which port.

pub mod bus;
mod cmos;
mod debug_exit;
mod i8042;
pub mod serial;
