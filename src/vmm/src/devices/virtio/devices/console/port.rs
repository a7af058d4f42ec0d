//! What the console device and the event loop share.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};

use nix::sys::eventfd::{EfdFlags, EventFd as WakeEvent};
use vmm_sys_util::eventfd::EventFd;

use crate::console::Output;
use crate::error::Error;
use crate::terminal::Size;

/// How many bytes of input are kept for the guest; more stay with whoever sends them.
pub(crate) const INPUT_CAPACITY: usize = 4096;

/// A handle on both ends. No lock of it is held while anything blocks, but that of the output,
/// which is the device's alone.
#[derive(Clone)]
pub(crate) struct Port(Arc<Shared>);

struct Shared {
    state: Mutex<State>,
    output: Mutex<Output>,
    /// There is input for the device, or a new size.
    wake_event: WakeEvent,
    /// There is room for input again, or the input goes to another device from now on.
    space: OnceLock<EventFd>,
}

#[derive(Default)]
struct State {
    /// The guest has sent output by this device.
    is_in_use: bool,
    input: VecDeque<u8>,
    /// There was more input than room.
    is_space_wanted: bool,
    size: Size,
    /// The device does not know of it yet.
    is_size_new: bool,
}

impl Port {
    /// # Errors
    /// [`Error::EventFd`].
    pub(crate) fn new() -> Result<Port, Error> {
        let flags = EfdFlags::EFD_NONBLOCK | EfdFlags::EFD_CLOEXEC;
        let wake_event = WakeEvent::from_value_and_flags(0, flags);
        Ok(Port(Arc::new(Shared {
            state: Mutex::default(),
            output: Mutex::default(),
            wake_event: wake_event.map_err(|errno| Error::EventFd(errno.into()))?,
            space: OnceLock::new(),
        })))
    }

    /// Sends the guest's output there. From now on `space` is signalled when there is room for
    /// input again, if somebody waits for that, and when [`Port::is_in_use`] changes.
    pub(crate) fn connect(&self, output: Output, space: EventFd) {
        *self.output() = output;
        let _ = self.0.space.set(space);
    }

    /// Whether the guest uses this device, so that input is for it.
    pub(crate) fn is_in_use(&self) -> bool {
        self.state().is_in_use
    }

    /// Gives the guest as much of `input` as there is room for, and returns how many bytes that
    /// was.
    pub(crate) fn offer(&self, input: &[u8]) -> usize {
        let mut state = self.state();
        let room = INPUT_CAPACITY.saturating_sub(state.input.len());
        let taken = input.len().min(room);
        state.input.extend(&input[..taken]);
        state.is_space_wanted = taken < input.len();
        drop(state);
        self.wake_device();
        taken
    }

    /// Tells the guest that its terminal has this size.
    pub(crate) fn resize(&self, size: Size) {
        let mut state = self.state();
        if state.size != size {
            state.size = size;
            state.is_size_new = true;
            drop(state);
            self.wake_device();
        }
    }

    // The device's side.

    pub(super) fn wake_event(&self) -> &WakeEvent {
        &self.0.wake_event
    }

    pub(super) fn has_input(&self) -> bool {
        !self.state().input.is_empty()
    }

    /// Takes `max` bytes of the input.
    pub(super) fn take(&self, max: usize) -> Vec<u8> {
        let mut state = self.state();
        let len = max.min(state.input.len());
        let input = state.input.drain(..len).collect();
        if state.input.is_empty() && std::mem::take(&mut state.is_space_wanted) {
            self.wake_event_loop();
        }
        input
    }

    /// The size, if it is new.
    pub(super) fn take_size(&self) -> Option<Size> {
        let mut state = self.state();
        let is_new = std::mem::take(&mut state.is_size_new);
        is_new.then_some(state.size)
    }

    /// Makes the size new again, if there is one: the terminal is one.
    pub(super) fn announce_size(&self) {
        let mut state = self.state();
        state.is_size_new = state.size != Size::default();
        drop(state);
        self.wake_device();
    }

    /// Writes all of `bytes`. Blocks while the reader is slow, until the guest is to stop.
    pub(super) fn write(&self, bytes: &[u8]) {
        self.output().write(bytes);
    }

    /// The guest uses the device: input is for it.
    pub(super) fn claim_input(&self) {
        self.set_in_use(true);
    }

    /// The guest uses the device no longer.
    pub(super) fn release_input(&self) {
        self.set_in_use(false);
    }

    fn set_in_use(&self, is_in_use: bool) {
        let mut state = self.state();
        if state.is_in_use != is_in_use {
            state.is_in_use = is_in_use;
            self.wake_event_loop();
        }
    }

    fn wake_device(&self) {
        // It fails only where it is signalled already, and more often than anybody can count.
        let _ = self.0.wake_event.write(1);
    }

    fn wake_event_loop(&self) {
        if let Some(space) = self.0.space.get() {
            let _ = space.write(1);
        }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.0.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn output(&self) -> MutexGuard<'_, Output> {
        self.0.output.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
