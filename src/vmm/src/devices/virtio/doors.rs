//! Where a driver notifies of its queues, joined to what wakes the device's thread: then KVM
//! itself takes the notification, and the vCPU does not leave the guest for long.
//!
//! That is only faster. What KVM does not take comes to the transport, which does the same.

use std::sync::Arc;

use kvm_ioctls::{IoEventAddress, NoDatamatch, VmFd};
use vmm_sys_util::eventfd::EventFd;

/// A write that notifies of one queue.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Door {
    /// The queue's number, as 16 bits, to this port.
    Port { port: u64, queue: u16 },
    /// The queue's number, as 32 bits, to this address.
    Register { gpa: u64, queue: u32 },
    /// Anything to this address.
    Own { gpa: u64 },
}

/// Who can join them. Where it cannot, nothing happens.
pub(crate) trait Doors: Send {
    fn connect(&self, door: Door, bell: &EventFd);
    fn disconnect(&self, door: Door, bell: &EventFd);
}

impl Doors for Arc<VmFd> {
    fn connect(&self, door: Door, bell: &EventFd) {
        // There may be too many, or two functions at one place.
        let _ = match door {
            Door::Port { port, queue } => {
                self.register_ioevent(bell, &IoEventAddress::Pio(port), queue)
            }
            Door::Register { gpa, queue } => {
                self.register_ioevent(bell, &IoEventAddress::Mmio(gpa), queue)
            }
            Door::Own { gpa } => {
                self.register_ioevent(bell, &IoEventAddress::Mmio(gpa), NoDatamatch)
            }
        };
    }

    fn disconnect(&self, door: Door, bell: &EventFd) {
        let _ = match door {
            Door::Port { port, queue } => {
                self.unregister_ioevent(bell, &IoEventAddress::Pio(port), queue)
            }
            Door::Register { gpa, queue } => {
                self.unregister_ioevent(bell, &IoEventAddress::Mmio(gpa), queue)
            }
            Door::Own { gpa } => {
                self.unregister_ioevent(bell, &IoEventAddress::Mmio(gpa), NoDatamatch)
            }
        };
    }
}

/// A device's doors: those at which its driver notifies at present.
pub(crate) struct Doorway {
    doors: Box<dyn Doors>,
    open: Vec<Door>,
}

impl Doorway {
    pub(crate) fn new(doors: Box<dyn Doors>) -> Doorway {
        let open = Vec::new();
        Doorway { doors, open }
    }

    /// Opens these doors, one for each of the device's queues, and closes all others.
    pub(crate) fn open(&mut self, wanted: Vec<Door>, bells: &[EventFd]) {
        if wanted == self.open {
            return;
        }
        for (door, bell) in self.open.iter().zip(bells) {
            self.doors.disconnect(*door, bell);
        }
        for (door, bell) in wanted.iter().zip(bells) {
            self.doors.connect(*door, bell);
        }
        self.open = wanted;
    }
}

/// Doors for who has no KVM.
#[cfg(any(test, fuzzing))]
pub(crate) struct NoDoors;

#[cfg(any(test, fuzzing))]
impl Doors for NoDoors {
    fn connect(&self, _: Door, _: &EventFd) {}
    fn disconnect(&self, _: Door, _: &EventFd) {}
}
