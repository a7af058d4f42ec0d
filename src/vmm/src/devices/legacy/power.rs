//! ACPI's power management registers (ACPI specification 6.5, section 4.8.3): the power button,
//! and the way to switch off.

use crate::devices::irq::Line;
use crate::exit::GuestExit;

/// PM1a_EVT: the status register, and two bytes on the enable register.
pub(crate) use crate::arch::ports::PM1_EVENT;
pub(crate) const PM1_EVENT_LAST: u16 = PM1_EVENT + 3;
/// PM1a_CNT, where QEMU has it as well: some guests know no other place.
pub(crate) use crate::arch::ports::PM1_CONTROL;
pub(crate) const PM1_CONTROL_LAST: u16 = PM1_CONTROL + 1;

/// What `\_S5` says of PM1_CNT's SLP_TYP. Unikernels write others, or none: whatever it is,
/// SLP_EN switches off.
pub(crate) const SLEEP_TYPE_S5: u8 = 5;

/// PM1_STS and PM1_EN.
const POWER_BUTTON: u16 = 1 << 8;
/// The bits of the enable register that can be set. Guests enable the timer's, the global
/// lock's and the clock's, and complain if that fails; none of these ever has an event.
const ENABLES: u16 = (1 << 0) | (1 << 5) | POWER_BUTTON | (1 << 10);

/// PM1_CNT: in ACPI mode, from the beginning. SLP_EN reads as 0.
const SCI_ENABLED: u16 = 1 << 0;
const SLEEP_ENABLE: u16 = 1 << 13;

/// The registers, and the line to the interrupt controllers.
pub(crate) struct Power {
    status: u16,
    enabled: u16,
    sci: Line,
}

impl Power {
    pub(crate) fn new(sci: Line) -> Power {
        Power {
            status: 0,
            enabled: 0,
            sci,
        }
    }

    /// Presses the power button, if the guest looks at it; whether it does.
    pub(crate) fn press(&mut self) -> bool {
        let listens = self.enabled & POWER_BUTTON != 0;
        if listens {
            self.status |= POWER_BUTTON;
            self.raise();
        }
        listens
    }

    /// The byte of the registers at `port`.
    pub(crate) fn read(&self, port: u16) -> u8 {
        let register = match port & !1 {
            PM1_EVENT => self.status,
            PM1_CONTROL => SCI_ENABLED,
            _ => self.enabled,
        };
        register.to_le_bytes()[usize::from(port & 1)]
    }

    /// Writes one byte of the event registers.
    pub(crate) fn write_event(&mut self, port: u16, value: u8) {
        let value = u16::from(value) << (8 * (port & 1));
        let byte = 0xff << (8 * (port & 1));
        match port & !1 {
            // A status bit is cleared by writing a one to it.
            PM1_EVENT => self.status &= !value,
            _ => self.enabled = (self.enabled & !byte) | (value & ENABLES),
        }
        self.raise();
    }

    fn raise(&self) {
        (self.sci)(self.status & self.enabled != 0);
    }
}

/// What a write to PM1_CNT says about the guest's end.
pub(crate) fn write_control(data: &[u8]) -> Option<GuestExit> {
    let [low, high] = data else { return None };
    let value = u16::from_le_bytes([*low, *high]);
    (value & SLEEP_ENABLE != 0).then_some(GuestExit::PoweredOff)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::Arc;
    use std::sync::atomic::{AtomicBool, Ordering};

    fn power() -> (Power, Arc<AtomicBool>) {
        let line = Arc::new(AtomicBool::new(false));
        let level = line.clone();
        let power = Power::new(Box::new(move |high| level.store(high, Ordering::Relaxed)));
        (power, line)
    }

    #[test]
    fn the_button_is_felt_by_a_guest_that_enabled_it() {
        let (mut power, line) = power();
        assert!(!power.press());
        assert_eq!(power.read(0x601), 0, "nobody looked");
        power.write_event(0x603, 0x01);
        assert!(power.press());
        assert_eq!((power.read(0x600), power.read(0x601)), (0, 1));
        assert!(line.load(Ordering::Relaxed));
        power.write_event(0x600, 0xff);
        assert!(line.load(Ordering::Relaxed), "another byte");
        power.write_event(0x601, 0x01);
        assert!(!line.load(Ordering::Relaxed));
        assert_eq!(power.read(0x601), 0);
    }

    #[test]
    fn the_line_follows_the_enable_register() {
        let (mut power, line) = power();
        power.write_event(0x603, 0x01);
        power.press();
        power.write_event(0x603, 0);
        assert!(!line.load(Ordering::Relaxed));
        power.write_event(0x603, 0xff);
        assert!(line.load(Ordering::Relaxed));
        assert_eq!(power.read(0x603), 5, "no other enable bit is there");
    }

    #[test]
    fn sleep_enable_switches_off_whatever_the_type() {
        assert_eq!(write_control(&[0x00, 0x20]), Some(GuestExit::PoweredOff));
        assert_eq!(write_control(&[0x00, 0x34]), Some(GuestExit::PoweredOff));
        assert_eq!(write_control(&[0x01, 0x14]), None);
        assert_eq!(write_control(&[0x20]), None);
        assert_eq!(power().0.read(0x604), 1, "ACPI mode");
        assert_eq!(power().0.read(0x605), 0);
    }
}
