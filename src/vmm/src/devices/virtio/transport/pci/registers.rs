//! What a driver sets up by the registers of either interface.

use std::sync::{Arc, Mutex, PoisonError};

use virtio_bindings::virtio_config::VIRTIO_CONFIG_S_DRIVER_OK as DRIVER_OK;

use super::capabilities::{self, MEMORY, NOTIFY, NOTIFY_MULTIPLIER, PORTS};
use super::interrupts::Interrupts;
use crate::devices::pci::config::ConfigSpace;
use crate::devices::virtio::doors::{Door, Doorway};
use crate::devices::virtio::transport::core::Core;
use crate::devices::virtio::transport::interface::Interface;

/// Where the legacy interface has the register for notifications.
pub(super) const LEGACY_QUEUE_NOTIFY: usize = 16;

/// The registers of both interfaces.
pub(super) struct Registers {
    pub(super) core: Core,
    pub(super) interrupts: Arc<Interrupts>,
    /// What the selecting registers have selected.
    pub(super) device_features_half: u32,
    pub(super) driver_features_half: u32,
    pub(super) queue: usize,
    /// The one by which the driver has last set the status.
    pub(super) interface: Interface,
    pub(super) doorway: Doorway,
}

impl Registers {
    pub(super) fn set_status(&mut self, interface: Interface, value: u32) {
        self.interface = interface;
        self.core.set_status(interface, value);
    }

    /// Has KVM take notifications where the driver makes them, while it is there and the
    /// function answers.
    pub(super) fn open_doors(&mut self, config: &Mutex<ConfigSpace>) {
        let bar = |index| {
            let config = config.lock().unwrap_or_else(PoisonError::into_inner);
            config.bar(index)
        };
        let serving = self.core.serving();
        let bells = &serving.bells().queues;
        let queues = 0..bells.len() as u16;
        let base = match self.interface {
            _ if self.core.status() & DRIVER_OK == 0 => None,
            Interface::Legacy => bar(PORTS),
            Interface::Modern => bar(MEMORY),
        };
        let door = |base: u64, queue: u16| match self.interface {
            Interface::Legacy => Door::Port {
                port: base + LEGACY_QUEUE_NOTIFY as u64,
                queue,
            },
            Interface::Modern => Door::Own {
                gpa: base
                    + capabilities::offset(NOTIFY)
                    + u64::from(queue) * NOTIFY_MULTIPLIER as u64,
            },
        };
        let doors = base.map(|base| queues.map(|queue| door(base, queue)).collect());
        self.doorway.open(doors.unwrap_or_default(), bells);
    }
}
