//! The host bridge: by its class guests know that there is a bus. It has no registers.

use super::config::Space;
use super::device::PciDevice;

/// Vendor and device are Intel's 82441FX, as in QEMU's machines.
const ID: u32 = 0x1237_8086;
const CLASS: u32 = 0x0600_0000;

pub(crate) struct HostBridge;

impl PciDevice for HostBridge {
    fn read_config(&self, offset: usize, data: &mut [u8]) {
        for (at, byte) in (offset..).zip(data) {
            let word: u32 = match at & !3 {
                0x00 => ID,
                0x08 => CLASS,
                _ => 0,
            };
            *byte = word.to_le_bytes()[at & 3];
        }
    }

    fn write_config(&self, _: usize, _: &[u8]) {}

    fn read(&self, _: Space, _: u64, _: &mut [u8]) -> bool {
        false
    }

    fn write(&self, _: Space, _: u64, _: &[u8]) -> bool {
        false
    }
}
