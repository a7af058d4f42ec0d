//! How a driver finds a device and sets it up (virtio 1.2, section 4).
//!
//! | module | what is in it |
//! |---|---|
//! | [`core`] | what all transports have in common: features, status, the set-up of queues |
//! | [`interface`] | legacy or modern |
//! | [`mmio`] | over registers in memory |
//! | [`mmio_slot`] | where those are |
//! | [`pci`] | over a PCI bus |

pub(crate) mod core;
pub(crate) mod interface;
pub(crate) mod mmio;
pub(crate) mod mmio_slot;
pub(crate) mod pci;
