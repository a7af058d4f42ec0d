//! The keyboard controller, of which guests use the reset line.

use crate::vmm::exit::GuestExit;

pub const DATA: u16 = 0x60;
pub const COMMAND: u16 = 0x64;

/// Pulses the processor's reset line.
const PULSE_RESET: u8 = 0xfe;

/// The status register: the controller is ready for a command and has no data.
pub const STATUS_IDLE: u8 = 0;

/// What a byte written to the command port says about the guest's end.
pub fn write(port: u16, data: &[u8]) -> Option<GuestExit> {
    (port == COMMAND && data == [PULSE_RESET]).then_some(GuestExit::Reset)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_reset_command_ends_the_guest() {
        assert_eq!(write(COMMAND, &[0xfe]), Some(GuestExit::Reset));
        assert_eq!(write(COMMAND, &[0xff]), None);
        assert_eq!(write(DATA, &[0xfe]), None);
    }
}
