//! Split virtqueues (virtio 1.2, section 2.7), as a device sees them.
//!
//! | module | what is in it |
//! |---|---|
//! | [`chain`] | a buffer of the driver's, checked before it is used |
//! | [`pieces`] | guest memory, copied and handed to the kernel |
//! | [`used`] | telling the driver of used buffers |

pub(crate) mod chain;
pub(crate) mod pieces;
pub(crate) mod used;
