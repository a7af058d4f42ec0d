//! A PCI bus: configuration space by mechanism 1 (PCI Local Bus Specification 3.0, section
//! 3.2.2.3), with a host bridge and the functions behind it.

pub(crate) mod config;
pub(crate) mod line;

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

use super::virtio::pci::Function;
use crate::arch::layout::{PCI_MEMORY, PCI_PORTS};
use crate::error::Error;
use crate::exit::GuestExit;
use config::Space;

pub(crate) use crate::arch::ports::PCI_ADDRESS as ADDRESS;
use crate::arch::ports::RESET_CONTROL;
pub(crate) const ADDRESS_LAST: u16 = ADDRESS + 3;
pub(crate) use crate::arch::ports::PCI_DATA as DATA;
pub(crate) const DATA_LAST: u16 = DATA + 3;

/// In the reset control register: bit 2 pulls the processor's reset line.
const RESET_PROCESSOR: u8 = 1 << 2;

/// CONFIG_ADDRESS: bit 31 enables it, bits 16 to 23 name the bus, 11 to 15 the device, 8 to 10
/// its function, 2 to 7 the register.
const ENABLE: u32 = 1 << 31;
const WRITABLE: u32 = ENABLE | 0x00ff_fffc;
const REGISTER: u32 = 0xfc;

/// The host bridge, bus 0, device 0, function 0: vendor and device are Intel's 82441FX, as in
/// QEMU's machines, and the class says what it is.
const BRIDGE_ID: u32 = 0x1237_8086;
const BRIDGE_CLASS: u32 = 0x0600_0000;

/// What a read finds where nothing is.
const ABSENT: u8 = 0xff;

/// Bytes that each function has of ports and of memory.
pub(crate) const FUNCTION_PORTS: u32 = 0x100;
pub(crate) const FUNCTION_MEMORY: u32 = 0x8000;

pub(crate) use crate::arch::ports::PCI_IRQS as IRQS;
/// The bus has 32 devices, the first of which is the bridge.
const MAX_DEVICES: usize = 31;

/// A function's place on the bus, and what it has there before a guest moves it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Slot {
    /// On bus 0; its function is 0.
    pub device: u8,
    pub irq: u8,
    /// The first port.
    pub ports: u32,
    /// Guest-physical.
    pub memory: u32,
}

impl Slot {
    /// The places of so many functions.
    ///
    /// # Errors
    /// [`Error::TooManyDevices`].
    pub(crate) fn first(count: usize) -> Result<Vec<Slot>, Error> {
        if count > MAX_DEVICES {
            let max = MAX_DEVICES;
            return Err(Error::TooManyDevices { count, max });
        }
        let slot = |(index, irq): (u8, u8)| Slot {
            device: 1 + index,
            irq,
            ports: u32::from(PCI_PORTS) + u32::from(index) * FUNCTION_PORTS,
            memory: PCI_MEMORY + u32::from(index) * FUNCTION_MEMORY,
        };
        let irqs = IRQS.into_iter().cycle();
        Ok((0..).zip(irqs).map(slot).take(count).collect())
    }
}

/// A handle on the bus. All vCPUs share it, and its address register.
#[derive(Clone, Default)]
pub(crate) struct PciBus(Arc<Inner>);

#[derive(Default)]
struct Inner {
    address: AtomicU32,
    /// Of the devices from 1 on.
    functions: Vec<Function>,
}

impl PciBus {
    /// A bus with these functions behind the bridge.
    pub(crate) fn new(functions: Vec<Function>) -> PciBus {
        PciBus(Arc::new(Inner {
            address: AtomicU32::new(0),
            functions,
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
            _ => self.read_selected(address, at, data),
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
                if let Some(function) = self.selected(address) {
                    let at = (address & REGISTER) as usize + at;
                    function.write_config(at, &data[..within]);
                }
            }
        }
        None
    }

    fn read_selected(&self, address: u32, at: usize, data: &mut [u8]) {
        let register = address & REGISTER;
        if address & !REGISTER == ENABLE {
            let word: u32 = match register {
                0x00 => BRIDGE_ID,
                0x08 => BRIDGE_CLASS,
                _ => 0,
            };
            data.copy_from_slice(&word.to_le_bytes()[at..][..data.len()]);
        } else if let Some(function) = self.selected(address) {
            function.read_config(register as usize + at, data);
        }
    }

    fn selected(&self, address: u32) -> Option<&Function> {
        // Bus and function are 0.
        if address & ENABLE == 0 || address & 0x00ff_0700 != 0 {
            return None;
        }
        let device = (address >> 11 & 0x1f) as usize;
        self.0.functions.get(device.checked_sub(1)?)
    }

    /// Reads from a function's ports or memory; false where there is none.
    pub(crate) fn read_at(&self, space: Space, address: u64, data: &mut [u8]) -> bool {
        let functions = &self.0.functions;
        functions.iter().any(|f| f.read(space, address, data))
    }

    /// Likewise, writes.
    pub(crate) fn write_at(&self, space: Space, address: u64, data: &[u8]) -> bool {
        let functions = &self.0.functions;
        functions.iter().any(|f| f.write(space, address, data))
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

    #[test]
    fn each_function_has_a_place_of_its_own() {
        let slots = Slot::first(31).unwrap();
        let last = slots[30];
        assert_eq!((last.device, last.irq), (31, 14));
        assert_eq!((last.ports, last.memory), (0xde00, 0xe00f_0000));
        assert_eq!(slots[8].irq, slots[0].irq);
        assert!(Slot::first(32).is_err());
    }
}
