//! What wakes a device's thread, or whoever else serves its queues.

use vmm_sys_util::eventfd::EventFd;

use crate::error::Error;
use crate::vm;

pub(crate) struct Bells {
    /// For each queue: the driver has notified of it.
    pub queues: Vec<EventFd>,
    /// There may be another source to wait for, or the machine ends.
    pub attention: EventFd,
    /// Those of the queues are another process's.
    pub are_heard_elsewhere: bool,
}

impl Bells {
    /// For a device with so many queues.
    ///
    /// # Errors
    /// [`Error::EventFd`].
    pub(crate) fn new(queues: usize, are_heard_elsewhere: bool) -> Result<Bells, Error> {
        Ok(Bells {
            queues: (0..queues).map(|_| vm::event()).collect::<Result<_, _>>()?,
            attention: vm::event()?,
            are_heard_elsewhere,
        })
    }

    /// The queues' bells that the device's thread listens to.
    pub(crate) fn heard(&self) -> &[EventFd] {
        match self.are_heard_elsewhere {
            true => &[],
            false => &self.queues,
        }
    }
}
