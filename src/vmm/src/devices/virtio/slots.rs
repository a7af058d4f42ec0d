//! Where a guest finds its virtio devices, before there are any.

use super::transport::interface::Interface;
use super::transport::mmio_slot::MmioSlot;
use crate::config::Transport;
use crate::devices::pci::slot::PciSlot;
use crate::error::Error;

/// How many virtio devices a guest has that gets so many of these, shares of both kinds.
pub fn count(nets: usize, blocks: usize, shares: usize, vsocks: usize) -> usize {
    // And the console and the entropy device.
    nets + blocks + shares + vsocks + 2
}

/// Where a guest finds its devices.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum DeviceSlots {
    Mmio(Interface, Vec<MmioSlot>),
    /// With the oldest interface that a function offers.
    Pci(Interface, Vec<PciSlot>),
}

impl DeviceSlots {
    /// Where it finds none.
    pub(crate) const NONE: DeviceSlots = DeviceSlots::Mmio(Interface::Modern, Vec::new());

    /// The slots of so many devices.
    ///
    /// # Errors
    /// [`Error::TooManyDevices`].
    pub(crate) fn allocate(transport: Transport, count: usize) -> Result<DeviceSlots, Error> {
        let mmio = |interface| Ok(DeviceSlots::Mmio(interface, MmioSlot::allocate(count)?));
        let pci = |oldest| Ok(DeviceSlots::Pci(oldest, PciSlot::allocate(count)?));
        match transport {
            Transport::Mmio => mmio(Interface::Modern),
            Transport::MmioLegacy => mmio(Interface::Legacy),
            Transport::Pci => pci(Interface::Legacy),
            Transport::PciModern => pci(Interface::Modern),
        }
    }
}
