//! Port I/O: which device answers which port.

use time::OffsetDateTime;

use super::cmos::{self, Cmos};
use super::serial::{COM1, COM1_LAST, SerialPort};
use super::{debug_exit, i8042};
use crate::vmm::console::Output;
use crate::vmm::exit::GuestExit;

/// What a read finds where nothing is: the bus floats high.
const FLOATING: u8 = 0xff;

/// The ports of the machine. Ports that are not listed read all ones (PCI's
/// configuration data at 0xcfc among them: there is no PCI bus) and ignore writes.
pub struct PortBus {
    serial: SerialPort,
    cmos: Cmos,
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
                i8042::COMMAND => i8042::STATUS_IDLE,
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
