//! What all transports have in common: feature negotiation, the device's status, and the
//! configuration of queues (virtio 1.2, sections 2.1, 2.2, 3.1).
//!
//! A driver sets up queues between FEATURES_OK and DRIVER_OK; before and after, and while a
//! queue is ready, what it writes there is dropped. One of the legacy interface knows no
//! FEATURES_OK. It is checked at DRIVER_OK, when the device gets its queues.

use std::sync::Arc;

use virtio_bindings::virtio_config::{
    VIRTIO_CONFIG_S_DRIVER_OK as DRIVER_OK, VIRTIO_CONFIG_S_FEATURES_OK as FEATURES_OK,
    VIRTIO_CONFIG_S_NEEDS_RESET as NEEDS_RESET,
};
use virtio_queue::{Queue, QueueT};
use vm_memory::GuestAddress;

use super::interface::Interface;
use crate::bits::{high, join, low};
use crate::devices::virtio::active_device::{ActiveDevice, Identity};
use crate::devices::virtio::device::{Interrupts, NeedsReset, VirtioDevice};
use crate::devices::virtio::features::{EVENT_IDX, INDIRECT_DESC, VERSION_1};
use crate::error::Error;
use crate::memory::GuestMemory;

/// The features that the legacy interface has bits for.
const LEGACY_FEATURES: u64 = 0xffff_ffff;

/// What a driver negotiates and configures of a device.
pub(crate) struct Core {
    identity: Identity,
    active: Arc<ActiveDevice>,
    status: u32,
    driver_features: u64,
    queues: Vec<QueueConfig>,
}

/// A queue as the driver has configured it. Nothing of it is checked yet.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct QueueConfig {
    /// The most entries.
    pub max: u16,
    pub size: u16,
    pub ready: bool,
    /// Guest-physical.
    pub desc_table: u64,
    pub avail_ring: u64,
    pub used_ring: u64,
}

impl Core {
    /// A device that uses `memory`.
    ///
    /// # Errors
    /// [`Error::EventFd`].
    pub(crate) fn new(
        device: Box<dyn VirtioDevice>,
        memory: GuestMemory,
        interrupts: Arc<dyn Interrupts>,
    ) -> Result<Core, Error> {
        let (active, identity) = ActiveDevice::new(device, memory, interrupts)?;
        let queues = identity.queue_sizes.iter().copied();
        Ok(Core {
            queues: queues.map(QueueConfig::new).collect(),
            identity,
            active,
            status: 0,
            driver_features: 0,
        })
    }

    /// The device, for its thread.
    pub(crate) fn active_device(&self) -> &Arc<ActiveDevice> {
        &self.active
    }

    /// The device ID.
    pub(crate) fn id(&self) -> u32 {
        self.identity.id
    }

    /// The features offered: half 0 or 1 of them, there are no more.
    pub(crate) fn device_features(&self, interface: Interface, select: u32) -> u32 {
        half(self.offered_features(interface), select)
    }

    /// The driver accepts features. Of the legacy interface, where nobody would tell it that
    /// they were refused, those not offered are left out.
    pub(crate) fn set_driver_features(&mut self, interface: Interface, select: u32, value: u32) {
        let accepted = match select {
            0 => join(value, high(self.driver_features)),
            1 => join(low(self.driver_features), value),
            _ => return,
        };
        if self.status & (FEATURES_OK | DRIVER_OK) == 0 {
            self.driver_features = accepted;
            if interface == Interface::Legacy {
                self.driver_features &= self.offered_features(interface);
            }
        }
    }

    /// Half 0 or 1 of the features accepted.
    pub(crate) fn driver_features(&self, select: u32) -> u32 {
        half(self.driver_features, select)
    }

    /// The status bits; NEEDS_RESET is the device's own.
    pub(crate) fn status(&self) -> u32 {
        match self.active.needs_reset() {
            true => self.status | NEEDS_RESET,
            false => self.status,
        }
    }

    /// Bits are set one after the other; only a reset, which is 0, clears them. A driver of the
    /// legacy interface may write the new ones alone, as Solo5's does.
    pub(crate) fn set_status(&mut self, interface: Interface, value: u32) {
        if value == 0 {
            return self.reset();
        }
        if interface == Interface::Modern && value & self.status != self.status {
            return;
        }
        let mut new = value & !self.status & !NEEDS_RESET;
        if interface == Interface::Modern {
            if !self.are_features_ok() {
                new &= !FEATURES_OK;
            }
            if (self.status | new) & FEATURES_OK == 0 {
                new &= !DRIVER_OK;
            }
        }
        self.status |= new;
        if new & DRIVER_OK != 0 {
            self.activate();
        }
    }

    /// How many queues there are.
    pub(crate) fn queues(&self) -> usize {
        self.queues.len()
    }

    /// Queue `index` as it is configured; `None` where there is no such queue.
    pub(crate) fn queue(&self, index: usize) -> Option<&QueueConfig> {
        self.queues.get(index)
    }

    /// Queue `index`, if it may be configured now.
    pub(crate) fn queue_mut(
        &mut self,
        interface: Interface,
        index: usize,
    ) -> Option<&mut QueueConfig> {
        let expected = match interface {
            Interface::Legacy => 0,
            Interface::Modern => FEATURES_OK,
        };
        let may_configure = self.status & (expected | DRIVER_OK) == expected;
        self.queues.get_mut(index).filter(|_| may_configure)
    }

    /// The driver disables queue `index`: a device at work is quiesced from now on, until its next
    /// reset (virtio 1.2, sections 4.2.2.2 and 4.2.4.1). Nothing of it is in use any more when
    /// this returns.
    pub(crate) fn disable_queue(&mut self, index: usize) {
        if let Some(queue) = self.queues.get_mut(index)
            && queue.ready
        {
            queue.ready = false;
            self.active.quiesce();
        }
    }

    /// The driver has made buffers available in queue `index`.
    pub(crate) fn notify(&self, index: usize) {
        self.active.notify(index);
    }

    /// Copies the configuration space from byte `at` on; past its end there are zeros.
    pub(crate) fn read_config(&self, at: usize, data: &mut [u8]) {
        self.active.read_config(at, data);
    }

    /// A number that changes with the configuration space.
    pub(crate) fn config_generation(&self) -> u32 {
        self.active.config_generation()
    }

    fn offered_features(&self, interface: Interface) -> u64 {
        let features = self.identity.features | EVENT_IDX | INDIRECT_DESC;
        match interface {
            Interface::Legacy => features & LEGACY_FEATURES,
            Interface::Modern => features | VERSION_1,
        }
    }

    /// Whether the features accepted are a device of virtio 1 with what was offered.
    fn are_features_ok(&self) -> bool {
        let not_offered = self.driver_features & !self.offered_features(Interface::Modern);
        not_offered == 0 && self.driver_features & VERSION_1 != 0
    }

    fn activate(&mut self) {
        let features = self.driver_features;
        let queues = self
            .queues
            .iter()
            .map(|config| config.build_queue(features));
        self.active.activate(features, queues.collect());
    }

    fn reset(&mut self) {
        self.active.reset();
        self.status = 0;
        self.driver_features = 0;
        for queue in &mut self.queues {
            *queue = QueueConfig::new(queue.max);
        }
    }
}

impl QueueConfig {
    fn new(max: u16) -> QueueConfig {
        QueueConfig {
            max,
            size: max,
            ready: false,
            desc_table: 0,
            avail_ring: 0,
            used_ring: 0,
        }
    }

    /// Puts a legacy queue at `gpa`, its parts one behind the other and the used ring at a
    /// multiple of `align` (virtio 1.2, section 2.7.2); at 0 there is none.
    pub(crate) fn set_legacy_address(&mut self, gpa: u64, align: u64) {
        let entries = u64::from(self.size);
        let parts = || {
            let available = gpa.checked_add(16 * entries)?;
            // Two words before the entries and one behind.
            let end = available.checked_add(2 * entries + 6)?;
            let used = end.checked_next_multiple_of(align)?;
            Some((available, used))
        };
        // What has no address at all lies where no queue can, and breaks the device.
        let (available, used) = parts().unwrap_or((u64::MAX, u64::MAX));
        self.desc_table = gpa;
        (self.avail_ring, self.used_ring) = (available, used);
        self.ready = gpa != 0;
    }

    /// The queue itself; whether it lies in memory is left to be seen.
    fn build_queue(&self, features: u64) -> Result<Queue, NeedsReset> {
        const BAD: NeedsReset = NeedsReset("a queue of no size, or not where one may lie");
        let mut queue = Queue::new(self.max).map_err(|_| BAD)?;
        if !self.ready {
            return Ok(queue);
        }
        let [descriptors, available, used] =
            [self.desc_table, self.avail_ring, self.used_ring].map(GuestAddress);
        queue
            .try_set_size(self.size)
            .and_then(|()| queue.try_set_desc_table_address(descriptors))
            .and_then(|()| queue.try_set_avail_ring_address(available))
            .and_then(|()| queue.try_set_used_ring_address(used))
            .map_err(|_| BAD)?;
        queue.set_event_idx(features & EVENT_IDX != 0);
        queue.set_ready(true);
        Ok(queue)
    }
}

/// Half 0 or 1 of the feature bits; there are no more.
fn half(features: u64, select: u32) -> u32 {
    match select {
        0 => low(features),
        1 => high(features),
        _ => 0,
    }
}
