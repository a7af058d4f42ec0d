//! The transport over memory-mapped registers: version 2 (virtio 1.2, section 4.2.2), and
//! version 1, the legacy interface (section 4.2.4).

use std::os::fd::{AsRawFd, RawFd};
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use virtio_bindings::virtio_config::VIRTIO_CONFIG_S_DRIVER_OK as DRIVER_OK;
use virtio_bindings::virtio_mmio::*;
use vmm_sys_util::eventfd::EventFd;

use super::core::{Core, QueueSetup};
use super::interface::Interface;
use crate::devices::virtio::device::{Device, Interrupts};
use crate::devices::virtio::doors::{Door, Doors, Doorway};
use crate::devices::virtio::serving::Serving;
use crate::error::Error;
use crate::memory::GuestMemory;

const MAGIC: u32 = u32::from_le_bytes(*b"virt");
const VENDOR: u32 = u32::from_le_bytes(*b"runu");
/// A shared memory region that is not there has this length (section 4.2.2).
const NO_REGION: u32 = u32::MAX;

/// A handle on a device behind its transport. All vCPUs share it.
#[derive(Clone)]
pub(crate) struct Mmio {
    registers: Arc<Mutex<Registers>>,
    interrupt: Arc<Interrupt>,
}

struct Registers {
    interface: Interface,
    core: Core,
    /// What the selecting registers have selected.
    device_features_half: u32,
    driver_features_half: u32,
    queue: usize,
    doorway: Doorway,
    /// Where the window is.
    gpa: u64,
    /// Of legacy queues, in bytes: what their place is counted in, and how their used rings
    /// are aligned.
    page_size: u32,
    alignment: u32,
}

/// The interrupt with its reasons, which a handler asks for without waiting for anybody.
struct Interrupt {
    status: AtomicU32,
    irq: EventFd,
}

impl Mmio {
    /// A device with this interface and its window at `gpa`, that uses `memory`, interrupts by
    /// `irq`, and is notified by `doors`.
    ///
    /// # Errors
    /// [`Error::EventFd`].
    pub(crate) fn new(
        (interface, gpa): (Interface, u64),
        device: Box<dyn Device>,
        memory: GuestMemory,
        irq: EventFd,
        doors: Box<dyn Doors>,
    ) -> Result<Mmio, Error> {
        let interrupt = Arc::new(Interrupt {
            status: AtomicU32::new(0),
            irq,
        });
        let registers = Registers {
            interface,
            core: Core::new(device, memory, interrupt.clone())?,
            device_features_half: 0,
            driver_features_half: 0,
            queue: 0,
            doorway: Doorway::new(doors),
            gpa,
            page_size: 0,
            alignment: 0,
        };
        Ok(Mmio {
            registers: Arc::new(Mutex::new(registers)),
            interrupt,
        })
    }

    /// The device, for its thread.
    pub(crate) fn serving(&self) -> Arc<Serving> {
        self.lock().core.serving().clone()
    }

    /// All file descriptors that it needs.
    pub(crate) fn descriptors(&self) -> Vec<RawFd> {
        let mut descriptors = self.serving().descriptors();
        descriptors.push(self.interrupt.irq.as_raw_fd());
        descriptors
    }

    /// Reads at `offset` in the window. Registers are read whole; anything else finds zeros.
    pub(crate) fn read(&self, offset: u64, data: &mut [u8]) {
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
    pub(crate) fn write(&self, offset: u64, data: &[u8]) {
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
            VIRTIO_MMIO_VERSION => match self.interface {
                Interface::Legacy => 1,
                Interface::Modern => 2,
            },
            VIRTIO_MMIO_DEVICE_ID => core.id(),
            VIRTIO_MMIO_VENDOR_ID => VENDOR,
            VIRTIO_MMIO_DEVICE_FEATURES => {
                core.device_features(self.interface, self.device_features_half)
            }
            VIRTIO_MMIO_QUEUE_NUM_MAX => queue.map_or(0, |queue| queue.max.into()),
            VIRTIO_MMIO_QUEUE_PFN if self.interface == Interface::Legacy => {
                queue.map_or(0, |queue| self.page_number(queue))
            }
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
                core.accept_features(self.interface, self.driver_features_half, value);
            }
            VIRTIO_MMIO_QUEUE_SEL => self.queue = value as usize,
            VIRTIO_MMIO_QUEUE_NOTIFY => core.notify(value as usize),
            VIRTIO_MMIO_STATUS => {
                core.set_status(self.interface, value);
                self.open_doors();
            }
            VIRTIO_MMIO_GUEST_PAGE_SIZE => self.page_size = value,
            VIRTIO_MMIO_QUEUE_ALIGN => self.alignment = value,
            _ if offset == self.interface.use_of_queue() && value == 0 => {
                core.take_back(self.queue);
            }
            _ => {
                if let Some(queue) = core.queue_mut(self.interface, self.queue) {
                    match self.interface {
                        Interface::Legacy => {
                            let (page_size, align) = (self.page_size, self.alignment);
                            set_up_legacy(queue, offset, value, page_size.into(), align.into());
                        }
                        Interface::Modern => set_up(queue, offset, value),
                    }
                }
            }
        }
    }

    /// Has KVM take the driver's notifications, while there is one.
    fn open_doors(&mut self) {
        let serving = self.core.serving();
        let bells = &serving.bells().queues;
        let gpa = self.gpa + u64::from(VIRTIO_MMIO_QUEUE_NOTIFY);
        let queues = match self.core.status() & DRIVER_OK {
            0 => 0,
            _ => bells.len() as u32,
        };
        let doors = (0..queues).map(|queue| Door::Register { gpa, queue });
        self.doorway.open(doors.collect(), bells);
    }

    /// Where a legacy queue lies, in the driver's pages.
    fn page_number(&self, queue: &QueueSetup) -> u32 {
        let page = queue.descriptors.checked_div(self.page_size.into());
        // It came from a u32, times what may have changed since.
        page.filter(|_| queue.ready).map_or(0, |page| page as u32)
    }
}

impl Interface {
    /// The register by which a driver has a queue used, or no more.
    fn use_of_queue(self) -> u32 {
        match self {
            Interface::Legacy => VIRTIO_MMIO_QUEUE_PFN,
            Interface::Modern => VIRTIO_MMIO_QUEUE_READY,
        }
    }
}

fn set_up_legacy(queue: &mut QueueSetup, offset: u32, value: u32, page_size: u64, align: u64) {
    match offset {
        VIRTIO_MMIO_QUEUE_NUM if !queue.ready => set_size(queue, value),
        VIRTIO_MMIO_QUEUE_PFN => queue.place_legacy(u64::from(value) * page_size, align),
        _ => {}
    }
}

/// What is no size is 0, which is none either.
fn set_size(queue: &mut QueueSetup, value: u32) {
    queue.size = u16::try_from(value).unwrap_or(0);
}

fn set_up(queue: &mut QueueSetup, offset: u32, value: u32) {
    if offset == VIRTIO_MMIO_QUEUE_READY {
        queue.ready = value == 1;
    }
    if queue.ready {
        return;
    }
    match offset {
        VIRTIO_MMIO_QUEUE_NUM => set_size(queue, value),
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
