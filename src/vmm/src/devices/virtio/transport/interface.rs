//! The two interfaces of a transport.

/// Which of its two interfaces a driver uses.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Interface {
    /// That of before virtio 1.0.
    Legacy,
    Modern,
}
