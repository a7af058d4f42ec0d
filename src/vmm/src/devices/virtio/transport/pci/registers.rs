//! What a driver sets up by the registers of either interface.

use std::sync::{Arc, Mutex, PoisonError};

use virtio_bindings::virtio_config::VIRTIO_CONFIG_S_DRIVER_OK as DRIVER_OK;

use super::capabilities::{self, MEMORY, NOTIFY, NOTIFY_MULTIPLIER, PORTS};
use super::interrupts::PciInterrupts;
use crate::bits::number;
use crate::devices::pci::config::ConfigSpace;
use crate::devices::virtio::ioeventfds::{NotifyAddress, RegisteredIoEventFds};
use crate::devices::virtio::transport::core::Core;
use crate::devices::virtio::transport::interface::Interface;

/// Where the legacy interface has the register for notifications.
pub(super) const LEGACY_QUEUE_NOTIFY: u32 = 16;

/// The registers of both interfaces.
pub(super) struct Registers {
    pub(super) core: Core,
    pub(super) interrupts: Arc<PciInterrupts>,
    /// What the selecting registers have selected.
    pub(super) device_features_select: u32,
    pub(super) driver_features_select: u32,
    pub(super) queue_select: u16,
    /// The one by which the driver has last set the status.
    pub(super) interface: Interface,
    pub(super) ioeventfds: RegisteredIoEventFds,
}

impl Registers {
    pub(super) fn set_status(&mut self, interface: Interface, value: u32) {
        self.interface = interface;
        self.core.set_status(interface, value);
    }

    /// The selected queue's number.
    pub(super) fn queue(&self) -> usize {
        self.queue_select.into()
    }

    /// Has KVM take notifications where the driver makes them, while it is there and the
    /// function answers.
    pub(super) fn update_ioeventfds(&mut self, config: &Mutex<ConfigSpace>) {
        let bar = |index| {
            let config = config.lock().unwrap_or_else(PoisonError::into_inner);
            config.bar(index)
        };
        let active = self.core.active_device();
        let queue_events = &active.queue_events().queues;
        let queues = 0..number(queue_events.len());
        let base = match self.interface {
            _ if self.core.status() & DRIVER_OK == 0 => None,
            Interface::Legacy => bar(PORTS),
            Interface::Modern => bar(MEMORY),
        };
        let notify = capabilities::offset(NOTIFY);
        let address = |base: u64, queue: u16| match self.interface {
            Interface::Legacy => NotifyAddress::Pio {
                port: base + u64::from(LEGACY_QUEUE_NOTIFY),
                queue,
            },
            Interface::Modern => NotifyAddress::MmioAny {
                gpa: base + u64::from(notify + u32::from(queue) * NOTIFY_MULTIPLIER),
            },
        };
        let addresses = base.map(|base| queues.map(|queue| address(base, queue)).collect());
        self.ioeventfds
            .update(addresses.unwrap_or_default(), queue_events);
    }
}
