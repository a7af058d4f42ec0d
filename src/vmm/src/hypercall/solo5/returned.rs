//! What a call returns to the kernel.

/// `solo5_result_t`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Returned {
    Ok = 0,
    Again = 1,
    InvalidArgument = 2,
    Unspecified = 3,
}
