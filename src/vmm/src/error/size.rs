//! Amounts of memory in messages.

use std::fmt;

/// An amount of memory in bytes, told in the unit that a person would use. What is no round
/// number is rounded down.
pub(super) struct Size(pub u64);

impl Size {
    /// The next whole MiB, for what must be had in full.
    pub(super) fn at_least(bytes: u64) -> Size {
        Size(bytes.checked_next_multiple_of(MIB).unwrap_or(bytes))
    }
}

const MIB: u64 = 1 << 20;
const GIB: u64 = 1 << 30;

impl fmt::Display for Size {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            bytes @ 0..MIB => write!(f, "{bytes} bytes"),
            bytes if bytes.is_multiple_of(GIB) => write!(f, "{} GiB", bytes / GIB),
            bytes => write!(f, "{} MiB", bytes / MIB),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_are_told_in_round_numbers() {
        for (bytes, text) in [
            (12, "12 bytes"),
            (MIB, "1 MiB"),
            (64 * MIB + 4096, "64 MiB"),
            (3 * GIB, "3 GiB"),
            (3 * GIB + MIB, "3073 MiB"),
            (u64::MAX, "17592186044415 MiB"),
        ] {
            assert_eq!(Size(bytes).to_string(), text);
        }
        assert_eq!(Size::at_least(64 * MIB + 1).to_string(), "65 MiB");
        assert_eq!(Size::at_least(64 * MIB).to_string(), "64 MiB");
        assert_eq!(Size::at_least(u64::MAX).to_string(), "17592186044415 MiB");
    }
}
