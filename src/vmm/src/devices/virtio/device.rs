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
/// has not set up are not ready: no available buffer is found in them.
pub(crate) trait VirtioDevice: Send {
    /// The device ID (virtio 1.2, section 5).
    fn id(&self) -> u32;

    /// The feature bits that it offers, beside the transport's own.
    fn features(&self) -> u64;

    /// The most entries of each of its queues, powers of two; at most 63 queues.
    fn queue_sizes(&self) -> &[u16];

    /// Its configuration space, which no driver can write.
    fn config(&self) -> &[u8];

    /// The driver has set DRIVER_OK, and has accepted these of the features offered, the
    /// transport's among them. Without VERSION_1 it uses the legacy interface. No queue is
    /// processed before this.
    fn activate(&mut self, _features: u64) {}

    /// Whether a vhost-user back end has its queues. Then [`VirtioDevice::process_queue`] is not
    /// called, and nothing here touches its rings.
    fn is_vhost_user(&self) -> bool {
        false
    }

    /// Gives the queues to the vhost-user back end until the next [`VirtioDevice::reset`]: the
    /// driver's notifications of each come by its event. Called behind
    /// [`VirtioDevice::activate`].
    ///
    /// # Errors
    /// [`NeedsReset`]: the back end does not take them.
    fn start_back_end(
        &mut self,
        _features: u64,
        _queues: &[Queue],
        _queue_events: &[EventFd],
        _memory: &GuestMemory,
    ) -> Result<(), NeedsReset> {
        Ok(())
    }

    /// The driver has reset the device. Requests that have not been answered are forgotten.
    fn reset(&mut self) {}

    /// Processes the available buffers of queue `index`, which the driver has notified of: all of
    /// them, or as far as it can go until [`VirtioDevice::event_source`] is ready. The other
    /// queues are for devices whose queues depend on each other.
    ///
    /// # Errors
    /// [`NeedsReset`], after which no queue of it is processed until the driver has reset it.
    fn process_queue(
        &mut self,
        index: usize,
        queues: &mut [Queue],
        memory: &GuestMemory,
    ) -> Result<Notifications, NeedsReset>;

    /// What to wait for beside the driver's notifications: a tap, a socket, a terminal. `None`:
    /// nothing at present, and nothing any more after a hangup. Asked again after each call of
    /// the others.
    fn event_source(&self) -> Option<EventSource<'_>> {
        None
    }

    /// The event source is ready, or was a moment ago.
    ///
    /// # Errors
    /// [`NeedsReset`], as [`VirtioDevice::process_queue`].
    fn process_event(
        &mut self,
        _queues: &mut [Queue],
        _memory: &GuestMemory,
    ) -> Result<Notifications, NeedsReset> {
        Ok(Notifications::NONE)
    }

    /// Work that may wait for somebody else for as long as that one likes. It is asked for after
    /// each call of the others, also while the device is reset, and done while nothing is locked:
    /// no driver waits for it. Behind it the event source counts as ready.
    fn take_deferred(&mut self) -> Option<Deferred> {
        None
    }

    /// The file descriptors that it needs: all others of the process may be closed before it
    /// is activated.
    fn descriptors(&self) -> Vec<RawFd> {
        Vec::new()
    }
}

/// Work that is done while the device is not locked.
pub(crate) type Deferred = Box<dyn FnOnce() + Send>;

/// What a device waits for.
#[derive(Debug, Clone, Copy)]
pub(crate) struct EventSource<'a> {
    pub fd: BorrowedFd<'a>,
    /// POLLIN, POLLOUT or both.
    pub events: PollFlags,
}

/// The notifications that a driver is due (virtio 1.2, section 2.3): of used buffers, by queue, and
/// of a change of the configuration space.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Notifications(u64);

impl Notifications {
    pub(crate) const NONE: Notifications = Notifications(0);
    /// The configuration space has changed.
    pub(crate) const CONFIG: Notifications = Notifications(1 << 63);

    /// There are used buffers in queue `index`, below 63.
    pub(crate) fn queue(index: usize) -> Notifications {
        Notifications(1 << index)
    }

    pub(crate) fn contains(self, other: Notifications) -> bool {
        self.0 & other.0 == other.0
    }
}

impl BitOr for Notifications {
    type Output = Notifications;

    fn bitor(self, other: Notifications) -> Notifications {
        Notifications(self.0 | other.0)
    }
}

impl BitOrAssign for Notifications {
    fn bitor_assign(&mut self, other: Notifications) {
        *self = *self | other;
    }
}

/// The device sets DEVICE_NEEDS_RESET (virtio 1.2, section 2.1.2): its driver, or its back end, has
/// broken the rules; with what.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("a virtio device is broken: {0}")]
pub(crate) struct NeedsReset(pub &'static str);

/// How a device notifies its driver. Nothing here waits.
pub(crate) trait Interrupts: Send + Sync {
    /// There are used buffers in queue `index`.
    fn used_buffer(&self, index: usize);

    /// The configuration space has changed, or the device needs a reset.
    fn config_change(&self);

    /// The device was reset: nothing is pending any more.
    fn clear(&self);
}
