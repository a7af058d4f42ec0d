//! A function's interrupts: by its pin, with the reasons in a register (virtio 1.2, section
//! 4.1.4.5), or by messages where the driver has turned those on.

use std::sync::{Mutex, MutexGuard, PoisonError};

use super::msix::{Sent, Table};
use crate::devices::irq::Message;
use crate::devices::pci::line::Pin;
use crate::devices::virtio::device;

/// A driver that wants no message says so by this number.
pub(super) const NO_VECTOR: u16 = 0xffff;

/// The reasons.
const QUEUE: u8 = 1 << 0;
const CONFIG: u8 = 1 << 1;

/// Where the message for changes of the configuration is among the vectors; those for queues
/// follow.
pub(super) const CONFIG_VECTOR: usize = 0;
pub(super) const FIRST_QUEUE_VECTOR: usize = 1;

pub(super) struct Interrupts {
    state: Mutex<State>,
    pin: Pin,
    message: Message,
}

struct State {
    reasons: u8,
    pin_is_silent: bool,
    table: Table,
    /// Which message is for what.
    vectors: Vec<u16>,
}

impl Interrupts {
    pub(super) fn new(queues: usize, pin: Pin, message: Message) -> Interrupts {
        let vectors = FIRST_QUEUE_VECTOR + queues;
        let state = State {
            reasons: 0,
            pin_is_silent: false,
            table: Table::new(vectors),
            vectors: vec![NO_VECTOR; vectors],
        };
        Interrupts {
            state: Mutex::new(state),
            pin,
            message,
        }
    }

    /// The command register, or the message control in the upper half of MSI-X's first word,
    /// may have been written.
    pub(super) fn control(&self, pin_is_silent: bool, msix: u32) {
        let mut state = self.lock();
        state.pin_is_silent = pin_is_silent;
        let sent = state.table.set_control((msix >> 16) as u16);
        self.send(sent);
        self.settle(&state);
    }

    /// Whether the driver has turned messages on.
    pub(super) fn by_messages(&self) -> bool {
        self.lock().table.is_on()
    }

    /// Whether the pin asks for an interrupt, or would.
    pub(super) fn pin_asks(&self) -> bool {
        let state = self.lock();
        state.reasons != 0 && !state.table.is_on()
    }

    /// Reads the reasons, which clears them.
    pub(super) fn take_reasons(&self) -> u8 {
        let mut state = self.lock();
        let reasons = std::mem::take(&mut state.reasons);
        self.settle(&state);
        reasons
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

    fn raise(&self, reason: u8, what: usize) {
        let mut state = self.lock();
        if state.table.is_on() {
            let vector = state.vectors.get(what).copied().unwrap_or(NO_VECTOR);
            let sent = state.table.send(vector.into());
            self.send(sent);
        } else {
            state.reasons |= reason;
            self.settle(&state);
        }
    }

    /// The pin follows from the rest.
    fn settle(&self, state: &State) {
        let asks = state.reasons != 0 && !state.pin_is_silent && !state.table.is_on();
        self.pin.set(asks);
    }

    fn send(&self, messages: impl IntoIterator<Item = Sent>) {
        for (address, data) in messages {
            (self.message)(address, data);
        }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl device::Interrupts for Interrupts {
    fn queue(&self, index: usize) {
        self.raise(QUEUE, FIRST_QUEUE_VECTOR + index);
    }

    fn config(&self) {
        // A driver that has messages for its queues may ask for this reason all the same.
        self.lock().reasons |= CONFIG;
        self.raise(CONFIG, CONFIG_VECTOR);
    }

    fn clear(&self) {
        let mut state = self.lock();
        state.reasons = 0;
        state.vectors.fill(NO_VECTOR);
        state.table.forget();
        self.settle(&state);
    }
}
