//! From a kernel file to a guest that is ready for its first instruction.
//!
//! | module | what it knows |
//! |---|---|
//! | [`image`] | what a kernel file is, by its headers and notes |
//! | [`abi`], [`protocols`] | the ABIs by name, and the list of their implementations |
//! | [`protocol`] | what every one of them answers: the trait |
//! | [`linux`], [`bzimage`], [`pvh`], [`multiboot`], [`hermit`], [`solo5`] | one protocol each |
//! | [`elf`], [`notes`], [`read`] | an ELF file's headers and notes |
//! | [`program`] | segments, entry and limits, and whether they can be |
//! | [`place`] | whether kernel and initrd fit into a machine, and where the initrd goes |
//! | [`load`] | kernel and initrd into guest memory |
//! | [`cmdline`] | what every kernel of a PC is told |
//! | [`gzip`], [`tar`] | Hermit's kernels as they are shipped |
//!
//! A new ABI is a file of its own with an implementation of
//! [`BootProtocol`](protocol::BootProtocol), a name in [`abi`] and an entry in [`protocols`].

mod abi;
mod bzimage;
mod cmdline;
#[cfg(test)]
mod corrupt;
mod elf;
mod gzip;
pub(crate) mod hermit;
mod image;
mod linux;
mod load;
mod multiboot;
mod notes;
mod place;
mod program;
mod protocol;
mod protocols;
mod pvh;
mod read;
pub(crate) mod solo5;
mod tar;
#[cfg(test)]
pub(crate) mod testing;

pub use abi::BootAbi;
pub use gzip::{Unpacked, unpack};
pub use image::KernelImage;
pub use load::dry_run;
pub(crate) use load::load;
pub(crate) use protocol::{BootParams, HypercallAbi, Loaded};
