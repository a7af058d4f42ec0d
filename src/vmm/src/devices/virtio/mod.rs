//! virtio devices (Virtual I/O Device specification 1.2). What a driver writes is never
//! trusted: it can break its own device, which then asks for a reset, and nothing else.
//!
//! | module | what is in it |
//! |---|---|
//! | [`device`] | what a device is |
//! | [`devices`] | the devices |
//! | [`transport`] | how a driver finds and sets up a device: over registers in memory, over PCI |
//! | [`queue`] | available and used buffers |
//! | [`features`] | the feature bits of every transport |
//! | [`active_device`] | a device at work on the queues that its driver has set up |
//! | [`worker`] | the devices' threads |
//! | [`ioeventfds`] | where drivers notify, so that KVM takes it |
//! | [`queue_events`] | what wakes a device's thread |
//! | [`slots`] | where a guest finds its devices |
//! | [`attach`] | a machine's devices behind their transport |

pub(crate) mod active_device;
pub(crate) mod attach;
pub(crate) mod device;
pub(crate) mod devices;
mod features;
#[cfg(any(test, fuzzing))]
#[cfg_attr(
    not(fuzzing),
    expect(unreachable_pub, reason = "the fuzzers' build re-exports it")
)]
pub mod fuzzing;
mod ioeventfds;
mod queue;
mod queue_events;
pub(crate) mod slots;
#[cfg(any(test, fuzzing))]
mod test_driver;
#[cfg(test)]
mod testing;
#[cfg(test)]
mod tests;
pub(crate) mod transport;
pub(crate) mod worker;
