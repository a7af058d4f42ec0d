//! Halves of wide numbers.

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
