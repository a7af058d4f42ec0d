//! Split virtqueues (virtio 1.2, section 2.7), as a device sees them.
//!
//! | module | what is in it |
//! |---|---|
//! | [`chain`] | an available buffer, checked before it is used |
//! | [`iovec`] | a buffer's memory, copied and handed to the kernel |
//! | [`used_ring`] | giving used buffers back to the driver |

pub(crate) mod chain;
pub(crate) mod iovec;
pub(crate) mod used_ring;
