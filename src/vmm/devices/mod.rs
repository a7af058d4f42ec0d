//! The devices of the machine that KVM does not emulate itself.

pub mod bus;
mod cmos;
mod debug_exit;
mod i8042;
pub mod serial;
