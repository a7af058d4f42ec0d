//! The transport over memory-mapped registers: version 2 (virtio 1.2, section 4.2.2), and
//! version 1, the legacy interface (section 4.2.4).

use std::os::fd::{AsRawFd, RawFd};
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use virtio_bindings::virtio_config::VIRTIO_CONFIG_S_DRIVER_OK as DRIVER_OK;
use virtio_bindings::virtio_mmio::*;
use vmm_sys_util::eventfd::EventFd;

use super::core::{Core, QueueConfig};
use super::interface::Interface;
use crate::bits::{high, join, low, number};
use crate::devices::virtio::active_device::ActiveDevice;
use crate::devices::virtio::device::{Interrupts, VirtioDevice};
use crate::devices::virtio::ioeventfds::{IoEventFds, NotifyAddress, RegisteredIoEventFds};
use crate::error::Error;
use crate::memory::GuestMemory;

const MAGIC: u32 = u32::from_le_bytes(*b"virt");
const VENDOR: u32 = u32::from_le_bytes(*b"runu");
/// A shared memory region that is not there has this length (section 4.2.2).
const NO_REGION: u32 = u32::MAX;

/// A handle on a device behind its transport. All vCPUs share it.
#[derive(Clone)]
pub(crate) struct MmioTransport {
    registers: Arc<Mutex<Registers>>,
    interrupt: Arc<Interrupt>,
}

struct Registers {
    interface: Interface,
    core: Core,
    /// What the selecting registers have selected.
    device_features_select: u32,
    driver_features_select: u32,
    queue_select: usize,
    ioeventfds: RegisteredIoEventFds,
    /// Where the window is.
    gpa: u64,
    /// Of legacy queues, in bytes: what their address is counted in, and how their used rings
    /// are aligned.
    page_size: u32,
    alignment: u32,
}

/// The interrupt and its status register, which a handler reads without waiting for anybody.
struct Interrupt {
    status: AtomicU32,
    irq: EventFd,
}

impl MmioTransport {
    /// A device with this interface and its window at `gpa`, that uses `memory`, interrupts by
    /// `irq`, and has its driver's notifications taken by `ioeventfds`.
    ///
    /// # Errors
    /// [`Error::EventFd`].
    pub(crate) fn new(
        (interface, gpa): (Interface, u64),
        device: Box<dyn VirtioDevice>,
        memory: GuestMemory,
        irq: EventFd,
        ioeventfds: Box<dyn IoEventFds>,
    ) -> Result<MmioTransport, Error> {
        let interrupt = Arc::new(Interrupt {
            status: AtomicU32::new(0),
            irq,
        });
        let registers = Registers {
            interface,
            core: Core::new(device, memory, interrupt.clone())?,
            device_features_select: 0,
            driver_features_select: 0,
            queue_select: 0,
            ioeventfds: RegisteredIoEventFds::new(ioeventfds),
            gpa,
            page_size: 0,
            alignment: 0,
        };
        Ok(MmioTransport {
            registers: Arc::new(Mutex::new(registers)),
            interrupt,
        })
    }

    /// The device, for its thread.
    pub(crate) fn active_device(&self) -> Arc<ActiveDevice> {
        self.lock().core.active_device().clone()
    }

    /// All file descriptors that it needs.
    pub(crate) fn descriptors(&self) -> Vec<RawFd> {
        let mut descriptors = self.active_device().descriptors();
        descriptors.push(self.interrupt.irq.as_raw_fd());
        descriptors
    }

    /// Reads at `offset` in the window. Registers are read whole; anything else finds zeros.
    pub(crate) fn read(&self, offset: u64, data: &mut [u8]) {
        data.fill(0);
        let Ok(offset) = u32::try_from(offset) else {
            return;
        };
        match offset.checked_sub(VIRTIO_MMIO_CONFIG) {
            Some(at) => self.lock().core.read_config(at as usize, data),
            None => {
                if let Ok(data) = <&mut [u8; 4]>::try_from(data) {
                    *data = self.register(offset).to_le_bytes();
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
        let queue = core.queue(self.queue_select);
        match offset {
            VIRTIO_MMIO_MAGIC_VALUE => MAGIC,
            VIRTIO_MMIO_VERSION => match self.interface {
                Interface::Legacy => 1,
                Interface::Modern => 2,
            },
            VIRTIO_MMIO_DEVICE_ID => core.id(),
            VIRTIO_MMIO_VENDOR_ID => VENDOR,
            VIRTIO_MMIO_DEVICE_FEATURES => {
                core.device_features(self.interface, self.device_features_select)
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
            VIRTIO_MMIO_DEVICE_FEATURES_SEL => self.device_features_select = value,
            VIRTIO_MMIO_DRIVER_FEATURES_SEL => self.driver_features_select = value,
            VIRTIO_MMIO_DRIVER_FEATURES => {
                core.set_driver_features(self.interface, self.driver_features_select, value);
            }
            VIRTIO_MMIO_QUEUE_SEL => self.queue_select = value as usize,
            VIRTIO_MMIO_QUEUE_NOTIFY => core.notify(value as usize),
            VIRTIO_MMIO_STATUS => {
                core.set_status(self.interface, value);
                self.update_ioeventfds();
            }
            VIRTIO_MMIO_GUEST_PAGE_SIZE => self.page_size = value,
            VIRTIO_MMIO_QUEUE_ALIGN => self.alignment = value,
            _ if offset == self.interface.queue_enable_register() && value == 0 => {
                core.disable_queue(self.queue_select);
            }
            _ => {
                if let Some(queue) = core.queue_mut(self.interface, self.queue_select) {
                    match self.interface {
                        Interface::Legacy => {
                            let (page_size, align) = (self.page_size, self.alignment);
                            configure_legacy(queue, offset, value, page_size.into(), align.into());
                        }
                        Interface::Modern => configure(queue, offset, value),
                    }
                }
            }
        }
    }

    /// Has KVM take the driver's notifications, while there is one.
    fn update_ioeventfds(&mut self) {
        let active = self.core.active_device();
        let queue_events = &active.queue_events().queues;
        let gpa = self.gpa + u64::from(VIRTIO_MMIO_QUEUE_NOTIFY);
        let queues = match self.core.status() & DRIVER_OK {
            0 => 0,
            _ => number(queue_events.len()).into(),
        };
        let addresses = (0..queues).map(|queue| NotifyAddress::Mmio { gpa, queue });
        self.ioeventfds.update(addresses.collect(), queue_events);
    }

    /// Where a legacy queue lies, in the driver's pages.
    fn page_number(&self, queue: &QueueConfig) -> u32 {
        let page = queue.desc_table.checked_div(self.page_size.into());
        // It came from a u32, times what may have changed since.
        page.filter(|_| queue.ready).map_or(0, low)
    }
}

impl Interface {
    /// The register by which a driver enables a queue, or disables it.
    fn queue_enable_register(self) -> u32 {
        match self {
            Interface::Legacy => VIRTIO_MMIO_QUEUE_PFN,
            Interface::Modern => VIRTIO_MMIO_QUEUE_READY,
        }
    }
}

fn configure_legacy(queue: &mut QueueConfig, offset: u32, value: u32, page_size: u64, align: u64) {
    match offset {
        VIRTIO_MMIO_QUEUE_NUM if !queue.ready => set_size(queue, value),
        VIRTIO_MMIO_QUEUE_PFN => queue.set_legacy_address(u64::from(value) * page_size, align),
        _ => {}
    }
}

/// What is no size becomes 0, which is none either.
fn set_size(queue: &mut QueueConfig, value: u32) {
    queue.size = u16::try_from(value).unwrap_or(0);
}

fn configure(queue: &mut QueueConfig, offset: u32, value: u32) {
    if offset == VIRTIO_MMIO_QUEUE_READY {
        queue.ready = value == 1;
    }
    if queue.ready {
        return;
    }
    match offset {
        VIRTIO_MMIO_QUEUE_NUM => set_size(queue, value),
        VIRTIO_MMIO_QUEUE_DESC_LOW => set_low(&mut queue.desc_table, value),
        VIRTIO_MMIO_QUEUE_DESC_HIGH => set_high(&mut queue.desc_table, value),
        VIRTIO_MMIO_QUEUE_AVAIL_LOW => set_low(&mut queue.avail_ring, value),
        VIRTIO_MMIO_QUEUE_AVAIL_HIGH => set_high(&mut queue.avail_ring, value),
        VIRTIO_MMIO_QUEUE_USED_LOW => set_low(&mut queue.used_ring, value),
        VIRTIO_MMIO_QUEUE_USED_HIGH => set_high(&mut queue.used_ring, value),
        _ => {}
    }
}

fn set_low(address: &mut u64, value: u32) {
    *address = join(value, high(*address));
}

fn set_high(address: &mut u64, value: u32) {
    *address = join(low(*address), value);
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
    fn used_buffer(&self, _: usize) {
        self.raise(VIRTIO_MMIO_INT_VRING);
    }

    fn config_change(&self) {
        self.raise(VIRTIO_MMIO_INT_CONFIG);
    }

    fn clear(&self) {
        self.status.store(0, Ordering::Release);
    }
}
