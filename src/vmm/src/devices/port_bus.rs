//! Port I/O: which device answers which port.

use super::legacy::debug_exit;
use crate::arch::ports::PCI_FIRST_FREE;
use crate::console::Output;
use crate::devices::legacy::pc::Pc;
use crate::devices::legacy::serial::{COM1, COM1_LAST, SerialPort};
use crate::devices::pci::bus::{self, PciBus};
use crate::devices::pci::config::Space;
use crate::exit::GuestExit;

/// The most bytes of one access; a string instruction's arrive together.
const MAX_ACCESS: usize = 4;

/// The ports of the machine. Ports that are not listed read all ones and ignore writes.
///
/// Each vCPU has a clone. They share the devices, but not where their output goes, so that
/// none holds a lock while it waits for a reader.
#[derive(Clone)]
pub(crate) struct PortBus {
    serial: SerialPort,
    pc: Pc,
    pci: PciBus,
    output: Output,
    /// Bytes sent by one access, kept to spare an allocation for each.
    sent: Vec<u8>,
}

impl PortBus {
    /// The ports, with what the guest sends to `serial` going nowhere yet.
    pub(crate) fn new(serial: SerialPort, pc: Pc, pci: PciBus) -> PortBus {
        PortBus {
            serial,
            pc,
            pci,
            output: Output::default(),
            sent: Vec::new(),
        }
    }

    /// Sends what the guest sends to COM1 to `output`.
    pub(crate) fn connect(&mut self, output: Output) {
        self.output = output;
    }

    /// Answers a read. `data` is longer than a byte for wide and for string accesses.
    pub(crate) fn read(&mut self, port: u16, data: &mut [u8]) {
        match port {
            COM1..=COM1_LAST => {
                let offset = register(port);
                data.fill_with(|| self.serial.read(offset));
            }
            bus::ADDRESS..=bus::DATA_LAST => {
                for access in data.chunks_mut(MAX_ACCESS) {
                    self.pci.read(port, access);
                }
            }
            PCI_FIRST_FREE.. => {
                for access in data.chunks_mut(MAX_ACCESS) {
                    if !self.pci.read_at(Space::Ports, port.into(), access) {
                        access.fill(0xff);
                    }
                }
            }
            _ => self.pc.lock().read(port, data),
        }
    }

    /// Carries out a write, and says so if it ends the guest.
    pub(crate) fn write(&mut self, port: u16, data: &[u8]) -> Option<GuestExit> {
        match port {
            COM1..=COM1_LAST => {
                self.send(register(port), data);
                None
            }
            bus::ADDRESS..=bus::DATA_LAST => {
                let mut accesses = data.chunks(MAX_ACCESS);
                accesses.find_map(|access| self.pci.write(port, access))
            }
            PCI_FIRST_FREE.. => {
                for access in data.chunks(MAX_ACCESS) {
                    self.pci.write_at(Space::Ports, port.into(), access);
                }
                None
            }
            _ => debug_exit::write(port, data).or_else(|| self.pc.lock().write(port, data)),
        }
    }

    /// `rep outsb` arrives as one access of many bytes and leaves as one write.
    fn send(&mut self, offset: u8, data: &[u8]) {
        self.sent.clear();
        let serial = &self.serial;
        self.sent
            .extend(data.iter().filter_map(|byte| serial.write(offset, *byte)));
        if !self.sent.is_empty() {
            self.output.write(&self.sent);
        }
    }
}

/// The number of one of COM1's registers.
fn register(port: u16) -> u8 {
    ((port - COM1) & 7) as u8
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::boot::testing::Random;
    use crate::devices::legacy::pc::testing::pc;
    use crate::devices::legacy::serial::INPUT_CAPACITY;
    use nix::libc::EFD_NONBLOCK;
    use vmm_sys_util::eventfd::EventFd;

    fn bus() -> PortBus {
        let event = || EventFd::new(EFD_NONBLOCK).unwrap();
        PortBus::new(SerialPort::new(event(), event()), pc(), PciBus::default())
    }

    #[test]
    fn absent_devices_read_all_ones_and_ignore_writes() {
        for port in [0xcfc, 0x2f8, 0x501, 0x600 - 1, 0x0, 0xffff] {
            let mut data = [0; 4];
            bus().read(port, &mut data);
            assert_eq!(data, [0xff; 4], "port {port:#x}");
        }
        assert_eq!(bus().write(0xcf8, &[0, 0, 0, 0x80]), None);
        assert_eq!(bus().write(0xffff, &[1]), None);
    }

    #[test]
    fn devices_answer_at_their_ports() {
        let mut bus = bus();
        let mut byte = [0];
        bus.read(COM1 + 5, &mut byte);
        assert_eq!(byte, [0x60], "ready to send");
        bus.write(0x70, &[0x0d]);
        bus.read(0x71, &mut byte);
        assert_eq!(byte, [0x80]);
        bus.read(0x505, &mut byte);
        assert_eq!(byte, [1], "pvpanic");
        bus.write(0x602, &[0x20, 0x01]);
        let mut enabled = [0; 2];
        bus.read(0x602, &mut enabled);
        assert_eq!(enabled, [0x20, 0x01]);
        let mut bridge = [0; 8];
        bus.write(0xcf8, &[0, 0, 0, 0x80]);
        bus.read(0xcfc, &mut bridge);
        assert_eq!(bridge[..4], bridge[4..], "a string instruction");
        assert_eq!(bridge[..4], [0x86, 0x80, 0x37, 0x12]);
        assert_eq!(bus.write(0x64, &[0xfe]), Some(GuestExit::Reset));
        assert_eq!(bus.write(0x604, &[0, 0x20]), Some(GuestExit::PoweredOff));
        assert_eq!(bus.write(0x501, &[3]), Some(GuestExit::Code(3)));
    }

    #[test]
    fn no_port_takes_harm_from_any_width_or_value() {
        let mut bus = bus();
        for port in 0..=u16::MAX {
            for len in [0, 1, 2, 3, 4, 100] {
                for value in [0x00, 0x13, 0xff] {
                    bus.write(port, &vec![value; len]);
                    bus.read(port, &mut vec![value; len]);
                }
            }
        }
    }

    /// As above, but each access finds what the ones before it have left: loopback, a full
    /// FIFO, a selected clock register.
    #[test]
    fn no_order_of_accesses_does_harm() {
        let event = || EventFd::new(EFD_NONBLOCK).unwrap();
        let serial = SerialPort::new(event(), event());
        let mut bus = PortBus::new(serial.clone(), pc(), PciBus::default());
        let mut random = Random::new();
        for _ in 0..100_000 {
            let port = match random.below(4) {
                0 => random.number() as u16,
                1 => random.pick(&[
                    0x60, 0x64, 0x70, 0x71, 0xf4, 0x501, 0x505, 0x600, 0x602, 0xcf8, 0xcfc,
                ]),
                _ => COM1 + random.below(8) as u16,
            };
            let mut data = vec![random.number() as u8; random.pick(&[1, 1, 2, 4, 64])];
            match random.below(3) {
                0 => bus.read(port, &mut data),
                1 => drop(bus.write(port, &data)),
                _ => assert!(serial.receive(&[0; 100]) <= INPUT_CAPACITY),
            }
            assert!(bus.sent.len() <= 64, "one access at a time");
        }
    }

    #[test]
    fn a_string_of_bytes_leaves_in_order() {
        use std::io::Read;
        let (mut reader, writer) = std::io::pipe().unwrap();
        let output = std::fs::File::from(std::os::fd::OwnedFd::from(writer));
        let mut bus = bus();
        bus.connect(Output::new(Some(output), Default::default()));
        bus.write(COM1, b"hello, ");
        bus.write(COM1, b"world");
        drop(bus);
        let mut text = String::new();
        reader.read_to_string(&mut text).unwrap();
        assert_eq!(text, "hello, world");
    }
}
