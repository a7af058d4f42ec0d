//! How devices reach the machine's interrupt controllers.

/// Sets the level of an interrupt line.
pub(crate) type Line = Box<dyn Fn(bool) + Send>;

/// Sends a message-signalled interrupt: its guest-physical address, and its data.
pub(crate) type Message = Box<dyn Fn(u64, u32) + Send + Sync>;
