//! The transport over memory-mapped registers, version 2 (virtio 1.2, section 4.2.2).
//!
//! A driver sets up queues between FEATURES_OK and DRIVER_OK; before and after, and while a
//! queue is ready, what it writes there is dropped.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use virtio_bindings::virtio_config::{
    VIRTIO_CONFIG_S_DRIVER_OK as DRIVER_OK, VIRTIO_CONFIG_S_FEATURES_OK as FEATURES_OK,
    VIRTIO_CONFIG_S_NEEDS_RESET as NEEDS_RESET, VIRTIO_F_VERSION_1,
};
use virtio_bindings::virtio_mmio::*;
use virtio_queue::{Queue, QueueT};
use vmm_sys_util::eventfd::EventFd;

use super::Device;
use crate::vmm::memory::GuestMemory;

/// Bytes of the registers and the configuration space.
pub const WINDOW: u64 = 0x1000;

const MAGIC: u32 = u32::from_le_bytes(*b"virt");
const VERSION: u32 = 2;
const VENDOR: u32 = u32::from_le_bytes(*b"runu");
/// A shared memory region that is not there has this length (section 4.2.2).
const NO_REGION: u32 = u32::MAX;
const VERSION_1: u64 = 1 << VIRTIO_F_VERSION_1;

/// A handle on a device behind its transport. All vCPUs share it.
#[derive(Clone)]
pub struct Mmio(Arc<Mutex<Transport>>);

struct Transport {
    device: Box<dyn Device>,
    queues: Vec<Queue>,
    memory: GuestMemory,
    irq: EventFd,
    status: u32,
    interrupts: u32,
    driver_features: u64,
    /// What the selecting registers have selected.
    device_features_half: u32,
    driver_features_half: u32,
    queue: usize,
}

impl Mmio {
    /// A device that uses `memory` and interrupts by `irq`.
    pub fn new(device: Box<dyn Device>, memory: GuestMemory, irq: EventFd) -> Mmio {
        let sizes = device.queue_sizes().iter();
        // Constants of the device, powers of two.
        let queues = sizes.filter_map(|size| Queue::new(*size).ok()).collect();
        Mmio(Arc::new(Mutex::new(Transport {
            device,
            queues,
            memory,
            irq,
            status: 0,
            interrupts: 0,
            driver_features: 0,
            device_features_half: 0,
            driver_features_half: 0,
            queue: 0,
        })))
    }

    /// Reads at `offset` in the window. Registers are read whole; anything else finds zeros.
    pub fn read(&self, offset: u64, data: &mut [u8]) {
        let transport = self.lock();
        data.fill(0);
        let config = u64::from(VIRTIO_MMIO_CONFIG);
        match offset.checked_sub(config) {
            Some(at) => {
                let config = transport.device.config();
                // A window's offset fits in a usize.
                let found = config.get(at as usize..).unwrap_or_default();
                for (byte, value) in data.iter_mut().zip(found) {
                    *byte = *value;
                }
            }
            None => {
                if let Ok(data) = <&mut [u8; 4]>::try_from(data) {
                    *data = transport.register(offset as u32).to_le_bytes();
                }
            }
        }
    }

    /// Writes at `offset` in the window. Registers are written whole; anything else is dropped.
    pub fn write(&self, offset: u64, data: &[u8]) {
        if let (Ok(offset), Ok(bytes)) = (u32::try_from(offset), data.try_into()) {
            self.lock().set_register(offset, u32::from_le_bytes(bytes));
        }
    }

    fn lock(&self) -> MutexGuard<'_, Transport> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Transport {
    fn register(&self, offset: u32) -> u32 {
        let selected = self.queues.get(self.queue);
        match offset {
            VIRTIO_MMIO_MAGIC_VALUE => MAGIC,
            VIRTIO_MMIO_VERSION => VERSION,
            VIRTIO_MMIO_DEVICE_ID => self.device.id(),
            VIRTIO_MMIO_VENDOR_ID => VENDOR,
            VIRTIO_MMIO_DEVICE_FEATURES => half(self.offered(), self.device_features_half),
            VIRTIO_MMIO_QUEUE_NUM_MAX => selected.map_or(0, |queue| queue.max_size().into()),
            VIRTIO_MMIO_QUEUE_READY => selected.is_some_and(Queue::ready).into(),
            VIRTIO_MMIO_INTERRUPT_STATUS => self.interrupts,
            VIRTIO_MMIO_STATUS => self.status,
            VIRTIO_MMIO_SHM_LEN_LOW | VIRTIO_MMIO_SHM_LEN_HIGH => NO_REGION,
            VIRTIO_MMIO_SHM_BASE_LOW | VIRTIO_MMIO_SHM_BASE_HIGH => NO_REGION,
            _ => 0,
        }
    }

    fn set_register(&mut self, offset: u32, value: u32) {
        match offset {
            VIRTIO_MMIO_DEVICE_FEATURES_SEL => self.device_features_half = value,
            VIRTIO_MMIO_DRIVER_FEATURES_SEL => self.driver_features_half = value,
            VIRTIO_MMIO_DRIVER_FEATURES => self.set_driver_features(value),
            VIRTIO_MMIO_QUEUE_SEL => self.queue = value as usize,
            VIRTIO_MMIO_QUEUE_NOTIFY => self.notify(value as usize),
            VIRTIO_MMIO_INTERRUPT_ACK => self.interrupts &= !value,
            VIRTIO_MMIO_STATUS => self.set_status(value),
            _ => self.set_up_queue(offset, value),
        }
    }

    fn offered(&self) -> u64 {
        VERSION_1 | self.device.features()
    }

    fn set_driver_features(&mut self, value: u32) {
        let shift = match self.driver_features_half {
            0 => 0,
            1 => 32,
            _ => return,
        };
        if self.status & FEATURES_OK == 0 {
            let other = self.driver_features & !(u64::from(u32::MAX) << shift);
            self.driver_features = other | (u64::from(value) << shift);
        }
    }

    /// Bits are set one after the other; only a reset, which is 0, clears them.
    fn set_status(&mut self, value: u32) {
        if value == 0 {
            return self.reset();
        }
        if value & self.status & !NEEDS_RESET != self.status & !NEEDS_RESET {
            return;
        }
        let mut new = value & !self.status & !NEEDS_RESET;
        let agreed =
            self.driver_features & !self.offered() == 0 && self.driver_features & VERSION_1 != 0;
        if new & FEATURES_OK != 0 && !agreed {
            new &= !FEATURES_OK;
        }
        if new & DRIVER_OK != 0 && (self.status | new) & FEATURES_OK == 0 {
            new &= !DRIVER_OK;
        }
        self.status |= new;
        if new & DRIVER_OK != 0 && !self.queues_are_valid() {
            self.break_down();
        }
    }

    fn queues_are_valid(&self) -> bool {
        let mut ready = self.queues.iter().filter(|queue| queue.ready());
        ready.all(|queue| queue.is_valid(&self.memory))
    }

    fn reset(&mut self) {
        self.queues.iter_mut().for_each(QueueT::reset);
        self.status = 0;
        self.interrupts = 0;
        self.driver_features = 0;
    }

    fn set_up_queue(&mut self, offset: u32, value: u32) {
        let may_set_up = self.status & (FEATURES_OK | DRIVER_OK) == FEATURES_OK;
        let Some(queue) = self.queues.get_mut(self.queue).filter(|_| may_set_up) else {
            return;
        };
        if offset == VIRTIO_MMIO_QUEUE_READY {
            queue.set_ready(value == 1);
        }
        if queue.ready() {
            return;
        }
        let (low, high) = (Some(value), Some(value));
        match offset {
            // What is no size leaves the queue as it is.
            VIRTIO_MMIO_QUEUE_NUM => queue.set_size(u16::try_from(value).unwrap_or(0)),
            VIRTIO_MMIO_QUEUE_DESC_LOW => queue.set_desc_table_address(low, None),
            VIRTIO_MMIO_QUEUE_DESC_HIGH => queue.set_desc_table_address(None, high),
            VIRTIO_MMIO_QUEUE_AVAIL_LOW => queue.set_avail_ring_address(low, None),
            VIRTIO_MMIO_QUEUE_AVAIL_HIGH => queue.set_avail_ring_address(None, high),
            VIRTIO_MMIO_QUEUE_USED_LOW => queue.set_used_ring_address(low, None),
            VIRTIO_MMIO_QUEUE_USED_HIGH => queue.set_used_ring_address(None, high),
            _ => {}
        }
    }

    fn notify(&mut self, index: usize) {
        if self.status & (DRIVER_OK | NEEDS_RESET) != DRIVER_OK {
            return;
        }
        let Some(queue) = self.queues.get_mut(index).filter(|queue| queue.ready()) else {
            return;
        };
        match self.device.serve(index, queue, &self.memory) {
            Ok(false) => {}
            Ok(true) => self.interrupt(VIRTIO_MMIO_INT_VRING),
            Err(_) => self.break_down(),
        }
    }

    /// Asks the driver for a reset. Until then nothing is served.
    fn break_down(&mut self) {
        self.status |= NEEDS_RESET;
        self.interrupt(VIRTIO_MMIO_INT_CONFIG);
    }

    /// An interrupt that cannot be raised is lost; the driver may still poll.
    fn interrupt(&mut self, why: u32) {
        self.interrupts |= why;
        let _ = self.irq.write(1);
    }
}

/// Half 0 or 1 of the feature bits; there are no more.
fn half(features: u64, which: u32) -> u32 {
    match which {
        0 => features as u32,
        1 => (features >> 32) as u32,
        _ => 0,
    }
}
