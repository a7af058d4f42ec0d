//! Multiboot 1 (Multiboot specification 0.6.96): [`header`] is what the kernel file says,
//! [`info`] what the kernel is told.

mod header;
mod info;

pub(super) use header::Header;
pub(super) use info::prepare;
