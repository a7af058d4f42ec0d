//! Where a driver notifies of available buffers, joined to what wakes the device's thread: then
//! KVM itself takes the notification (KVM_IOEVENTFD), and the vCPU does not leave the guest for
//! long.
//!
//! That is only faster. What KVM does not take comes to the transport, which does the same.

use std::sync::Arc;

use kvm_ioctls::{IoEventAddress, NoDatamatch, VmFd};
use vmm_sys_util::eventfd::EventFd;

/// The write by which a driver notifies of one queue.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum NotifyAddress {
    /// The queue's number, as 16 bits, to this port.
    Pio { port: u64, queue: u16 },
    /// The queue's number, as 32 bits, to this guest-physical address.
    Mmio { gpa: u64, queue: u32 },
    /// Anything to this guest-physical address.
    MmioAny { gpa: u64 },
}

/// Who has a write signal an event. Where it cannot, nothing happens.
pub(crate) trait IoEventFds: Send {
    fn register(&self, address: NotifyAddress, event: &EventFd);
    fn unregister(&self, address: NotifyAddress, event: &EventFd);
}

impl IoEventFds for Arc<VmFd> {
    fn register(&self, address: NotifyAddress, event: &EventFd) {
        // There may be too many, or two devices at one address.
        let _ = match address {
            NotifyAddress::Pio { port, queue } => {
                self.register_ioevent(event, &IoEventAddress::Pio(port), queue)
            }
            NotifyAddress::Mmio { gpa, queue } => {
                self.register_ioevent(event, &IoEventAddress::Mmio(gpa), queue)
            }
            NotifyAddress::MmioAny { gpa } => {
                self.register_ioevent(event, &IoEventAddress::Mmio(gpa), NoDatamatch)
            }
        };
    }

    fn unregister(&self, address: NotifyAddress, event: &EventFd) {
        let _ = match address {
            NotifyAddress::Pio { port, queue } => {
                self.unregister_ioevent(event, &IoEventAddress::Pio(port), queue)
            }
            NotifyAddress::Mmio { gpa, queue } => {
                self.unregister_ioevent(event, &IoEventAddress::Mmio(gpa), queue)
            }
            NotifyAddress::MmioAny { gpa } => {
                self.unregister_ioevent(event, &IoEventAddress::Mmio(gpa), NoDatamatch)
            }
        };
    }
}

/// Those of one device that are registered at present.
pub(super) struct RegisteredIoEventFds {
    ioeventfds: Box<dyn IoEventFds>,
    /// By queue.
    addresses: Vec<NotifyAddress>,
}

impl RegisteredIoEventFds {
    /// None yet.
    pub(super) fn new(ioeventfds: Box<dyn IoEventFds>) -> RegisteredIoEventFds {
        RegisteredIoEventFds {
            ioeventfds,
            addresses: Vec::new(),
        }
    }

    /// Registers these addresses, one for each of `queue_events`, and no others.
    pub(super) fn update(&mut self, addresses: Vec<NotifyAddress>, queue_events: &[EventFd]) {
        if addresses == self.addresses {
            return;
        }
        for (address, event) in self.addresses.iter().zip(queue_events) {
            self.ioeventfds.unregister(*address, event);
        }
        for (address, event) in addresses.iter().zip(queue_events) {
            self.ioeventfds.register(*address, event);
        }
        self.addresses = addresses;
    }
}

/// For who has no KVM.
#[cfg(any(test, fuzzing))]
pub(super) struct NoIoEventFds;

#[cfg(any(test, fuzzing))]
impl IoEventFds for NoIoEventFds {
    fn register(&self, _: NotifyAddress, _: &EventFd) {}
    fn unregister(&self, _: NotifyAddress, _: &EventFd) {}
}
