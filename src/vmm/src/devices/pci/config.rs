//! A function's configuration space (PCI Local Bus Specification 3.0, chapter 6).
//!
//! It is bytes with a mask of what can be written. With that a driver that writes all ones to a
//! base address register finds its size in what it reads back (section 6.2.5.1).

/// Where a function's standard registers are.
pub(crate) const COMMAND: usize = 0x04;
const STATUS: usize = 0x06;
const REVISION: usize = 0x08;
pub(crate) const BARS: usize = 0x10;
/// The last byte of the base address registers, and one more.
pub(crate) const BARS_END: usize = 0x28;
const SUBSYSTEM: usize = 0x2c;
const CAPABILITIES: usize = 0x34;
const INTERRUPT_LINE: usize = 0x3c;
const INTERRUPT_PIN: usize = 0x3d;

/// The command register: which accesses the function answers, whether it may reach memory, and
/// whether its interrupt pin is disabled.
const DECODE_PORTS: u16 = 1 << 0;
const DECODE_MEMORY: u16 = 1 << 1;
const BUS_MASTER: u16 = 1 << 2;
const INTERRUPT_DISABLE: u16 = 1 << 10;
/// The status register: the pin is asserted; there are capabilities.
const INTERRUPT_STATUS: u8 = 1 << 3;
const HAS_CAPABILITIES: u8 = 1 << 4;

/// In a base address register: it is one of ports.
const PORTS: u32 = 1;
const INTA: u8 = 1;

/// Bytes of the space, and where its capabilities begin.
const SIZE: usize = 256;
const FIRST_CAPABILITY: usize = 0x40;

/// What a function is (section 6.2.1).
#[derive(Debug, Clone, Copy)]
pub(crate) struct Identity {
    pub vendor: u16,
    pub device: u16,
    pub subsystem: u16,
    pub revision: u8,
    /// Base class, sub-class and interface, in 24 bits.
    pub class: u32,
}

/// Where accesses go.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Space {
    Ports,
    Memory,
}

#[derive(Debug, Clone)]
pub(crate) struct ConfigSpace {
    bytes: [u8; SIZE],
    writable: [u8; SIZE],
    /// By number: where each base address register leads, and how many bytes there are.
    bars: Vec<(Space, u32)>,
    /// Where the next capability goes, and the pointer to it.
    end: usize,
    pointer: usize,
}

impl ConfigSpace {
    /// Of a function that interrupts by its pin INTA, at this `irq`. It answers accesses, as
    /// firmware leaves it: not all kernels turn that on.
    pub(crate) fn new(identity: &Identity, irq: u8) -> ConfigSpace {
        let mut config = ConfigSpace {
            bytes: [0; SIZE],
            writable: [0; SIZE],
            bars: Vec::new(),
            end: FIRST_CAPABILITY,
            pointer: CAPABILITIES,
        };
        let class = identity.class << 8 | u32::from(identity.revision);
        config.set(0, &identity.vendor.to_le_bytes());
        config.set(2, &identity.device.to_le_bytes());
        config.set(REVISION, &class.to_le_bytes());
        config.set(SUBSYSTEM, &identity.vendor.to_le_bytes());
        config.set(SUBSYSTEM + 2, &identity.subsystem.to_le_bytes());
        let enables = DECODE_PORTS | DECODE_MEMORY | BUS_MASTER;
        config.set(COMMAND, &enables.to_le_bytes());
        config.set_writable(COMMAND, &(enables | INTERRUPT_DISABLE).to_le_bytes());
        config.set(STATUS, &[HAS_CAPABILITIES]);
        config.set(INTERRUPT_PIN, &[INTA]);
        config.set(INTERRUPT_LINE, &[irq]);
        config.set_writable(INTERRUPT_LINE, &[0xff]);
        config
    }

    /// Adds the next base address register: `size` bytes, a power of two and 16 or more, that
    /// lie at `base`, a multiple of it.
    pub(crate) fn add_bar(&mut self, space: Space, base: u32, size: u32) {
        let at = BARS + 4 * self.bars.len();
        let kind = match space {
            Space::Ports => PORTS,
            Space::Memory => 0,
        };
        self.set(at, &(base | kind).to_le_bytes());
        self.set_writable(at, &(!(size - 1)).to_le_bytes());
        self.bars.push((space, size));
    }

    /// Adds a capability, `body` being what follows its kind and the pointer to the next one;
    /// gives its offset.
    pub(crate) fn add_capability(&mut self, kind: u8, body: &[u8]) -> usize {
        let at = self.end;
        // It is less than SIZE: one byte.
        self.set(self.pointer, &at.to_le_bytes()[..1]);
        self.set(at, &[kind]);
        self.set(at + 2, body);
        self.pointer = at + 1;
        self.end = (at + 2 + body.len()).next_multiple_of(4);
        at
    }

    /// Lets a driver write these bits at `at`.
    pub(crate) fn set_writable(&mut self, at: usize, bits: &[u8]) {
        self.writable[at..at + bits.len()].copy_from_slice(bits);
    }

    fn set(&mut self, at: usize, bytes: &[u8]) {
        self.bytes[at..at + bytes.len()].copy_from_slice(bytes);
    }

    /// Says whether the pin is asserted.
    pub(crate) fn set_interrupt_status(&mut self, is_asserted: bool) {
        self.bytes[STATUS] &= !INTERRUPT_STATUS;
        if is_asserted {
            self.bytes[STATUS] |= INTERRUPT_STATUS;
        }
    }

    /// Reads from byte `at` on; past the end there are ones.
    pub(crate) fn read(&self, at: usize, data: &mut [u8]) {
        for (at, byte) in (at..).zip(data) {
            *byte = self.bytes.get(at).copied().unwrap_or(0xff);
        }
    }

    /// Writes what can be written.
    pub(crate) fn write(&mut self, at: usize, data: &[u8]) {
        let found = self.bytes.iter_mut().zip(&self.writable).skip(at);
        for ((byte, writable), value) in found.zip(data) {
            *byte = *byte & !writable | value & writable;
        }
    }

    /// Where base address register `index` leads, if the function answers there.
    pub(crate) fn bar(&self, index: u8) -> Option<u64> {
        let index = usize::from(index);
        let (space, _) = self.bars.get(index)?;
        let decode = match space {
            Space::Ports => DECODE_PORTS,
            Space::Memory => DECODE_MEMORY,
        };
        // The low bits, which cannot be written, say what kind it is.
        let base = self.u32(BARS + 4 * index) & !0xf;
        (self.command() & decode != 0).then_some(base.into())
    }

    /// The base address register that leads to `address`, and the offset there.
    pub(crate) fn find(&self, space: Space, address: u64) -> Option<(u8, u32)> {
        (0u8..).zip(&self.bars).find_map(|(index, bar)| {
            let offset = address.checked_sub(self.bar(index)?)?;
            let offset = u32::try_from(offset).ok()?;
            (bar.0 == space && offset < bar.1).then_some((index, offset))
        })
    }

    /// Whether the interrupt pin is disabled.
    pub(crate) fn is_intx_disabled(&self) -> bool {
        self.command() & INTERRUPT_DISABLE != 0
    }

    fn command(&self) -> u16 {
        u16::from_le_bytes([self.bytes[COMMAND], self.bytes[COMMAND + 1]])
    }

    /// The word at `at`, for who knows that there is one.
    pub(crate) fn u32(&self, at: usize) -> u32 {
        let mut word = [0; 4];
        self.read(at, &mut word);
        u32::from_le_bytes(word)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn config() -> ConfigSpace {
        let identity = Identity {
            vendor: 0x1af4,
            device: 0x1005,
            subsystem: 4,
            revision: 0,
            class: 0xff_0000,
        };
        let mut config = ConfigSpace::new(&identity, 11);
        config.add_bar(Space::Ports, 0xc000, 0x100);
        config.add_bar(Space::Memory, 0xe000_0000, 0x8000);
        config
    }

    #[test]
    fn a_driver_finds_sizes_and_moves_the_registers() {
        let mut config = config();
        assert_eq!(
            [0x10, 0x14, 0x18].map(|at| config.u32(at)),
            [0xc001, 0xe000_0000, 0]
        );
        for at in [0x10, 0x14, 0x18] {
            config.write(at, &[0xff; 4]);
        }
        let sizes = [0x10, 0x14, 0x18].map(|at| config.u32(at));
        assert_eq!(sizes, [0xffff_ff01, 0xffff_8000, 0]);
        config.write(0x10, &0xd300u32.to_le_bytes());
        // By single bytes too.
        for (at, byte) in (0x14..).zip(0xf012_8000u32.to_le_bytes()) {
            config.write(at, &[byte]);
        }
        assert_eq!(config.find(Space::Ports, 0xd310), Some((0, 0x10)));
        assert_eq!(config.find(Space::Memory, 0xd310), None);
        assert_eq!(config.find(Space::Memory, 0xf012_ffff), Some((1, 0x7fff)));
        assert_eq!(config.find(Space::Memory, 0xf013_0000), None);
        assert_eq!(config.find(Space::Memory, 0xe000_0000), None);
    }

    #[test]
    fn who_is_told_not_to_answer_does_not() {
        let mut config = config();
        assert_eq!(
            (config.bar(0), config.bar(1)),
            (Some(0xc000), Some(0xe000_0000))
        );
        config.write(COMMAND, &[2, 0]);
        assert_eq!((config.bar(0), config.bar(1)), (None, Some(0xe000_0000)));
        config.write(COMMAND, &[1, 4]);
        assert_eq!((config.bar(0), config.bar(1)), (Some(0xc000), None));
        assert!(config.is_intx_disabled());
        assert_eq!((config.bar(2), config.bar(u8::MAX)), (None, None));
    }

    #[test]
    fn only_what_can_be_written_is() {
        let mut config = config();
        let before: Vec<u32> = (0..64).map(|index| config.u32(4 * index)).collect();
        for at in 0..SIZE {
            config.write(at, &[0xff; 9]);
        }
        let changed: Vec<usize> = (0..64)
            .filter(|i| config.u32(4 * i) != before[*i])
            .collect();
        assert_eq!(changed, [1, 4, 5, 15], "command, two base addresses, line");
        config.write(300, &[1]);
        let mut data = [0; 4];
        config.read(254, &mut data);
        assert_eq!(data, [0, 0, 0xff, 0xff]);
    }

    #[test]
    fn capabilities_are_a_list() {
        let mut config = config();
        assert_eq!(config.add_capability(9, &[1, 2, 3]), 0x40);
        assert_eq!(config.add_capability(0x11, &[4, 5]), 0x48);
        assert_eq!(config.u32(0x34), 0x40);
        assert_eq!(config.u32(0x40), u32::from_le_bytes([9, 0x48, 1, 2]));
        assert_eq!(config.u32(0x48), u32::from_le_bytes([0x11, 0, 4, 5]));
        assert_eq!(config.u32(0x04) >> 16, 0x10, "the status says so");
    }
}
