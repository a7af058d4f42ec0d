//! The keyboard controller (Intel 8042; IBM PS/2 Technical Reference, "Keyboard and Auxiliary
//! Device Controller") with a [`keyboard`] and no mouse.
//!
//! It answers each command at once, so that a guest that looks for it loses no time: Linux waits
//! half a second for each byte that does not come.

use std::collections::VecDeque;

use vmm_sys_util::eventfd::EventFd;

use super::keyboard::{self, Keyboard};
use crate::exit::GuestExit;

pub(crate) use crate::arch::ports::I8042_COMMAND as COMMAND;
pub(crate) use crate::arch::ports::I8042_DATA as DATA;

/// Status: a byte waits in the data register; the self-test passed; the last write was a
/// command; the keyboard is not locked. The bit for "busy with a command" is never set.
const OUTPUT_FULL: u8 = 1 << 0;
const SELF_TEST_PASSED: u8 = 1 << 2;
const COMMAND_LAST: u8 = 1 << 3;
const NOT_LOCKED: u8 = 1 << 4;

/// The command byte: interrupt when the keyboard sends; self-test passed; the keyboard's and
/// the mouse's clocks stand still; scan codes are translated to set 1.
const INTERRUPT: u8 = 1 << 0;
const SYSTEM_FLAG: u8 = 1 << 2;
const KEYBOARD_OFF: u8 = 1 << 4;
const MOUSE_OFF: u8 = 1 << 5;
const TRANSLATE: u8 = 1 << 6;

/// Commands.
const READ_COMMAND_BYTE: u8 = 0x20;
const WRITE_COMMAND_BYTE: u8 = 0x60;
const DISABLE_MOUSE: u8 = 0xa7;
const ENABLE_MOUSE: u8 = 0xa8;
const TEST_MOUSE: u8 = 0xa9;
const SELF_TEST: u8 = 0xaa;
const TEST_KEYBOARD: u8 = 0xab;
const DISABLE_KEYBOARD: u8 = 0xad;
const ENABLE_KEYBOARD: u8 = 0xae;
const READ_OUTPUT_PORT: u8 = 0xd0;
const WRITE_OUTPUT_PORT: u8 = 0xd1;
const WRITE_KEYBOARD_BUFFER: u8 = 0xd2;
const WRITE_MOUSE_BUFFER: u8 = 0xd3;
const WRITE_MOUSE: u8 = 0xd4;
/// Pulses those output port lines whose bits are 0; bit 0 is the processor's reset line.
const PULSE: u8 = 0xf0;
pub(crate) const PULSE_RESET: u8 = 0xfe;
const RESET_LINE: u8 = 1 << 0;

/// Answers.
const SELF_TEST_OK: u8 = 0x55;
const LINES_OK: u8 = 0;
/// There is no mouse to pull the line up.
const CLOCK_STUCK_LOW: u8 = 1;
/// The output port: no reset, address line 20 open.
const OUTPUT_PORT: u8 = RESET_LINE | (1 << 1);

/// How many bytes wait for the guest at most; more are lost, as in a real keyboard.
const CAPACITY: usize = 32;

/// The controller and the interrupt that it raises.
pub(crate) struct I8042 {
    command_byte: u8,
    /// The command whose argument comes with the next write of data.
    pending: Option<u8>,
    command_last: bool,
    output: VecDeque<u8>,
    last: u8,
    keyboard: Keyboard,
    irq: EventFd,
}

impl I8042 {
    /// A controller whose interrupt nobody has enabled, so that a guest that has can be told
    /// from one that does not use it.
    pub(crate) fn new(irq: EventFd) -> I8042 {
        I8042 {
            command_byte: SYSTEM_FLAG,
            pending: None,
            command_last: false,
            output: VecDeque::with_capacity(CAPACITY),
            last: 0,
            keyboard: Keyboard::default(),
            irq,
        }
    }

    /// Reads port [`COMMAND`].
    pub(crate) fn status(&self) -> u8 {
        let full = if self.output.is_empty() {
            0
        } else {
            OUTPUT_FULL
        };
        let command = if self.command_last { COMMAND_LAST } else { 0 };
        full | command | SELF_TEST_PASSED | NOT_LOCKED
    }

    /// Reads port [`DATA`]: the next byte, or again the last one.
    pub(crate) fn data(&mut self) -> u8 {
        if let Some(byte) = self.output.pop_front() {
            self.last = byte;
            self.interrupt();
        }
        self.last
    }

    /// Writes one byte to port [`DATA`] or [`COMMAND`]. Some end the guest.
    pub(crate) fn write(&mut self, port: u16, value: u8) -> Option<GuestExit> {
        self.command_last = port == COMMAND;
        match (port, self.pending.take()) {
            (COMMAND, _) => return self.command(value),
            (_, Some(command)) => return self.argument(command, value),
            (_, None) => {
                self.command_byte &= !KEYBOARD_OFF;
                let translated = self.command_byte & TRANSLATE != 0;
                let answer = self.keyboard.write(value, translated);
                self.send(answer);
            }
        }
        None
    }

    /// Whether the guest has enabled the keyboard and its interrupt here.
    pub(crate) fn is_keyboard_enabled(&self) -> bool {
        self.command_byte & (INTERRUPT | KEYBOARD_OFF) == INTERRUPT
    }

    /// Presses and releases Ctrl, Alt and Delete. What waits before is dropped: the guest has
    /// not looked at it for long.
    pub(crate) fn press_ctrl_alt_del(&mut self) {
        self.output.clear();
        match self.command_byte & TRANSLATE {
            0 => self.send(&keyboard::CTRL_ALT_DEL),
            _ => self.send(&keyboard::CTRL_ALT_DEL_TRANSLATED),
        }
    }

    fn command(&mut self, command: u8) -> Option<GuestExit> {
        match command {
            READ_COMMAND_BYTE => self.send(&[self.command_byte]),
            DISABLE_MOUSE => self.command_byte |= MOUSE_OFF,
            ENABLE_MOUSE => self.command_byte &= !MOUSE_OFF,
            TEST_MOUSE => self.send(&[CLOCK_STUCK_LOW]),
            SELF_TEST => self.send(&[SELF_TEST_OK]),
            TEST_KEYBOARD => self.send(&[LINES_OK]),
            DISABLE_KEYBOARD => self.command_byte |= KEYBOARD_OFF,
            ENABLE_KEYBOARD => self.command_byte &= !KEYBOARD_OFF,
            READ_OUTPUT_PORT => self.send(&[OUTPUT_PORT]),
            WRITE_COMMAND_BYTE
            | WRITE_OUTPUT_PORT
            | WRITE_KEYBOARD_BUFFER
            | WRITE_MOUSE_BUFFER
            | WRITE_MOUSE => self.pending = Some(command),
            PULSE.. if command & RESET_LINE == 0 => return Some(GuestExit::Reset),
            _ => {}
        }
        None
    }

    fn argument(&mut self, command: u8, value: u8) -> Option<GuestExit> {
        match command {
            WRITE_COMMAND_BYTE => {
                self.command_byte = value;
                self.interrupt();
            }
            WRITE_OUTPUT_PORT if value & RESET_LINE == 0 => return Some(GuestExit::Reset),
            // The byte comes back, but not as the mouse's: there is none.
            WRITE_KEYBOARD_BUFFER | WRITE_MOUSE_BUFFER => self.send(&[value]),
            _ => {}
        }
        None
    }

    /// Puts bytes where the guest reads them.
    fn send(&mut self, bytes: &[u8]) {
        let was_empty = self.output.is_empty();
        let room = CAPACITY - self.output.len();
        self.output.extend(bytes.iter().take(room));
        if was_empty {
            self.interrupt();
        }
    }

    /// Raises the interrupt once for the byte that is now first. One that cannot be raised is
    /// lost; the guest may still poll.
    fn interrupt(&self) {
        if self.command_byte & INTERRUPT != 0 && !self.output.is_empty() {
            let _ = self.irq.write(1);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use nix::libc::EFD_NONBLOCK;

    fn controller() -> (I8042, EventFd) {
        let irq = EventFd::new(EFD_NONBLOCK).unwrap();
        (I8042::new(irq.try_clone().unwrap()), irq)
    }

    /// All bytes that wait.
    fn read(i8042: &mut I8042) -> Vec<u8> {
        let mut bytes = Vec::new();
        while i8042.status() & OUTPUT_FULL != 0 {
            bytes.push(i8042.data());
        }
        bytes
    }

    fn command(i8042: &mut I8042, command: u8, arguments: &[u8]) -> Vec<u8> {
        assert_eq!(i8042.write(COMMAND, command), None);
        for argument in arguments {
            assert_eq!(i8042.write(DATA, *argument), None);
        }
        read(i8042)
    }

    #[test]
    fn only_the_reset_line_ends_the_guest() {
        let (mut i8042, _) = controller();
        assert_eq!(i8042.write(COMMAND, 0xfe), Some(GuestExit::Reset));
        assert_eq!(i8042.write(COMMAND, 0xff), None);
        assert_eq!(i8042.write(DATA, 0xfe), None);
        assert_eq!(
            command(&mut i8042, 0xd1, &[3]),
            [0xfe],
            "resend: no such key"
        );
        i8042.write(COMMAND, 0xd1);
        assert_eq!(i8042.write(DATA, 2), Some(GuestExit::Reset));
    }

    #[test]
    fn each_question_of_linux_and_unikraft_is_answered_at_once() {
        let (mut i8042, _) = controller();
        assert_eq!(command(&mut i8042, 0xaa, &[]), [0x55]);
        assert_eq!(command(&mut i8042, 0xab, &[]), [0]);
        assert_eq!(command(&mut i8042, 0xa9, &[]), [1], "no mouse");
        assert_eq!(command(&mut i8042, 0xd3, &[0x5a]), [0x5a], "its loop");
        assert_eq!(i8042.status() & 0x20, 0, "not the mouse's");
        assert_eq!(command(&mut i8042, 0x20, &[]), [SYSTEM_FLAG]);
        assert!(command(&mut i8042, 0x60, &[0x65]).is_empty());
        assert!(command(&mut i8042, 0xad, &[]).is_empty());
        assert_eq!(command(&mut i8042, 0x20, &[]), [0x75]);
        assert_eq!(i8042.data(), 0x75, "read again");
        assert_eq!(i8042.status() & 0x10, 0x10, "not locked");
    }

    #[test]
    fn it_interrupts_once_for_each_byte_when_told_to() {
        let (mut i8042, irq) = controller();
        i8042.write(DATA, 0xf2);
        assert!(irq.read().is_err());
        assert_eq!(read(&mut i8042), [0xfa, 0xab, 0x83]);
        assert!(irq.read().is_err());
        command(&mut i8042, 0x60, &[INTERRUPT]);
        i8042.write(DATA, 0xf2);
        for _ in 0..3 {
            assert_eq!(irq.read().unwrap(), 1);
            i8042.data();
        }
        assert!(irq.read().is_err());
    }

    #[test]
    fn ctrl_alt_del_arrives_in_the_guests_scan_codes() {
        let (mut i8042, _) = controller();
        assert!(!i8042.is_keyboard_enabled());
        command(&mut i8042, 0x60, &[INTERRUPT]);
        assert!(i8042.is_keyboard_enabled());
        i8042.write(DATA, 0xee);
        i8042.press_ctrl_alt_del();
        let keys = read(&mut i8042);
        assert_eq!(keys[..4], [0x14, 0x11, 0xe0, 0x71], "pressed");
        assert_eq!(keys[4..], [0xe0, 0xf0, 0x71, 0xf0, 0x11, 0xf0, 0x14]);
        command(&mut i8042, 0x60, &[INTERRUPT | TRANSLATE]);
        i8042.press_ctrl_alt_del();
        assert_eq!(read(&mut i8042)[..4], [0x1d, 0x38, 0xe0, 0x53]);
        command(&mut i8042, 0xad, &[]);
        assert!(!i8042.is_keyboard_enabled(), "its clock stands still");
    }

    #[test]
    fn what_nobody_reads_is_bounded() {
        let (mut i8042, _) = controller();
        for _ in 0..100 {
            i8042.write(DATA, 0xff);
            i8042.write(COMMAND, 0xaa);
        }
        assert_eq!(read(&mut i8042).len(), CAPACITY);
    }
}
