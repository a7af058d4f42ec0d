//! Where the devices of the bus are, and what each has there before a guest moves it.

use crate::arch::layout::{PCI_MEMORY, PCI_PORTS};
pub(crate) use crate::arch::ports::PCI_IRQS as IRQS;
use crate::error::Error;

/// Bytes that each function has of ports and of memory.
pub(crate) const FUNCTION_PORTS: u32 = 0x100;
pub(crate) const FUNCTION_MEMORY: u32 = 0x8000;

/// The bus has 32 devices, the first of which is the bridge.
const MAX_DEVICES: usize = 31;

/// A function's address on the bus, and what it has there before a guest moves it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct PciSlot {
    /// On bus 0; its function is 0.
    pub device: u8,
    pub irq: u8,
    /// The first port.
    pub ports: u32,
    /// Guest-physical.
    pub memory: u32,
}

impl PciSlot {
    /// The slots of so many functions.
    ///
    /// # Errors
    /// [`Error::TooManyDevices`].
    pub(crate) fn allocate(count: usize) -> Result<Vec<PciSlot>, Error> {
        if count > MAX_DEVICES {
            let max = MAX_DEVICES;
            return Err(Error::TooManyDevices { count, max });
        }
        let slot = |(index, irq): (u8, u8)| PciSlot {
            device: 1 + index,
            irq,
            ports: u32::from(PCI_PORTS) + u32::from(index) * FUNCTION_PORTS,
            memory: PCI_MEMORY + u32::from(index) * FUNCTION_MEMORY,
        };
        let irqs = IRQS.into_iter().cycle();
        Ok((0..).zip(irqs).map(slot).take(count).collect())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_function_has_a_slot_of_its_own() {
        let slots = PciSlot::allocate(31).unwrap();
        let last = slots[30];
        assert_eq!((last.device, last.irq), (31, 14));
        assert_eq!((last.ports, last.memory), (0xde00, 0xe00f_0000));
        assert_eq!(slots[8].irq, slots[0].irq);
        assert!(PciSlot::allocate(32).is_err());
    }
}
