//! The CMOS clock at ports 0x70 and 0x71 (MC146818A data sheet), in BCD and UTC.

use time::OffsetDateTime;

pub(super) use crate::arch::ports::CMOS_DATA as DATA;
pub(super) use crate::arch::ports::CMOS_INDEX as INDEX;

/// The top bit of the index port masks NMIs; the rest chooses a register.
const INDEX_MASK: u8 = 0x7f;

/// Status A: 32768 Hz, 1024 Hz periodic rate, and bit 7, an update in progress, clear:
/// a guest that waits for it would wait for ever.
const STATUS_A: u8 = 0x26;
/// Status B: 24-hour clock, BCD.
const STATUS_B: u8 = 0x02;
/// Status D: the battery is good.
const STATUS_D: u8 = 0x80;

/// The clock. It can be read; what is written to it is dropped.
#[derive(Debug, Default)]
pub(super) struct Cmos {
    index: u8,
}

impl Cmos {
    pub(super) fn select(&mut self, index: u8) {
        self.index = index & INDEX_MASK;
    }

    /// The selected register, at the time `now`.
    pub(super) fn read(&self, now: OffsetDateTime) -> u8 {
        let two_digits = |number: i32| u8::try_from(number.rem_euclid(100)).map_or(0, bcd);
        match self.index {
            0x00 => bcd(now.second()),
            0x02 => bcd(now.minute()),
            0x04 => bcd(now.hour()),
            0x06 => now.weekday().number_from_sunday(),
            0x07 => bcd(now.day()),
            0x08 => bcd(now.month().into()),
            0x09 => two_digits(now.year()),
            0x0a => STATUS_A,
            0x0b => STATUS_B,
            0x0d => STATUS_D,
            // The century, where PCs without ACPI keep it.
            0x32 => two_digits(now.year() / 100),
            _ => 0,
        }
    }
}

/// Two decimal digits, one in each half of the byte.
fn bcd(value: u8) -> u8 {
    ((value / 10) << 4) | (value % 10)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn register(index: u8, unix_seconds: i64) -> u8 {
        let mut cmos = Cmos::default();
        cmos.select(index);
        cmos.read(OffsetDateTime::from_unix_timestamp(unix_seconds).unwrap())
    }

    #[test]
    fn a_known_moment_reads_as_bcd() {
        // Thursday, 2024-02-29 23:59:58 UTC.
        let moment = 1_709_251_198;
        let expected = [
            (0x00, 0x58),
            (0x02, 0x59),
            (0x04, 0x23),
            (0x06, 5),
            (0x07, 0x29),
            (0x08, 0x02),
            (0x09, 0x24),
            (0x32, 0x20),
        ];
        for (index, value) in expected {
            assert_eq!(register(index, moment), value, "register {index:#x}");
        }
    }

    #[test]
    fn no_update_is_ever_in_progress() {
        assert_eq!(register(0x0a, 0) & 0x80, 0);
        assert_eq!(register(0x0b, 0), 0x02);
        assert_eq!(register(0x0d, 0), 0x80);
    }

    #[test]
    fn the_nmi_mask_is_no_part_of_the_index() {
        assert_eq!(register(0x80 | 0x0d, 0), 0x80);
    }
}
