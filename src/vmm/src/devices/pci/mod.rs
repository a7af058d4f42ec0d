//! A PCI bus. It knows of its devices what [`device::PciDevice`] says.
//!
//! | module | what is in it |
//! |---|---|
//! | [`bus`] | configuration space accesses by ports, and accesses to base addresses |
//! | [`device`] | what a device of the bus is |
//! | [`host_bridge`] | the first of them |
//! | [`slot`] | where the others are, and what firmware would give them |
//! | [`config`] | a device's configuration space |
//! | [`line`] | interrupt lines that several devices share |

pub(crate) mod bus;
pub(crate) mod config;
pub(crate) mod device;
mod host_bridge;
pub(crate) mod intx;
pub(crate) mod slot;
