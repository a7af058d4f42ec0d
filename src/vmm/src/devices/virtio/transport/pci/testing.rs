//! A small driver for functions of the PCI bus.

use std::sync::mpsc::{Receiver, channel};

use vm_memory::{Bytes, GuestAddress};

use super::function::PciTransport;
use crate::devices::pci::bus::{ADDRESS, DATA, PciBus};
use crate::devices::pci::config::Space;
use crate::devices::pci::intx::IntxPin;
use crate::devices::pci::slot::PciSlot;
use crate::devices::virtio::active_device::ActiveDevice;
use crate::devices::virtio::device::VirtioDevice;
use crate::devices::virtio::devices::rng::Rng;
use crate::devices::virtio::ioeventfds::NoIoEventFds;
use crate::devices::virtio::testing::{
    AVAILABLE, BUFFER, DESCRIPTORS, DRIVER_OK, FEATURES_OK, FOUND, SIZE, USED, WRITE,
};
use crate::devices::virtio::transport::interface::Interface;
use crate::devices::virtio::worker::{self, Wait};
use crate::memory::{self, GuestMemory, MIN_MEMORY};
use std::sync::Arc;

/// Fields of the common configuration.
pub(super) const DEVICE_FEATURE_SELECT: u64 = 0;
pub(super) const DEVICE_FEATURE: u64 = 4;
pub(super) const DRIVER_FEATURE_SELECT: u64 = 8;
pub(super) const DRIVER_FEATURE: u64 = 12;
pub(super) const CONFIG_VECTOR: u64 = 16;
pub(super) const DEVICE_STATUS: u64 = 20;
pub(super) const QUEUE_SELECT: u64 = 22;
pub(super) const QUEUE_SIZE: u64 = 24;
pub(super) const QUEUE_VECTOR: u64 = 26;
pub(super) const QUEUE_ENABLE: u64 = 28;
pub(super) const QUEUE_ADDRESSES: [u64; 3] = [32, 40, 48];

/// Structures in memory.
pub(super) const ISR: u64 = 0x1000;
pub(super) const NOTIFY: u64 = 0x3000;
pub(super) const TABLE: u64 = 0x4000;
pub(super) const PENDING: u64 = 0x5000;

/// The bus with one function, an entropy device, and its driver.
pub(super) struct Driver {
    pub bus: PciBus,
    pub memory: GuestMemory,
    pub levels: Receiver<bool>,
    pub messages: Receiver<(u64, u32)>,
    active: Arc<ActiveDevice>,
    pub available: u16,
    pub ports: u64,
    pub bar: u64,
}

impl Driver {
    pub(super) fn new() -> Driver {
        Driver::with(Box::new(Rng))
    }

    pub(super) fn with(device: Box<dyn VirtioDevice>) -> Driver {
        Self::of(Interface::Legacy, device)
    }

    /// The driver of a device that offers no older interface than `oldest`.
    pub(super) fn of(oldest: Interface, device: Box<dyn VirtioDevice>) -> Driver {
        let memory = memory::allocate(MIN_MEMORY).unwrap();
        let (level, levels) = channel();
        let (message, messages) = channel();
        let pin = IntxPin::new(Box::new(move |high| level.send(high).unwrap()));
        let message = Box::new(move |address, data| message.send((address, data)).unwrap());
        let slot = PciSlot::allocate(1).unwrap()[0];
        let signals = (pin, message as _);
        let ioeventfds = Box::new(NoIoEventFds);
        let function =
            PciTransport::new((oldest, &slot), device, memory.clone(), signals, ioeventfds)
                .unwrap();
        Driver {
            active: function.active_device(),
            bus: PciBus::new(vec![Box::new(function)]),
            memory,
            levels,
            messages,
            available: 0,
            ports: slot.ports.into(),
            bar: slot.memory.into(),
        }
    }

    /// Reads four bytes of device 1's configuration space.
    pub(super) fn config(&self, at: u32) -> u32 {
        self.select(at);
        let mut data = [0; 4];
        self.bus.read(DATA, &mut data);
        u32::from_le_bytes(data)
    }

    pub(super) fn set_config(&self, at: u32, value: u32) {
        self.set_config_bytes(at, &value.to_le_bytes());
    }

    /// Writes within four bytes.
    pub(super) fn set_config_bytes(&self, at: u32, data: &[u8]) {
        self.select(at);
        self.bus.write(DATA + (at & 3) as u16, data);
        self.work();
    }

    pub(super) fn select(&self, at: u32) {
        let address = 0x8000_0800 | (at & 0xfc);
        self.bus.write(ADDRESS, &address.to_le_bytes());
    }

    /// Reads `len` bytes of memory.
    pub(super) fn read(&self, offset: u64, len: usize) -> u64 {
        self.read_at(Space::Memory, self.bar + offset, len)
    }

    pub(super) fn write(&self, offset: u64, value: u64, len: usize) {
        self.write_at(Space::Memory, self.bar + offset, value, len);
    }

    /// Reads `len` bytes of ports.
    pub(super) fn input(&self, offset: u64, len: usize) -> u64 {
        self.read_at(Space::Ports, self.ports + offset, len)
    }

    pub(super) fn output(&self, offset: u64, value: u64, len: usize) {
        self.write_at(Space::Ports, self.ports + offset, value, len);
    }

    pub(super) fn read_at(&self, space: Space, address: u64, len: usize) -> u64 {
        let mut data = [0xff; 8];
        let found = self.bus.read_at(space, address, &mut data[..len]);
        assert!(found || data == [0xff; 8]);
        data[len..].fill(0);
        u64::from_le_bytes(data)
    }

    pub(super) fn write_at(&self, space: Space, address: u64, value: u64, len: usize) {
        self.bus
            .write_at(space, address, &value.to_le_bytes()[..len]);
        self.work();
    }

    fn work(&self) {
        worker::poll_once(&self.active, Wait::DontWait);
    }

    /// Comes up to DRIVER_OK by the modern interface, with these features of the first half.
    pub(super) fn come_up(&self, features: u32) {
        self.negotiate(features);
        self.set_up([DESCRIPTORS, AVAILABLE, USED]);
        self.set_status(FOUND | FEATURES_OK | DRIVER_OK);
    }

    pub(super) fn negotiate(&self, features: u32) {
        self.set_status(0);
        self.set_status(FOUND);
        for (half, features) in [(0, features), (1, 1)] {
            self.write(DRIVER_FEATURE_SELECT, half, 4);
            self.write(DRIVER_FEATURE, features.into(), 4);
        }
        self.set_status(FOUND | FEATURES_OK);
        assert_eq!(self.status(), FOUND | FEATURES_OK);
    }

    pub(super) fn set_up(&self, addresses: [u64; 3]) {
        self.write(QUEUE_SELECT, 0, 2);
        self.write(QUEUE_SIZE, SIZE.into(), 2);
        for (field, address) in QUEUE_ADDRESSES.into_iter().zip(addresses) {
            self.write(field, address & 0xffff_ffff, 4);
            self.write(field + 4, address >> 32, 4);
        }
        self.write(QUEUE_ENABLE, 1, 2);
    }

    pub(super) fn status(&self) -> u32 {
        self.read(DEVICE_STATUS, 1) as u32
    }

    pub(super) fn set_status(&self, status: u32) {
        self.write(DEVICE_STATUS, status.into(), 1);
    }

    /// Offers a buffer of 8 bytes in a queue of `size` entries at these offsets, and gives how
    /// many have been used when `notify` has been called.
    pub(super) fn offer(
        &mut self,
        size: u16,
        [table, ring, used]: [u64; 3],
        notify: impl Fn(&Self),
    ) -> u16 {
        let put = |at, bytes: &[u8]| self.memory.write_slice(bytes, GuestAddress(at)).unwrap();
        put(table, &BUFFER.to_le_bytes());
        put(table + 8, &8u32.to_le_bytes());
        put(table + 12, &WRITE.to_le_bytes());
        put(ring + 4 + 2 * u64::from(self.available % size), &[0, 0]);
        put(ring + 2, &(self.available + 1).to_le_bytes());
        self.available += 1;
        notify(self);
        self.memory.read_obj(GuestAddress(used + 2)).unwrap()
    }

    /// As above, by the modern interface.
    pub(super) fn offer_modern(&mut self) -> u16 {
        let offsets = [DESCRIPTORS, AVAILABLE, USED];
        self.offer(SIZE, offsets, |driver| driver.write(NOTIFY, 0, 2))
    }
}
