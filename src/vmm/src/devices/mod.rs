//! The devices of the machine that KVM does not emulate itself.
//!
//! | module | what is in it |
//! |---|---|
//! | [`port_bus`] | which device answers which port |
//! | [`mmio_bus`] | which device answers which address in memory |
//! | [`legacy`] | a PC's small devices: serial port, keyboard controller, clock, power button |
//! | [`pci`] | the PCI bus, and what its devices have in common |
//! | [`virtio`] | virtio devices and their transports |
//! | [`irq`] | how a device reaches the interrupt controllers |
//!
//! How a device is added: one file, one entry.
//!
//! | kind | the file | the entry |
//! |---|---|---|
//! | virtio | in `virtio/devices/` | `devices` in `virtio/attach.rs` |
//! | PCI | a [`pci::device::PciDevice`] | the list for [`pci::bus::PciBus::new`] |
//! | at ports | in `legacy/` | `read` and `write` in `legacy/pc.rs` |
//!
//! A virtio device implements [`virtio::device::VirtioDevice`]; `count` in `virtio/slots.rs` knows
//! how many a machine has. A device at ports that may block is not for `legacy/pc.rs`, whose lock
//! nobody holds for long, but for [`port_bus`], as the serial port is.

pub(crate) mod irq;
pub(crate) mod legacy;
pub(crate) mod mmio_bus;
pub(crate) mod pci;
pub(crate) mod port_bus;
pub(crate) mod virtio;
