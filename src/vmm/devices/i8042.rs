//! The keyboard controller, of which there is only the processor's reset line.

use crate::vmm::exit::GuestExit;

pub const DATA: u16 = 0x60;
pub const COMMAND: u16 = 0x64;

/// Pulses the processor's reset line.
const PULSE_RESET: u8 = 0xfe;

/// Bit of the status register: a byte waits in the data register. The bit for "busy with
/// a command" is never set, for guests wait for it before they ask for a reset.
const OUTPUT_FULL: u8 = 1 << 0;

/// Linux takes the controller for absent when it still has data after 16 reads
/// (I8042_BUFFER_SIZE in drivers/input/serio/i8042.h), and otherwise spends more than a
/// second on a controller that does not answer. So it is found with more stale bytes than
/// that, but not with endlessly many: others read until there are no more.
const STALE_BYTES: u8 = 32;

#[derive(Debug)]
pub struct I8042 {
    stale: u8,
}

impl I8042 {
    pub fn new() -> I8042 {
        I8042 { stale: STALE_BYTES }
    }

    pub fn status(&self) -> u8 {
        if self.stale > 0 { OUTPUT_FULL } else { 0 }
    }

    pub fn data(&mut self) -> u8 {
        self.stale = self.stale.saturating_sub(1);
        0
    }
}

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

    #[test]
    fn linux_finds_no_controller_but_the_buffer_has_an_end() {
        let mut i8042 = I8042::new();
        let mut reads = 0;
        while i8042.status() & OUTPUT_FULL != 0 {
            i8042.data();
            reads += 1;
        }
        assert!((17..=255).contains(&reads), "{reads} reads");
        i8042.data();
        assert_eq!(i8042.status(), 0);
    }
}
