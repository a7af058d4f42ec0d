//! Numbers whose registers are narrower than they are.

pub(crate) use crate::bits::{high, low};

/// A number of these halves.
pub(crate) fn join(low: u32, high: u32) -> u64 {
    u64::from(high) << 32 | u64::from(low)
}

/// The number of a queue or of a vector, of which there are at most 64, and of buffers in a queue,
/// which has 2^15 at most.
pub(crate) fn number(value: usize) -> u16 {
    u16::try_from(value).unwrap_or(u16::MAX)
}
