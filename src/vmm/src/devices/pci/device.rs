//! What a device of the PCI bus is.

use super::config::Space;

/// A function of the bus, the only one of its device. All vCPUs call it at once.
pub(crate) trait PciDevice: Send + Sync {
    /// Reads its configuration space from byte `offset` on.
    fn read_config(&self, offset: usize, data: &mut [u8]);

    /// Writes its configuration space from byte `offset` on.
    fn write_config(&self, offset: usize, data: &[u8]);

    /// Reads what one of its base address registers leads to; false where none leads to
    /// `address`.
    fn read(&self, space: Space, address: u64, data: &mut [u8]) -> bool;

    /// Likewise, writes.
    fn write(&self, space: Space, address: u64, data: &[u8]) -> bool;
}
