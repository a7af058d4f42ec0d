//! Where the windows of devices over memory-mapped registers are.

use crate::arch::layout::VIRTIO;
use crate::arch::ports::MMIO_IRQS as IRQS;
use crate::error::Error;

/// Bytes of the registers and the configuration space.
pub(crate) const WINDOW: u64 = 0x1000;

/// Where one device's window is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct MmioSlot {
    pub index: u8,
    /// The window's guest-physical address; it has [`WINDOW`] bytes.
    pub gpa: u64,
    pub irq: u32,
}

impl MmioSlot {
    /// The slots of so many devices.
    ///
    /// # Errors
    /// [`Error::TooManyDevices`].
    pub(crate) fn allocate(count: usize) -> Result<Vec<MmioSlot>, Error> {
        if count > IRQS.len() {
            let max = IRQS.len();
            return Err(Error::TooManyDevices { count, max });
        }
        let slots = (0u8..).zip(IRQS).take(count);
        let slot = |(index, irq)| MmioSlot {
            index,
            gpa: VIRTIO + u64::from(index) * WINDOW,
            irq,
        };
        Ok(slots.map(slot).collect())
    }

    /// How Linux, and kernels that read as it does, are told of it on their command line
    /// (Documentation/admin-guide/kernel-parameters.txt, "virtio_mmio.device").
    pub(crate) fn kernel_parameter(&self) -> String {
        let MmioSlot { gpa, irq, .. } = self;
        format!("virtio_mmio.device=4K@{gpa:#x}:{irq}")
    }
}

/// What a kernel that looks for devices on its command line must find there for so many of them.
///
/// # Errors
/// [`Error::TooManyDevices`].
pub fn virtio_mmio_parameters(devices: usize) -> Result<Vec<String>, Error> {
    let slots = MmioSlot::allocate(devices)?;
    Ok(slots.iter().map(MmioSlot::kernel_parameter).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn slots_are_told_as_firecracker_tells_them() {
        let words = virtio_mmio_parameters(2).unwrap();
        assert_eq!(
            words,
            [
                "virtio_mmio.device=4K@0xd0000000:5",
                "virtio_mmio.device=4K@0xd0001000:6"
            ]
        );
        assert_eq!(virtio_mmio_parameters(8).unwrap().len(), 8);
        let fault = virtio_mmio_parameters(9).unwrap_err().to_string();
        assert!(fault.contains("9 virtio devices"), "{fault}");
    }
}
