//! Parts of wide numbers.

/// The low and the high half.
#[expect(
    clippy::cast_possible_truncation,
    reason = "the low half is what is left of the number"
)]
pub(crate) const fn halves(number: u128) -> [u64; 2] {
    [number as u64, (number >> 64) as u64]
}

/// The low and the high half.
pub(crate) fn halves_u64(number: u64) -> [u32; 2] {
    [low_u32(number), low_u32(number >> 32)]
}

/// The low half, for numbers that fit into it, or whose high half goes elsewhere.
#[expect(
    clippy::cast_possible_truncation,
    reason = "the low half is what is left of the number"
)]
pub(crate) const fn low_u32(number: u64) -> u32 {
    number as u32
}
