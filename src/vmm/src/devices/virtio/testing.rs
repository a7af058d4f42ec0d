//! A small driver for the tests of transports and devices.

use nix::libc::EFD_NONBLOCK;
use vm_memory::{Bytes, GuestAddress};
use vmm_sys_util::eventfd::EventFd;

use super::device::VirtioDevice;
use super::ioeventfds::NoIoEventFds;
use super::worker::{self, Wait};
use crate::devices::virtio::devices::rng::Rng;
use crate::devices::virtio::transport::interface::Interface;
use crate::devices::virtio::transport::mmio::MmioTransport;
use crate::memory::{self, GuestMemory, MIN_MEMORY};

// Registers (virtio 1.2, section 4.2.2).
pub(crate) const DEVICE_FEATURES_SEL: u64 = 0x14;
pub(crate) const DRIVER_FEATURES: u64 = 0x20;
pub(crate) const DRIVER_FEATURES_SEL: u64 = 0x24;
pub(crate) const QUEUE_SEL: u64 = 0x30;
pub(crate) const QUEUE_NUM: u64 = 0x38;
pub(crate) const QUEUE_READY: u64 = 0x44;
pub(crate) const QUEUE_NOTIFY: u64 = 0x50;
pub(crate) const INTERRUPT_STATUS: u64 = 0x60;
pub(crate) const INTERRUPT_ACK: u64 = 0x64;
pub(crate) const STATUS: u64 = 0x70;
pub(crate) const QUEUE_ADDRESSES: [u64; 3] = [0x80, 0x90, 0xa0];

// Status bits.
pub(crate) const FOUND: u32 = 1 | 2;
pub(crate) const DRIVER_OK: u32 = 4;
pub(crate) const FEATURES_OK: u32 = 8;
pub(crate) const NEEDS_RESET: u32 = 0x40;

// Features of the transport.
pub(crate) const INDIRECT_DESC: u32 = 1 << 28;
pub(crate) const EVENT_IDX: u32 = 1 << 29;

// Flags of a descriptor.
pub(crate) const NEXT: u16 = 1;
pub(crate) const WRITE: u16 = 2;
pub(crate) const INDIRECT: u16 = 4;

// Where the driver has its queue, of 8 entries, and a buffer.
pub(crate) const DESCRIPTORS: u64 = 0x1_0000;
pub(crate) const AVAILABLE: u64 = 0x1_1000;
pub(crate) const USED: u64 = 0x1_2000;
pub(crate) const BUFFER: u64 = 0x2_0000;
pub(crate) const SIZE: u16 = 8;

pub(crate) struct Driver {
    pub device: MmioTransport,
    pub memory: GuestMemory,
    pub irq: EventFd,
    pub available: u16,
    /// The device has a thread; else the driver lets it work after each write.
    pub has_thread: bool,
}

impl Driver {
    pub(crate) fn new() -> Driver {
        Driver::with(Box::new(Rng))
    }

    pub(crate) fn with(device: Box<dyn VirtioDevice>) -> Driver {
        Driver::over(Interface::Modern, device)
    }

    pub(crate) fn over(interface: Interface, device: Box<dyn VirtioDevice>) -> Driver {
        // As any device can have it.
        let memory = memory::allocate_shared(MIN_MEMORY).unwrap();
        let irq = EventFd::new(EFD_NONBLOCK).unwrap();
        Driver {
            device: MmioTransport::new(
                (interface, 0xd000_0000),
                device,
                memory.clone(),
                irq.try_clone().unwrap(),
                Box::new(NoIoEventFds),
            )
            .unwrap(),
            memory,
            irq,
            available: 0,
            has_thread: false,
        }
    }

    /// A driver that has come up to DRIVER_OK.
    pub(crate) fn ready() -> Driver {
        Driver::with_features(0)
    }

    /// As above, with these features.
    pub(crate) fn with_features(features: u32) -> Driver {
        let driver = Driver::new();
        driver.come_up(features);
        driver
    }

    /// Comes up to DRIVER_OK, with these features.
    pub(crate) fn come_up(&self, features: u32) {
        self.write(DRIVER_FEATURES, features);
        self.negotiate();
        self.set_up([DESCRIPTORS, AVAILABLE, USED]);
        self.write(STATUS, FOUND | FEATURES_OK | DRIVER_OK);
        assert_eq!(self.read(STATUS), FOUND | FEATURES_OK | DRIVER_OK);
    }

    pub(crate) fn negotiate(&self) {
        self.write(STATUS, FOUND);
        self.write(DRIVER_FEATURES_SEL, 1);
        self.write(DRIVER_FEATURES, 1);
        self.write(STATUS, FOUND | FEATURES_OK);
        assert_eq!(self.read(STATUS), FOUND | FEATURES_OK);
    }

    pub(crate) fn set_up(&self, addresses: [u64; 3]) {
        self.write(QUEUE_SEL, 0);
        self.write(QUEUE_NUM, SIZE.into());
        for (register, address) in QUEUE_ADDRESSES.into_iter().zip(addresses) {
            self.write(register, address as u32);
            self.write(register + 4, (address >> 32) as u32);
        }
        self.write(QUEUE_READY, 1);
    }

    pub(crate) fn read(&self, register: u64) -> u32 {
        let mut data = [0xaa; 4];
        self.device.read(register, &mut data);
        u32::from_le_bytes(data)
    }

    /// Writes a register, and lets the device do what there is to do.
    pub(crate) fn write(&self, register: u64, value: u32) {
        self.device.write(register, &value.to_le_bytes());
        if !self.has_thread {
            worker::poll_once(&self.device.active_device(), Wait::DontWait);
        }
    }

    pub(crate) fn describe(&self, index: u16, gpa: u64, len: u32, flags: u16, next: u16) {
        let at = DESCRIPTORS + 16 * u64::from(index);
        let put = |at, bytes: &[u8]| self.memory.write_slice(bytes, GuestAddress(at)).unwrap();
        put(at, &gpa.to_le_bytes());
        put(at + 8, &len.to_le_bytes());
        put(at + 12, &flags.to_le_bytes());
        put(at + 14, &next.to_le_bytes());
    }

    /// Offers the chain that begins at `head`, and notifies.
    pub(crate) fn offer(&mut self, head: u16) {
        let slot = AVAILABLE + 4 + 2 * u64::from(self.available % SIZE);
        self.memory.write_obj(head, GuestAddress(slot)).unwrap();
        self.available = self.available.wrapping_add(1);
        let index = GuestAddress(AVAILABLE + 2);
        self.memory.write_obj(self.available, index).unwrap();
        self.write(QUEUE_NOTIFY, 0);
    }

    /// The index of the used ring, and its entry before that: head and length.
    pub(crate) fn used(&self) -> (u16, u32, u32) {
        let index: u16 = self.memory.read_obj(GuestAddress(USED + 2)).unwrap();
        let entry = USED + 4 + 8 * u64::from(index.wrapping_sub(1) % SIZE);
        let head = self.memory.read_obj(GuestAddress(entry)).unwrap();
        let len = self.memory.read_obj(GuestAddress(entry + 4)).unwrap();
        (index, head, len)
    }

    pub(crate) fn needs_reset(&self) -> bool {
        self.read(STATUS) & NEEDS_RESET != 0
    }
}
