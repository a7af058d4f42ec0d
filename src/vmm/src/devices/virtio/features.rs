//! The feature bits that every transport has (virtio 1.2, section 6).

use virtio_bindings::virtio_config::VIRTIO_F_VERSION_1;
use virtio_bindings::virtio_ring::{VIRTIO_RING_F_EVENT_IDX, VIRTIO_RING_F_INDIRECT_DESC};

/// Without it a driver uses the legacy interface.
pub(crate) const VERSION_1: u64 = 1 << VIRTIO_F_VERSION_1;
pub(crate) const EVENT_IDX: u64 = 1 << VIRTIO_RING_F_EVENT_IDX;
pub(crate) const INDIRECT_DESC: u64 = 1 << VIRTIO_RING_F_INDIRECT_DESC;
