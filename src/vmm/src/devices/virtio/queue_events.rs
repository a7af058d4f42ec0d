//! What wakes a device's thread, or the vhost-user back end that has its queues.

use vmm_sys_util::eventfd::EventFd;

use crate::error::Error;
use crate::vm;

pub(crate) struct QueueEvents {
    /// For each queue: the driver has notified of available buffers.
    pub queues: Vec<EventFd>,
    /// There may be another event source to wait for, or the machine ends.
    pub wake: EventFd,
    /// A vhost-user back end waits for `queues`.
    pub is_vhost_user: bool,
}

impl QueueEvents {
    /// For a device with so many queues.
    ///
    /// # Errors
    /// [`Error::EventFd`].
    pub(crate) fn new(queues: usize, is_vhost_user: bool) -> Result<QueueEvents, Error> {
        Ok(QueueEvents {
            queues: (0..queues).map(|_| vm::event()).collect::<Result<_, _>>()?,
            wake: vm::event()?,
            is_vhost_user,
        })
    }

    /// The queues' events that the device's own thread waits for.
    pub(crate) fn polled(&self) -> &[EventFd] {
        match self.is_vhost_user {
            true => &[],
            false => &self.queues,
        }
    }
}
