//! Memory-mapped I/O: which device answers which guest-physical address.

use super::pci::PciBus;
use super::pci::config::Space;

use super::virtio::mmio::{Mmio, WINDOW};
use crate::arch::layout::VIRTIO;
use crate::error::Error;

use crate::arch::ports::MMIO_IRQS as IRQS;

/// The virtio devices in the order of their windows, and the functions of the PCI bus. Each vCPU
/// has a clone. What is not there reads all ones and ignores writes.
#[derive(Clone)]
pub(crate) struct MmioBus {
    devices: Vec<Mmio>,
    pci: PciBus,
}

/// A place for a device.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Slot {
    pub index: u8,
    /// The window's guest-physical address; it has [`WINDOW`] bytes.
    pub gpa: u64,
    pub irq: u32,
}

impl Slot {
    /// The places of so many devices.
    ///
    /// # Errors
    /// [`Error::TooManyDevices`].
    pub(crate) fn first(count: usize) -> Result<Vec<Slot>, Error> {
        if count > IRQS.len() {
            let max = IRQS.len();
            return Err(Error::TooManyDevices { count, max });
        }
        let slots = (0u8..).zip(IRQS).take(count);
        let slot = |(index, irq)| Slot {
            index,
            gpa: VIRTIO + u64::from(index) * WINDOW,
            irq,
        };
        Ok(slots.map(slot).collect())
    }

    /// How Linux, and kernels that read as it does, are told of it on their command line
    /// (Documentation/admin-guide/kernel-parameters.txt, "virtio_mmio.device").
    pub(crate) fn word(&self) -> String {
        let Slot { gpa, irq, .. } = self;
        format!("virtio_mmio.device=4K@{gpa:#x}:{irq}")
    }
}

/// What a kernel that looks for devices on its command line must find there for so many of them.
///
/// # Errors
/// [`Error::TooManyDevices`].
pub fn mmio_words(devices: usize) -> Result<Vec<String>, Error> {
    let slots = Slot::first(devices)?;
    Ok(slots.iter().map(Slot::word).collect())
}

impl MmioBus {
    pub(crate) fn new(devices: Vec<Mmio>, pci: PciBus) -> MmioBus {
        MmioBus { devices, pci }
    }

    /// Answers a read.
    pub(crate) fn read(&self, gpa: u64, data: &mut [u8]) {
        match self.find(gpa) {
            Some((device, offset)) => device.read(offset, data),
            None if self.pci.read_at(Space::Memory, gpa, data) => {}
            None => data.fill(0xff),
        }
    }

    /// Carries out a write.
    pub(crate) fn write(&self, gpa: u64, data: &[u8]) {
        match self.find(gpa) {
            Some((device, offset)) => device.write(offset, data),
            None => drop(self.pci.write_at(Space::Memory, gpa, data)),
        }
    }

    fn find(&self, gpa: u64) -> Option<(&Mmio, u64)> {
        let offset = gpa.checked_sub(VIRTIO)?;
        let device = self.devices.get(usize::try_from(offset / WINDOW).ok()?)?;
        Some((device, offset % WINDOW))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn places_are_told_as_firecracker_tells_them() {
        let words = mmio_words(2).unwrap();
        assert_eq!(
            words,
            [
                "virtio_mmio.device=4K@0xd0000000:5",
                "virtio_mmio.device=4K@0xd0001000:6"
            ]
        );
        assert_eq!(mmio_words(8).unwrap().len(), 8);
        let fault = mmio_words(9).unwrap_err().to_string();
        assert!(fault.contains("9 virtio devices"), "{fault}");
    }
}
