//! virtio devices (Virtual I/O Device specification 1.2). What a driver writes is never
//! trusted: it can break its own device, which then asks for a reset, and nothing else.
//!
//! | module | what is in it |
//! |---|---|
//! | [`device`] | what a device is |
//! | [`features`] | the feature bits of every transport |
//! | [`devices`] | the devices |
//! | [`transport`] | how a driver finds and sets up a device: over registers in memory, over PCI |
//! | [`queue`] | buffers of a driver's, and how it is told that they were used |
//! | [`serving`] | a device at work on the queues that its driver has given it |
//! | [`worker`] | the threads that serve |
//! | [`doors`] | where drivers notify |
//! | [`bells`] | what wakes who serves |
//! | [`slots`] | where a guest finds its devices |
//! | [`attach`] | a machine's devices, each in its place |

pub(crate) mod attach;
mod bells;
pub(crate) mod device;
pub(crate) mod devices;
#[cfg(any(test, fuzzing))]
mod direct;
mod doors;
mod features;
mod queue;
pub(crate) mod serving;
pub(crate) mod slots;
#[cfg(test)]
mod testing;
#[cfg(test)]
mod tests;
pub(crate) mod transport;
#[cfg(any(test, fuzzing))]
pub(crate) mod trial;
pub(crate) mod worker;
