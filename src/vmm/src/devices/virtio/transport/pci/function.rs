//! A function of the PCI bus that is a virtio device.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use super::capabilities::{self, CapabilityOffsets, MEMORY, NOTIFY, NOTIFY_MULTIPLIER, PORTS};
use super::interrupts::PciInterrupts;
use super::legacy;
use super::registers::Registers;
use crate::devices::irq::Message;
use crate::devices::pci::config::{BARS, BARS_END, COMMAND, ConfigSpace, Space};
use crate::devices::pci::device::PciDevice;
use crate::devices::pci::intx::IntxPin;
use crate::devices::pci::slot::PciSlot;
use crate::devices::virtio::active_device::ActiveDevice;
use crate::devices::virtio::device::VirtioDevice;
use crate::devices::virtio::ioeventfds::{IoEventFds, RegisteredIoEventFds};
use crate::devices::virtio::transport::core::Core;
use crate::devices::virtio::transport::interface::Interface;
use crate::error::Error;
use crate::memory::GuestMemory;

/// A device as a function of the PCI bus.
pub(crate) struct PciTransport {
    /// Held for moments only, as the interrupts' own lock is: who looks for a function at an
    /// address, or reads the ISR, waits for no request.
    config: Mutex<ConfigSpace>,
    offsets: CapabilityOffsets,
    interrupts: Arc<PciInterrupts>,
    registers: Mutex<Registers>,
}

impl PciTransport {
    /// A device in its slot, that offers no older interface than `oldest`, uses `memory`,
    /// interrupts by `pin` or `message`, and has its driver's notifications taken by `ioeventfds`.
    ///
    /// # Errors
    /// [`Error::EventFd`].
    pub(crate) fn new(
        (oldest, slot): (Interface, &PciSlot),
        device: Box<dyn VirtioDevice>,
        memory: GuestMemory,
        (pin, message): (IntxPin, Message),
        ioeventfds: Box<dyn IoEventFds>,
    ) -> Result<PciTransport, Error> {
        let queues = device.queue_sizes().len();
        let (config, offsets) = capabilities::config_space((oldest, slot), device.id(), queues);
        let interrupts = Arc::new(PciInterrupts::new(queues, pin, message));
        let registers = Registers {
            core: Core::new(device, memory, interrupts.clone())?,
            interrupts: interrupts.clone(),
            device_features_select: 0,
            driver_features_select: 0,
            queue_select: 0,
            interface: Interface::Modern,
            ioeventfds: RegisteredIoEventFds::new(ioeventfds),
        };
        Ok(PciTransport {
            config: Mutex::new(config),
            offsets,
            interrupts,
            registers: Mutex::new(registers),
        })
    }

    /// The device, for its thread.
    pub(crate) fn active_device(&self) -> Arc<ActiveDevice> {
        self.registers().core.active_device().clone()
    }

    fn read_bar(&self, bar: u8, offset: u32, data: &mut [u8]) {
        match (bar, capabilities::region(offset)) {
            (PORTS, _) => self.read_legacy(offset as usize, data),
            (MEMORY, (capabilities::COMMON, at)) => self.registers().read_common(at, data),
            (MEMORY, (capabilities::ISR, 0)) => data.fill_with(|| self.interrupts.take_isr()),
            (MEMORY, (capabilities::DEVICE, at)) => self.registers().core.read_config(at, data),
            (MEMORY, (capabilities::TABLE, at)) => self.interrupts.read_table(at, data),
            (MEMORY, (capabilities::PENDING, at)) => self.interrupts.read_pending(at, data),
            _ => data.fill(0),
        }
    }

    fn write_bar(&self, bar: u8, offset: u32, data: &[u8]) {
        match (bar, capabilities::region(offset)) {
            (PORTS, _) => {
                let mut registers = self.registers();
                registers.write_legacy(offset as usize, data);
                registers.update_ioeventfds(&self.config);
            }
            (MEMORY, (capabilities::COMMON, at)) => {
                let mut registers = self.registers();
                registers.write_common(at, data);
                registers.update_ioeventfds(&self.config);
            }
            (MEMORY, (NOTIFY, at)) => self
                .registers()
                .core
                .notify(at / NOTIFY_MULTIPLIER as usize),
            (MEMORY, (capabilities::TABLE, at)) => self.interrupts.write_table(at, data),
            _ => {}
        }
    }

    /// Reads the legacy interface; its ISR waits for nobody.
    fn read_legacy(&self, offset: usize, data: &mut [u8]) {
        match (offset, data) {
            (legacy::ISR, [isr]) => *isr = self.interrupts.take_isr(),
            (offset, data) => self.registers().read_legacy(offset, data),
        }
    }

    /// Where the window in the configuration space leads, for accesses of `len` bytes (section
    /// 4.1.4.9).
    fn window(&self, len: usize) -> Option<(u8, u32)> {
        let config = self.config();
        let [bar, offset, length] = self.offsets.window.map(|at| config.u32(at));
        let bar = (bar & 0xff) as u8;
        let size = capabilities::SIZES.get(usize::from(bar))?;
        let fits = offset.checked_add(length)? <= *size;
        let is_whole = matches!(length, 1 | 2 | 4) && offset % length == 0;
        (length as usize == len && fits && is_whole).then_some((bar, offset))
    }

    fn config(&self) -> MutexGuard<'_, ConfigSpace> {
        self.config.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn registers(&self) -> MutexGuard<'_, Registers> {
        self.registers
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }
}

impl PciDevice for PciTransport {
    fn read_config(&self, at: usize, data: &mut [u8]) {
        if at == self.offsets.window_data
            && let Some((bar, offset)) = self.window(data.len())
        {
            return self.read_bar(bar, offset, data);
        }
        let mut config = self.config();
        config.set_interrupt_status(self.interrupts.is_pin_asserted());
        config.read(at, data);
    }

    fn write_config(&self, at: usize, data: &[u8]) {
        let mut config = self.config();
        config.write(at, data);
        // While nobody else writes: the interrupts must not keep an older state.
        let control = config.u32(self.offsets.msix);
        self.interrupts
            .update_control(config.is_intx_disabled(), control);
        drop(config);
        if at == self.offsets.window_data
            && let Some((bar, offset)) = self.window(data.len())
        {
            self.write_bar(bar, offset, data);
        }
        let touches = |start, end| at < end && at + data.len() > start;
        if touches(COMMAND, COMMAND + 2) || touches(BARS, BARS_END) {
            self.registers().update_ioeventfds(&self.config);
        }
    }

    fn read(&self, space: Space, address: u64, data: &mut [u8]) -> bool {
        let found = self.config().find(space, address);
        if let Some((bar, offset)) = found {
            data.fill(0xff);
            self.read_bar(bar, offset, data);
        }
        found.is_some()
    }

    fn write(&self, space: Space, address: u64, data: &[u8]) -> bool {
        let found = self.config().find(space, address);
        if let Some((bar, offset)) = found {
            self.write_bar(bar, offset, data);
        }
        found.is_some()
    }
}
