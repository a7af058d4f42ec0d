//! The PC's devices that answer at once. All vCPUs and the event loop share them by one lock,
//! which nobody holds while anything blocks.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use time::OffsetDateTime;
use vmm_sys_util::eventfd::EventFd;

use super::cmos::{self, Cmos};
use super::debug_exit;
use super::i8042::{self, I8042};
use super::power::{self, Power};
use crate::devices::irq::Line;
use crate::exit::GuestExit;

/// What a read finds where nothing is: the bus floats high.
const FLOATING: u8 = 0xff;

/// A handle on the devices.
#[derive(Clone)]
pub(crate) struct Pc(Arc<Mutex<PcDevices>>);

pub(crate) struct PcDevices {
    cmos: Cmos,
    pub i8042: I8042,
    pub power: Power,
}

impl Pc {
    /// The devices, with the keyboard's interrupt and the line of the SCI.
    pub(crate) fn new(keyboard: EventFd, sci: Line) -> Pc {
        Pc(Arc::new(Mutex::new(PcDevices {
            cmos: Cmos::default(),
            i8042: I8042::new(keyboard),
            power: Power::new(sci),
        })))
    }

    pub(crate) fn lock(&self) -> MutexGuard<'_, PcDevices> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl PcDevices {
    /// Answers a read. `data` is longer than a byte for wide and for string accesses: the clock
    /// and the keyboard answer it byte by byte, where registers are wider it reaches the ports
    /// behind `port`, up to the end of four.
    pub(crate) fn read(&mut self, port: u16, data: &mut [u8]) {
        match port {
            cmos::DATA => data.fill_with(|| self.cmos.read(OffsetDateTime::now_utc())),
            i8042::COMMAND => data.fill(self.i8042.status()),
            i8042::DATA => data.fill_with(|| self.i8042.data()),
            debug_exit::PVPANIC => data.fill(debug_exit::PVPANIC_EVENTS),
            _ => {
                data.fill(FLOATING);
                for access in data.chunks_mut(4) {
                    for (port, byte) in (port..=(port | 3)).zip(access) {
                        *byte = self.register(port);
                    }
                }
            }
        }
    }

    fn register(&self, port: u16) -> u8 {
        match port {
            power::PM1_EVENT..=power::PM1_CONTROL_LAST => self.power.read(port),
            _ => FLOATING,
        }
    }

    /// Carries out a write, and says so if it ends the guest.
    pub(crate) fn write(&mut self, port: u16, data: &[u8]) -> Option<GuestExit> {
        match port {
            cmos::INDEX => {
                if let Some(index) = data.last() {
                    self.cmos.select(*index);
                }
                None
            }
            i8042::COMMAND | i8042::DATA => {
                let mut bytes = data.iter();
                bytes.find_map(|byte| self.i8042.write(port, *byte))
            }
            power::PM1_EVENT..=power::PM1_EVENT_LAST => {
                for (port, byte) in (port..=power::PM1_EVENT_LAST).zip(data) {
                    self.power.write_event(port, *byte);
                }
                None
            }
            power::PM1_CONTROL => power::write_control(data),
            _ => None,
        }
    }
}

#[cfg(test)]
pub(crate) mod testing {
    use super::*;

    /// PcDevices whose interrupts go nowhere.
    pub(crate) fn pc() -> Pc {
        let keyboard = EventFd::new(nix::libc::EFD_NONBLOCK).unwrap();
        Pc::new(keyboard, Box::new(|_| ()))
    }
}
