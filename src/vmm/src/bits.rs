//! Halves of wide numbers, and numbers whose registers are narrower than they are.

/// The lower 32 bits.
pub(crate) const fn low(value: u64) -> u32 {
    (value & 0xffff_ffff) as u32
}

/// The upper 32 bits.
pub(crate) const fn high(value: u64) -> u32 {
    (value >> 32) as u32
}

/// The lower and the upper 64 bits.
#[expect(
    clippy::cast_possible_truncation,
    reason = "each half is what is left of the number"
)]
pub(crate) const fn halves(value: u128) -> [u64; 2] {
    [value as u64, (value >> 64) as u64]
}

/// A number of these halves.
pub(crate) fn join(low: u32, high: u32) -> u64 {
    u64::from(high) << 32 | u64::from(low)
}

/// The number of a queue or of a vector, of which there are at most 64, and of buffers in a queue,
/// which has 2^15 at most.
pub(crate) fn number(value: usize) -> u16 {
    u16::try_from(value).unwrap_or(u16::MAX)
}
