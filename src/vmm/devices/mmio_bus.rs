//! Memory-mapped I/O: which device answers which guest-physical address.

use super::virtio::mmio::{Mmio, WINDOW};
use crate::vmm::boot::layout::VIRTIO;

/// The ISA interrupt of the first virtio device, each next one has the next: of the free ones,
/// those that Firecracker's guests know.
const FIRST_IRQ: u32 = 5;

/// The virtio devices, in the order of their windows. Each vCPU has a clone. What is not there
/// reads all ones and ignores writes.
#[derive(Clone)]
pub struct MmioBus(Vec<Mmio>);

/// Where device number `index` lies.
pub struct Slot {
    index: u32,
}

impl Slot {
    pub fn new(index: u32) -> Slot {
        Slot { index }
    }

    /// The window's guest-physical address; it has [`WINDOW`] bytes.
    pub fn gpa(&self) -> u64 {
        VIRTIO + u64::from(self.index) * WINDOW
    }

    pub fn irq(&self) -> u32 {
        FIRST_IRQ + self.index
    }
}

impl MmioBus {
    pub fn new(devices: Vec<Mmio>) -> MmioBus {
        MmioBus(devices)
    }

    /// Answers a read.
    pub fn read(&self, gpa: u64, data: &mut [u8]) {
        match self.find(gpa) {
            Some((device, offset)) => device.read(offset, data),
            None => data.fill(0xff),
        }
    }

    /// Carries out a write.
    pub fn write(&self, gpa: u64, data: &[u8]) {
        if let Some((device, offset)) = self.find(gpa) {
            device.write(offset, data);
        }
    }

    fn find(&self, gpa: u64) -> Option<(&Mmio, u64)> {
        let offset = gpa.checked_sub(VIRTIO)?;
        let device = self.0.get(usize::try_from(offset / WINDOW).ok()?)?;
        Some((device, offset % WINDOW))
    }
}
