//! PCI configuration space by mechanism 1 (PCI Local Bus Specification 3.0, section 3.2.2.3): a
//! bus with a host bridge and nothing else, so that a guest that looks for devices sees an end
//! of them.

use crate::vmm::exit::GuestExit;

pub const ADDRESS: u16 = 0xcf8;
pub const ADDRESS_LAST: u16 = ADDRESS + 3;
pub const DATA: u16 = 0xcfc;
pub const DATA_LAST: u16 = DATA + 3;

/// In the middle of the address register, and reached by single bytes only: the reset control
/// register of Intel's chipsets, where bit 2 pulls the processor's reset line.
const RESET_CONTROL: u16 = 0xcf9;
const RESET_PROCESSOR: u8 = 1 << 2;

/// CONFIG_ADDRESS: bit 31 enables it, bits 8 to 23 name the function, bits 2 to 7 the register.
const ENABLE: u32 = 1 << 31;
const FUNCTION: u32 = 0x00ff_ff00;
const REGISTER: u32 = 0xfc;
const WRITABLE: u32 = ENABLE | FUNCTION | REGISTER;

const ABSENT: u32 = u32::MAX;

/// The host bridge, bus 0, device 0, function 0: vendor and device are Intel's 82441FX, as in
/// QEMU's machines, and the class says what it is.
const BRIDGE_ID: u32 = 0x1237_8086;
const BRIDGE_CLASS: u32 = 0x0600_0000;

#[derive(Debug, Default)]
pub struct Pci {
    address: u32,
}

impl Pci {
    /// The byte at `port`, of the address or of what it selects.
    pub fn read(&self, port: u16) -> u8 {
        let register = match port {
            ADDRESS..=ADDRESS_LAST => self.address,
            _ => self.selected(),
        };
        register.to_le_bytes()[usize::from(port & 3)]
    }

    /// Carries out a write to the address, of four bytes, or to the reset register in it. What
    /// the address selects cannot be written.
    pub fn write(&mut self, port: u16, data: &[u8]) -> Option<GuestExit> {
        match (port, data) {
            (ADDRESS, [a, b, c, d]) => {
                self.address = u32::from_le_bytes([*a, *b, *c, *d]) & WRITABLE;
                None
            }
            (RESET_CONTROL, [value]) if value & RESET_PROCESSOR != 0 => Some(GuestExit::Reset),
            _ => None,
        }
    }

    fn selected(&self) -> u32 {
        match (self.address & (ENABLE | FUNCTION), self.address & REGISTER) {
            (ENABLE, 0x00) => BRIDGE_ID,
            (ENABLE, 0x08) => BRIDGE_CLASS,
            (ENABLE, _) => 0,
            _ => ABSENT,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(pci: &mut Pci, address: u32) -> u32 {
        pci.write(ADDRESS, &address.to_le_bytes());
        u32::from_le_bytes([0, 1, 2, 3].map(|byte| pci.read(DATA + byte)))
    }

    #[test]
    fn the_bus_holds_a_host_bridge_and_nothing_else() {
        let mut pci = Pci::default();
        assert_eq!(read(&mut pci, 0x8000_0000), 0x1237_8086);
        assert_eq!(read(&mut pci, 0x8000_0008), 0x0600_0000);
        assert_eq!(read(&mut pci, 0x8000_0010), 0, "no memory of its own");
        for absent in [0x8000_0100, 0x8000_0800, 0x8001_0000, 0x80ff_ff00] {
            assert_eq!(read(&mut pci, absent), u32::MAX, "{absent:#x}");
        }
        assert_eq!(read(&mut pci, 0x0000_0000), u32::MAX, "not enabled");
    }

    #[test]
    fn the_address_reads_back_as_guests_check_it() {
        let mut pci = Pci::default();
        pci.write(ADDRESS, &0xffff_ffff_u32.to_le_bytes());
        let back = [0, 1, 2, 3].map(|byte| pci.read(ADDRESS + byte));
        assert_eq!(u32::from_le_bytes(back), 0x80ff_fffc);
        pci.write(ADDRESS, &[0]);
        assert_eq!(pci.read(ADDRESS + 3), 0x80, "only four bytes at once");
    }

    #[test]
    fn the_reset_register_resets() {
        let mut pci = Pci::default();
        assert_eq!(pci.write(0xcf9, &[0x02]), None);
        assert_eq!(pci.write(0xcf9, &[0x06]), Some(GuestExit::Reset));
        assert_eq!(pci.write(0xcf8, &[0, 6, 0, 0]), None);
    }
}
