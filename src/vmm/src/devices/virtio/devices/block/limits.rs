//! How much a driver may ask for at a time.

/// Bytes of a request's header: type, priority, sector.
pub(super) const HEADER: u32 = 16;
/// The most segments of a request: the queue's entries, but those for its header and status.
pub(super) const SEGMENTS: u32 = 254;
/// The most bytes of a segment.
pub(super) const SEGMENT: u32 = 1 << 20;
/// The most bytes of a request. A driver that keeps to the limits makes no larger one.
pub(super) const MAX: u32 = SEGMENTS * SEGMENT + HEADER + 1;

/// The most sectors to be discarded by one request: 1 GiB.
pub(super) const DISCARD: u32 = 1 << 21;
/// The most sectors to be zeroed by one request, which may have to be written: 32 MiB.
pub(super) const ZEROES: u32 = 1 << 16;
