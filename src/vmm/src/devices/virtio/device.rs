//! What a virtio device is: behind its transport, and towards its driver.

use std::ops::{BitOr, BitOrAssign};
use std::os::fd::{BorrowedFd, RawFd};

use nix::poll::PollFlags;
use virtio_queue::Queue;
use vmm_sys_util::eventfd::EventFd;

use crate::memory::GuestMemory;

/// What is behind a transport.
///
/// A device has as many queues as it has sizes, always in that order. Those that the driver
/// has not set up are not ready: [`chain::next`] finds nothing in them.
pub(crate) trait Device: Send {
    /// The device's type (section 5).
    fn id(&self) -> u32;

    /// The feature bits that it offers, beside the transport's own.
    fn features(&self) -> u64;

    /// The most entries of each of its queues, powers of two; at most 63 queues.
    fn queue_sizes(&self) -> &[u16];

    /// Its configuration space, which no driver can write.
    fn config(&self) -> &[u8];

    /// The driver has agreed on these of the features offered, the transport's among them.
    /// Without VERSION_1 it uses the legacy interface. No queue is served before this.
    fn activate(&mut self, _features: u64) {}

    /// Whether its queues are another process's to serve. Then [`Device::serve`] is not called, and
    /// nothing here touches its rings.
    fn is_served_elsewhere(&self) -> bool {
        false
    }

    /// Gives the queues to the process that serves them, until the next [`Device::reset`]: the
    /// driver's notifications of each come by its bell. Called behind [`Device::activate`].
    ///
    /// # Errors
    /// [`Broken`]: that process does not take them.
    fn hand_over(
        &mut self,
        _features: u64,
        _queues: &[Queue],
        _bells: &[EventFd],
        _memory: &GuestMemory,
    ) -> Result<(), Broken> {
        Ok(())
    }

    /// The driver starts anew. Requests that have not been answered are forgotten.
    fn reset(&mut self) {}

    /// Serves queue `index`, which the driver has notified of: to its end, or as far as it can
    /// go until [`Device::source`] is ready. The other queues are for devices whose queues
    /// depend on each other.
    ///
    /// # Errors
    /// [`Broken`], after which no queue of it is served until the driver has reset it.
    fn serve(
        &mut self,
        index: usize,
        queues: &mut [Queue],
        memory: &GuestMemory,
    ) -> Result<Used, Broken>;

    /// What to wait for beside notifications: a tap, a socket, a terminal. `None`: nothing at
    /// present, and nothing any more after a hangup. Asked again after each call of the others.
    fn source(&self) -> Option<Source<'_>> {
        None
    }

    /// The source is ready, or was a moment ago.
    ///
    /// # Errors
    /// [`Broken`], as [`Device::serve`].
    fn ready(&mut self, _queues: &mut [Queue], _memory: &GuestMemory) -> Result<Used, Broken> {
        Ok(Used::NONE)
    }

    /// Work that may wait for somebody else for as long as that one likes. It is asked for after
    /// each call of the others, also while the device is reset, and done while nothing is locked:
    /// no driver waits for it. Behind it the source counts as ready.
    fn errand(&mut self) -> Option<Errand> {
        None
    }

    /// The file descriptors that it needs: all others of the process may be closed before it
    /// is put to work.
    fn descriptors(&self) -> Vec<RawFd> {
        Vec::new()
    }
}

/// Work that is done while the device is not locked.
pub(crate) type Errand = Box<dyn FnOnce() + Send>;

/// What a device waits for.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Source<'a> {
    pub fd: BorrowedFd<'a>,
    /// POLLIN, POLLOUT or both.
    pub events: PollFlags,
}

/// What the driver is to be told of: queues in which buffers were used, and a change of the
/// configuration space.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Used(u64);

impl Used {
    /// Nothing.
    pub(crate) const NONE: Used = Used(0);
    /// The configuration space has changed.
    pub(crate) const CONFIG: Used = Used(1 << 63);

    /// Buffers of queue `index`, below 63.
    pub(crate) fn queue(index: usize) -> Used {
        Used(1 << index)
    }

    pub(crate) fn contains(self, other: Used) -> bool {
        self.0 & other.0 == other.0
    }
}

impl BitOr for Used {
    type Output = Used;

    fn bitor(self, other: Used) -> Used {
        Used(self.0 | other.0)
    }
}

impl BitOrAssign for Used {
    fn bitor_assign(&mut self, other: Used) {
        *self = *self | other;
    }
}

/// The driver, or who serves its queues, has broken the rules of the device, with what.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("a virtio device is broken: {0}")]
pub(crate) struct Broken(pub &'static str);

/// How a device reaches its driver. Nothing here waits.
pub(crate) trait Interrupts: Send + Sync {
    /// Buffers of queue `index` were used.
    fn queue(&self, index: usize);

    /// The configuration has changed, or the device needs a reset.
    fn config(&self);

    /// The device was reset: nothing is pending any more.
    fn clear(&self);
}
