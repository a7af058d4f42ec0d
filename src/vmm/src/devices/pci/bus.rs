//! Accesses to the devices of a PCI bus: to their configuration space by mechanism 1 (PCI Local
//! Bus Specification 3.0, section 3.2.2.3), and to what their base address registers lead to.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

use super::config::Space;
use super::device::PciDevice;
use super::host_bridge::HostBridge;
use crate::arch::ports::RESET_CONTROL;
use crate::exit::GuestExit;

pub(crate) use crate::arch::ports::PCI_ADDRESS as ADDRESS;
pub(crate) const ADDRESS_LAST: u16 = ADDRESS + 3;
pub(crate) use crate::arch::ports::PCI_DATA as DATA;
pub(crate) const DATA_LAST: u16 = DATA + 3;

/// In the reset control register: pulls the processor's reset line.
const RESET_PROCESSOR: u8 = 1 << 2;

/// CONFIG_ADDRESS: bit 31 enables it, bits 16 to 23 name the bus, 11 to 15 the device, 8 to 10
/// its function, 2 to 7 the register.
const ENABLE: u32 = 1 << 31;
const WRITABLE: u32 = ENABLE | 0x00ff_fffc;
const REGISTER: u32 = 0xfc;

/// What a read finds where nothing is.
const ABSENT: u8 = 0xff;

/// A handle on the bus. All vCPUs share it, and its address register.
#[derive(Clone)]
pub(crate) struct PciBus(Arc<Inner>);

struct Inner {
    address: AtomicU32,
    /// By their numbers, each with function 0 alone.
    devices: Vec<Box<dyn PciDevice>>,
}

impl Default for PciBus {
    /// A bus with nothing but its bridge.
    fn default() -> PciBus {
        PciBus::new(Vec::new())
    }
}

impl PciBus {
    /// A bus with a host bridge as device 0, and these devices from 1 on.
    pub(crate) fn new(devices: Vec<Box<dyn PciDevice>>) -> PciBus {
        let bridge: Box<dyn PciDevice> = Box::new(HostBridge);
        PciBus(Arc::new(Inner {
            address: AtomicU32::new(0),
            devices: std::iter::once(bridge).chain(devices).collect(),
        }))
    }

    /// Reads from the address, or from what it selects, up to the end of its four bytes.
    pub(crate) fn read(&self, port: u16, data: &mut [u8]) {
        data.fill(ABSENT);
        let at = usize::from(port & 3);
        let within = data.len().min(4 - at);
        let data = &mut data[..within];
        let address = self.0.address.load(Ordering::Relaxed);
        match port {
            ADDRESS..=ADDRESS_LAST => data.copy_from_slice(&address.to_le_bytes()[at..][..within]),
            _ => {
                if let Some(device) = self.selected(address) {
                    device.read_config((address & REGISTER) as usize + at, data);
                }
            }
        }
    }

    /// Carries out a write to the address, of four bytes, to the reset register in it, or to
    /// what the address selects.
    pub(crate) fn write(&self, port: u16, data: &[u8]) -> Option<GuestExit> {
        match (port, data) {
            (ADDRESS, [a, b, c, d]) => {
                let address = u32::from_le_bytes([*a, *b, *c, *d]) & WRITABLE;
                self.0.address.store(address, Ordering::Relaxed);
            }
            (RESET_CONTROL, [value]) if value & RESET_PROCESSOR != 0 => {
                return Some(GuestExit::Reset);
            }
            (ADDRESS..=ADDRESS_LAST, _) => {}
            _ => {
                let address = self.0.address.load(Ordering::Relaxed);
                let at = usize::from(port & 3);
                let within = data.len().min(4 - at);
                if let Some(device) = self.selected(address) {
                    device.write_config((address & REGISTER) as usize + at, &data[..within]);
                }
            }
        }
        None
    }

    fn selected(&self, address: u32) -> Option<&dyn PciDevice> {
        // Bus and function are 0.
        if address & ENABLE == 0 || address & 0x00ff_0700 != 0 {
            return None;
        }
        let number = (address >> 11 & 0x1f) as usize;
        self.0.devices.get(number).map(Box::as_ref)
    }

    /// Reads from a device's ports or memory; false where there is none.
    pub(crate) fn read_at(&self, space: Space, address: u64, data: &mut [u8]) -> bool {
        let mut devices = self.0.devices.iter();
        devices.any(|device| device.read(space, address, data))
    }

    /// Likewise, writes.
    pub(crate) fn write_at(&self, space: Space, address: u64, data: &[u8]) -> bool {
        let mut devices = self.0.devices.iter();
        devices.any(|device| device.write(space, address, data))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(bus: &PciBus, address: u32) -> u32 {
        bus.write(ADDRESS, &address.to_le_bytes());
        let mut data = [0; 4];
        bus.read(DATA, &mut data);
        u32::from_le_bytes(data)
    }

    #[test]
    fn an_empty_bus_holds_a_host_bridge_and_nothing_else() {
        let bus = PciBus::default();
        assert_eq!(read(&bus, 0x8000_0000), 0x1237_8086);
        assert_eq!(read(&bus, 0x8000_0008), 0x0600_0000);
        assert_eq!(read(&bus, 0x8000_0010), 0, "no memory of its own");
        for absent in [0x8000_0100, 0x8000_0800, 0x8001_0000, 0x80ff_ff00] {
            assert_eq!(read(&bus, absent), u32::MAX, "{absent:#x}");
        }
        assert_eq!(read(&bus, 0x0000_0000), u32::MAX, "not enabled");
        let mut half = [0; 2];
        read(&bus, 0x8000_0000);
        bus.read(DATA + 2, &mut half);
        assert_eq!(half, [0x37, 0x12]);
        bus.read(DATA + 3, &mut half);
        assert_eq!(half, [0x12, 0xff], "not across the end");
    }

    #[test]
    fn the_address_reads_back_as_guests_check_it() {
        let bus = PciBus::default();
        bus.write(ADDRESS, &[0xff; 4]);
        let mut back = [0; 4];
        bus.read(ADDRESS, &mut back);
        assert_eq!(u32::from_le_bytes(back), 0x80ff_fffc);
        bus.write(ADDRESS, &[0]);
        bus.read(ADDRESS + 3, &mut back[..1]);
        assert_eq!(back[0], 0x80, "only four bytes at once");
    }

    #[test]
    fn the_reset_register_resets() {
        let bus = PciBus::default();
        assert_eq!(bus.write(0xcf9, &[0x02]), None);
        assert_eq!(bus.write(0xcf9, &[0x06]), Some(GuestExit::Reset));
        assert_eq!(bus.write(0xcf8, &[0, 6, 0, 0]), None);
    }
}
