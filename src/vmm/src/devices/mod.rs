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
//! How a device is added:
//!
//! | kind | file | entry |
//! |---|---|---|
//! | virtio | one in `virtio/devices/`, that implements [`virtio::device::Device`] | in `devices` of `virtio/attach.rs`; if a machine always has one, in `count` of `virtio/slots.rs` too |
//! | PCI | one that implements [`pci::device::PciDevice`] | in the list given to [`pci::bus::PciBus::new`] |
//! | on ports | one in `legacy/` | in `read` and `write` of `legacy/pc.rs`; of `port_bus.rs`, if it may block |

pub(crate) mod irq;
pub(crate) mod legacy;
pub(crate) mod mmio_bus;
pub(crate) mod pci;
pub(crate) mod port_bus;
pub(crate) mod virtio;
