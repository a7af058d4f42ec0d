//! A PS/2 keyboard (IBM PS/2 Technical Reference, "101/102-Key Keyboard"): its commands, and
//! the only keys that are ever pressed on it.

/// Ctrl, Alt and Delete pressed, then released, in scan code set 2, which keyboards send, and
/// in set 1, into which the controller may translate it.
pub(super) const CTRL_ALT_DEL: [u8; 11] = [
    0x14, 0x11, 0xe0, 0x71, // pressed
    0xe0, 0xf0, 0x71, 0xf0, 0x11, 0xf0, 0x14, // released
];
pub(super) const CTRL_ALT_DEL_TRANSLATED: [u8; 8] = [
    0x1d, 0x38, 0xe0, 0x53, // pressed
    0xe0, 0xd3, 0xb8, 0x9d, // released
];

/// Commands.
const SET_LEDS: u8 = 0xed;
const ECHO: u8 = 0xee;
const SCAN_CODE_SET: u8 = 0xf0;
const IDENTIFY: u8 = 0xf2;
const SET_REPEAT_RATE: u8 = 0xf3;
const ENABLE: u8 = 0xf4;
const DISABLE: u8 = 0xf5;
const SET_DEFAULTS: u8 = 0xf6;
const RESET: u8 = 0xff;

/// Answers.
const ACKNOWLEDGE: u8 = 0xfa;
const SELF_TEST_PASSED: u8 = 0xaa;
const RESEND: u8 = 0xfe;
const SET_2: u8 = 0x02;

/// What it answers is all that it does: no setting changes anything.
#[derive(Debug, Default)]
pub(super) struct Keyboard {
    /// The command whose argument comes next.
    pending: Option<u8>,
}

impl Keyboard {
    /// Takes one byte, and gives the answer, as it is after the controller's translation
    /// if that is on.
    pub(super) fn write(&mut self, value: u8, translated: bool) -> &'static [u8] {
        match (self.pending.take(), value) {
            (Some(SCAN_CODE_SET), 0) => &[ACKNOWLEDGE, SET_2],
            (Some(_), 0..0x80) => &[ACKNOWLEDGE],
            (_, SET_LEDS | SCAN_CODE_SET | SET_REPEAT_RATE) => {
                self.pending = Some(value);
                &[ACKNOWLEDGE]
            }
            (_, ECHO) => &[ECHO],
            (_, IDENTIFY) if translated => &[ACKNOWLEDGE, 0xab, 0x41],
            (_, IDENTIFY) => &[ACKNOWLEDGE, 0xab, 0x83],
            (_, ENABLE | DISABLE | SET_DEFAULTS) => &[ACKNOWLEDGE],
            (_, RESET) => &[ACKNOWLEDGE, SELF_TEST_PASSED],
            _ => &[RESEND],
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn commands_are_acknowledged_and_questions_answered() {
        let mut keyboard = Keyboard::default();
        let mut write = |value| keyboard.write(value, false);
        assert_eq!(write(RESET), [0xfa, 0xaa]);
        assert_eq!(write(IDENTIFY), [0xfa, 0xab, 0x83]);
        assert_eq!((write(SET_LEDS), write(7)), (&[0xfa][..], &[0xfa][..]));
        assert_eq!(write(SCAN_CODE_SET), [0xfa]);
        assert_eq!(write(0), [0xfa, 2]);
        assert_eq!(write(0), [0xfe], "no argument is due");
        assert_eq!(write(ENABLE), [0xfa]);
        // A command instead of the argument takes its place.
        assert_eq!(
            (write(SET_REPEAT_RATE), write(ECHO)),
            (&[0xfa][..], &[0xee][..])
        );
        assert_eq!(keyboard.write(IDENTIFY, true), [0xfa, 0xab, 0x41]);
    }
}
