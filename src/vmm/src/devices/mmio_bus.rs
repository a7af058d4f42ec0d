//! Memory-mapped I/O: which device answers which guest-physical address.

use super::pci::config::Space;
use crate::devices::pci::bus::PciBus;

use crate::arch::layout::VIRTIO;
use crate::devices::virtio::transport::mmio::MmioTransport;
use crate::devices::virtio::transport::mmio_slot::WINDOW;

/// The virtio devices in the order of their windows, and the functions of the PCI bus. Each vCPU
/// has a clone. What is not there reads all ones and ignores writes.
#[derive(Clone)]
pub(crate) struct MmioBus {
    devices: Vec<MmioTransport>,
    pci: PciBus,
}

impl MmioBus {
    pub(crate) fn new(devices: Vec<MmioTransport>, pci: PciBus) -> MmioBus {
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

    fn find(&self, gpa: u64) -> Option<(&MmioTransport, u64)> {
        let offset = gpa.checked_sub(VIRTIO)?;
        let device = self.devices.get(usize::try_from(offset / WINDOW).ok()?)?;
        Some((device, offset % WINDOW))
    }
}
