//! Port I/O: which device answers which port.

use time::OffsetDateTime;

use super::cmos::{self, Cmos};
use super::debug_exit;
use super::i8042::{self, I8042};
use super::serial::{COM1, COM1_LAST, SerialPort};
use crate::vmm::console::Output;
use crate::vmm::exit::GuestExit;

/// What a read finds where nothing is: the bus floats high.
const FLOATING: u8 = 0xff;

/// The ports of the machine. Ports that are not listed read all ones (PCI's
/// configuration data at 0xcfc among them: there is no PCI bus) and ignore writes.
pub struct PortBus {
    serial: SerialPort,
    cmos: Cmos,
    i8042: I8042,
    output: Output,
    /// Bytes sent by one access, kept to spare an allocation for each.
    sent: Vec<u8>,
}

impl PortBus {
    /// The ports, with what the guest sends to `serial` going nowhere yet.
    pub fn new(serial: SerialPort) -> PortBus {
        PortBus {
            serial,
            cmos: Cmos::default(),
            i8042: I8042::new(),
            output: Output::default(),
            sent: Vec::new(),
        }
    }

    /// Sends what the guest sends to COM1 to `output`.
    pub fn connect(&mut self, output: Output) {
        self.output = output;
    }

    /// Answers a read. `data` is longer than a byte for wide and for string accesses;
    /// byte-wide devices answer each byte by itself.
    pub fn read(&mut self, port: u16, data: &mut [u8]) {
        for byte in data {
            *byte = match port {
                COM1..=COM1_LAST => self.serial.read((port - COM1) as u8),
                cmos::DATA => self.cmos.read(OffsetDateTime::now_utc()),
                i8042::COMMAND => self.i8042.status(),
                i8042::DATA => self.i8042.data(),
                _ => FLOATING,
            };
        }
    }

    /// Carries out a write, and says so if it ends the guest.
    pub fn write(&mut self, port: u16, data: &[u8]) -> Option<GuestExit> {
        match port {
            COM1..=COM1_LAST => {
                self.send((port - COM1) as u8, data);
                None
            }
            cmos::INDEX => {
                if let Some(index) = data.last() {
                    self.cmos.select(*index);
                }
                None
            }
            i8042::COMMAND | i8042::DATA => i8042::write(port, data),
            _ => debug_exit::write(port, data),
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::vmm::boot::testing::Random;
    use crate::vmm::devices::serial::INPUT_CAPACITY;
    use nix::libc::EFD_NONBLOCK;
    use vmm_sys_util::eventfd::EventFd;

    fn bus() -> PortBus {
        let event = || EventFd::new(EFD_NONBLOCK).unwrap();
        PortBus::new(SerialPort::new(event(), event()))
    }

    #[test]
    fn absent_devices_read_all_ones_and_ignore_writes() {
        for port in [0xcfc, 0x2f8, 0x501, 0x0, 0xffff] {
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
        bus.write(cmos::INDEX, &[0x0d]);
        bus.read(cmos::DATA, &mut byte);
        assert_eq!(byte, [0x80]);
        assert_eq!(bus.write(0x64, &[0xfe]), Some(GuestExit::Reset));
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
        let mut bus = PortBus::new(serial.clone());
        let mut random = Random::new();
        for _ in 0..100_000 {
            let port = match random.below(4) {
                0 => random.number() as u16,
                1 => random.pick(&[0x60, 0x64, 0x70, 0x71, 0xf4, 0x501, 0x505, 0x604]),
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
