//! A function's interrupts: by its pin, with their status in the ISR (virtio 1.2, section 4.1.4.5),
//! or by MSI-X where the driver has enabled that.

use std::sync::{Mutex, MutexGuard, PoisonError};

use super::msix::{MsiMessage, MsixTable};
use crate::devices::irq::Message;
use crate::devices::pci::intx::IntxPin;
use crate::devices::virtio::device::Interrupts;

/// VIRTIO_MSI_NO_VECTOR: the driver wants no message.
pub(super) const NO_VECTOR: u16 = 0xffff;

/// Bits of the ISR.
const QUEUE: u8 = 1 << 0;
const CONFIG: u8 = 1 << 1;

/// Where the message for changes of the configuration is among the vectors; those for queues
/// follow.
pub(super) const CONFIG_VECTOR: usize = 0;
pub(super) const FIRST_QUEUE_VECTOR: usize = 1;

pub(super) struct PciInterrupts {
    state: Mutex<State>,
    pin: IntxPin,
    message: Message,
}

struct State {
    isr: u8,
    intx_disabled: bool,
    table: MsixTable,
    /// Which message is for what.
    vectors: Vec<u16>,
}

impl PciInterrupts {
    pub(super) fn new(queues: usize, pin: IntxPin, message: Message) -> PciInterrupts {
        let vectors = FIRST_QUEUE_VECTOR + queues;
        let state = State {
            isr: 0,
            intx_disabled: false,
            table: MsixTable::new(vectors),
            vectors: vec![NO_VECTOR; vectors],
        };
        PciInterrupts {
            state: Mutex::new(state),
            pin,
            message,
        }
    }

    /// The command register, or the message control in the upper half of MSI-X's first word,
    /// may have been written.
    pub(super) fn update_control(&self, intx_disabled: bool, msix: u32) {
        let mut state = self.lock();
        state.intx_disabled = intx_disabled;
        let sent = state.table.set_control((msix >> 16) as u16);
        self.send(sent);
        self.update_pin(&state);
    }

    /// Whether the driver has enabled MSI-X.
    pub(super) fn is_msix_enabled(&self) -> bool {
        self.lock().table.is_enabled()
    }

    /// Whether the pin is asserted, or would be.
    pub(super) fn is_pin_asserted(&self) -> bool {
        let state = self.lock();
        state.isr != 0 && !state.table.is_enabled()
    }

    /// Reads the ISR, which clears it.
    pub(super) fn take_isr(&self) -> u8 {
        let mut state = self.lock();
        let isr = std::mem::take(&mut state.isr);
        self.update_pin(&state);
        isr
    }

    /// The number of the message for something.
    pub(super) fn vector(&self, what: usize) -> u16 {
        let state = self.lock();
        state.vectors.get(what).copied().unwrap_or(NO_VECTOR)
    }

    /// Sets it. A message that is not there is none, which the driver finds when it reads it
    /// back.
    pub(super) fn set_vector(&self, what: usize, vector: u16) {
        let mut state = self.lock();
        let is_there = usize::from(vector) < state.table.len();
        if let Some(found) = state.vectors.get_mut(what) {
            *found = if is_there { vector } else { NO_VECTOR };
        }
    }

    pub(super) fn read_table(&self, at: usize, data: &mut [u8]) {
        self.lock().table.read(at, data);
    }

    pub(super) fn write_table(&self, at: usize, data: &[u8]) {
        let sent = self.lock().table.write(at, data);
        self.send(sent);
    }

    pub(super) fn read_pending(&self, at: usize, data: &mut [u8]) {
        self.lock().table.read_pending(at, data);
    }

    fn raise(&self, isr: u8, what: usize) {
        let mut state = self.lock();
        if state.table.is_enabled() {
            let vector = state.vectors.get(what).copied().unwrap_or(NO_VECTOR);
            let sent = state.table.send(vector.into());
            self.send(sent);
        } else {
            state.isr |= isr;
            self.update_pin(&state);
        }
    }

    /// The pin follows from the rest.
    fn update_pin(&self, state: &State) {
        let is_asserted = state.isr != 0 && !state.intx_disabled && !state.table.is_enabled();
        self.pin.set(is_asserted);
    }

    fn send(&self, messages: impl IntoIterator<Item = MsiMessage>) {
        for (address, data) in messages {
            (self.message)(address, data);
        }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Interrupts for PciInterrupts {
    fn used_buffer(&self, index: usize) {
        self.raise(QUEUE, FIRST_QUEUE_VECTOR + index);
    }

    fn config_change(&self) {
        // A driver that has messages for its queues may look for this bit all the same.
        self.lock().isr |= CONFIG;
        self.raise(CONFIG, CONFIG_VECTOR);
    }

    fn clear(&self) {
        let mut state = self.lock();
        state.isr = 0;
        state.vectors.fill(NO_VECTOR);
        state.table.clear_pending();
        self.update_pin(&state);
    }
}
