//! The transport over memory-mapped registers, version 2 (virtio 1.2, section 4.2.2).

use std::os::fd::{AsRawFd, RawFd};
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use virtio_bindings::virtio_mmio::*;
use vmm_sys_util::eventfd::EventFd;

use super::serving::Serving;
use super::transport::{Core, Interface, QueueSetup};
use super::{Device, Interrupts};
use crate::vmm::error::Error;
use crate::vmm::memory::GuestMemory;

/// Bytes of the registers and the configuration space.
pub const WINDOW: u64 = 0x1000;

const MAGIC: u32 = u32::from_le_bytes(*b"virt");
const VERSION: u32 = 2;
const VENDOR: u32 = u32::from_le_bytes(*b"runu");
/// A shared memory region that is not there has this length (section 4.2.2).
const NO_REGION: u32 = u32::MAX;

/// A handle on a device behind its transport. All vCPUs share it.
#[derive(Clone)]
pub struct Mmio {
    registers: Arc<Mutex<Registers>>,
    interrupt: Arc<Interrupt>,
}

struct Registers {
    core: Core,
    /// What the selecting registers have selected.
    device_features_half: u32,
    driver_features_half: u32,
    queue: usize,
}

/// The interrupt with its reasons, which a handler asks for without waiting for anybody.
struct Interrupt {
    status: AtomicU32,
    irq: EventFd,
}

impl Mmio {
    /// A device that uses `memory` and interrupts by `irq`.
    ///
    /// # Errors
    /// [`Error::EventFd`].
    pub fn new(device: Box<dyn Device>, memory: GuestMemory, irq: EventFd) -> Result<Mmio, Error> {
        let interrupt = Arc::new(Interrupt {
            status: AtomicU32::new(0),
            irq,
        });
        let registers = Registers {
            core: Core::new(device, memory, interrupt.clone())?,
            device_features_half: 0,
            driver_features_half: 0,
            queue: 0,
        };
        Ok(Mmio {
            registers: Arc::new(Mutex::new(registers)),
            interrupt,
        })
    }

    /// The device, for its thread.
    pub fn serving(&self) -> Arc<Serving> {
        self.lock().core.serving().clone()
    }

    /// All file descriptors that it needs.
    pub fn descriptors(&self) -> Vec<RawFd> {
        let mut descriptors = self.serving().descriptors();
        descriptors.push(self.interrupt.irq.as_raw_fd());
        descriptors
    }

    /// Reads at `offset` in the window. Registers are read whole; anything else finds zeros.
    pub fn read(&self, offset: u64, data: &mut [u8]) {
        data.fill(0);
        // A window's offset fits in a usize and a u32.
        match offset.checked_sub(VIRTIO_MMIO_CONFIG.into()) {
            Some(at) => self.lock().core.read_config(at as usize, data),
            None => {
                if let Ok(data) = <&mut [u8; 4]>::try_from(data) {
                    *data = self.register(offset as u32).to_le_bytes();
                }
            }
        }
    }

    /// Writes at `offset` in the window. Registers are written whole; anything else is dropped.
    pub fn write(&self, offset: u64, data: &[u8]) {
        let (Ok(offset), Ok(bytes)) = (u32::try_from(offset), data.try_into()) else {
            return;
        };
        match (offset, u32::from_le_bytes(bytes)) {
            (VIRTIO_MMIO_INTERRUPT_ACK, value) => self.interrupt.acknowledge(value),
            (_, value) => self.lock().write(offset, value),
        }
    }

    fn register(&self, offset: u32) -> u32 {
        match offset {
            VIRTIO_MMIO_INTERRUPT_STATUS => self.interrupt.status.load(Ordering::Acquire),
            _ => self.lock().read(offset),
        }
    }

    fn lock(&self) -> MutexGuard<'_, Registers> {
        self.registers
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }
}

impl Registers {
    fn read(&self, offset: u32) -> u32 {
        let core = &self.core;
        let queue = core.queue(self.queue);
        match offset {
            VIRTIO_MMIO_MAGIC_VALUE => MAGIC,
            VIRTIO_MMIO_VERSION => VERSION,
            VIRTIO_MMIO_DEVICE_ID => core.id(),
            VIRTIO_MMIO_VENDOR_ID => VENDOR,
            VIRTIO_MMIO_DEVICE_FEATURES => {
                core.device_features(Interface::Modern, self.device_features_half)
            }
            VIRTIO_MMIO_QUEUE_NUM_MAX => queue.map_or(0, |queue| queue.max.into()),
            VIRTIO_MMIO_QUEUE_READY => queue.is_some_and(|queue| queue.ready).into(),
            VIRTIO_MMIO_STATUS => core.status(),
            VIRTIO_MMIO_CONFIG_GENERATION => core.config_generation(),
            VIRTIO_MMIO_SHM_LEN_LOW | VIRTIO_MMIO_SHM_LEN_HIGH => NO_REGION,
            VIRTIO_MMIO_SHM_BASE_LOW | VIRTIO_MMIO_SHM_BASE_HIGH => NO_REGION,
            _ => 0,
        }
    }

    fn write(&mut self, offset: u32, value: u32) {
        let core = &mut self.core;
        match offset {
            VIRTIO_MMIO_DEVICE_FEATURES_SEL => self.device_features_half = value,
            VIRTIO_MMIO_DRIVER_FEATURES_SEL => self.driver_features_half = value,
            VIRTIO_MMIO_DRIVER_FEATURES => {
                core.accept_features(Interface::Modern, self.driver_features_half, value);
            }
            VIRTIO_MMIO_QUEUE_SEL => self.queue = value as usize,
            VIRTIO_MMIO_QUEUE_NOTIFY => core.notify(value as usize),
            VIRTIO_MMIO_STATUS => core.set_status(Interface::Modern, value),
            _ => {
                if let Some(queue) = core.queue_mut(Interface::Modern, self.queue) {
                    set_up(queue, offset, value);
                }
            }
        }
    }
}

fn set_up(queue: &mut QueueSetup, offset: u32, value: u32) {
    if offset == VIRTIO_MMIO_QUEUE_READY {
        queue.ready = value == 1;
    }
    if queue.ready {
        return;
    }
    match offset {
        // What is no size is 0, which is none either.
        VIRTIO_MMIO_QUEUE_NUM => queue.size = u16::try_from(value).unwrap_or(0),
        VIRTIO_MMIO_QUEUE_DESC_LOW => set_low(&mut queue.descriptors, value),
        VIRTIO_MMIO_QUEUE_DESC_HIGH => set_high(&mut queue.descriptors, value),
        VIRTIO_MMIO_QUEUE_AVAIL_LOW => set_low(&mut queue.available, value),
        VIRTIO_MMIO_QUEUE_AVAIL_HIGH => set_high(&mut queue.available, value),
        VIRTIO_MMIO_QUEUE_USED_LOW => set_low(&mut queue.used, value),
        VIRTIO_MMIO_QUEUE_USED_HIGH => set_high(&mut queue.used, value),
        _ => {}
    }
}

fn set_low(address: &mut u64, value: u32) {
    *address = (*address >> 32 << 32) | u64::from(value);
}

fn set_high(address: &mut u64, value: u32) {
    *address = (u64::from(value) << 32) | u64::from(*address as u32);
}

impl Interrupt {
    fn acknowledge(&self, reasons: u32) {
        self.status.fetch_and(!reasons, Ordering::AcqRel);
    }

    /// An interrupt that cannot be raised is lost; the driver may still poll.
    fn raise(&self, reason: u32) {
        self.status.fetch_or(reason, Ordering::AcqRel);
        let _ = self.irq.write(1);
    }
}

impl Interrupts for Interrupt {
    fn queue(&self, _: usize) {
        self.raise(VIRTIO_MMIO_INT_VRING);
    }

    fn config(&self) {
        self.raise(VIRTIO_MMIO_INT_CONFIG);
    }

    fn clear(&self) {
        self.status.store(0, Ordering::Release);
    }
}
