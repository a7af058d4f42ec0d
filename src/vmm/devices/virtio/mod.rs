//! virtio devices (Virtual I/O Device specification 1.2). What a driver writes is never
//! trusted: it can break its own device, which then asks for a reset, and nothing else.
//!
//! | module | what is in it |
//! |---|---|
//! | [`mmio`] | the transport: registers in memory |
//! | [`chain`] | a buffer of the driver's, checked before it is used |
//! | [`rng`] | the entropy device |

mod chain;
pub mod mmio;
pub mod rng;
#[cfg(test)]
mod tests;

use virtio_queue::Queue;

use crate::vmm::memory::GuestMemory;

/// What is behind a transport.
pub trait Device: Send {
    /// The device's type (section 5).
    fn id(&self) -> u32;

    /// The feature bits that it offers, beside the transport's own.
    fn features(&self) -> u64;

    /// The most entries of each of its queues, powers of two.
    fn queue_sizes(&self) -> &'static [u16];

    /// Its configuration space, which no driver can write.
    fn config(&self) -> &[u8];

    /// Serves queue `index` to its end; whether it has used a buffer.
    ///
    /// # Errors
    /// [`Broken`], after which no queue of it is served until the driver has reset it.
    fn serve(
        &mut self,
        index: usize,
        queue: &mut Queue,
        memory: &GuestMemory,
    ) -> Result<bool, Broken>;
}

/// The driver has broken the rules of its device, with what.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the driver breaks a virtio device: {0}")]
pub struct Broken(pub &'static str);
