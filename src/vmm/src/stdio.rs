//! The container's stdin and terminal, and the two devices by which the guest has them: COM1,
//! and the virtio console once the guest uses it.

use std::fs::File;
use std::os::fd::BorrowedFd;

use super::console::Input;
use super::devices::legacy::serial::{self, SerialPort};
use super::devices::virtio::devices::console::{self, Port};
use super::terminal;

/// What the event loop does with them.
pub(crate) struct Stdio {
    input: Input,
    /// Whose size is the guest's terminal's.
    terminal: Option<File>,
    serial: SerialPort,
    /// Kernels that call their monitor have none.
    port: Option<Port>,
}

impl Stdio {
    /// `input` goes to one of the two; `terminal` is one of stdio that is one, if any is.
    pub(crate) fn new(
        input: Option<File>,
        terminal: Option<File>,
        serial: SerialPort,
        port: Option<Port>,
    ) -> Stdio {
        Stdio {
            input: Input::new(input),
            terminal,
            serial,
            port,
        }
    }

    /// What to wait for: nothing at the end of input, and nothing while the guest has not
    /// taken what was read before.
    pub(crate) fn to_poll(&self) -> Option<BorrowedFd<'_>> {
        self.input.to_poll()
    }

    /// Reads input. To be called when there is some, else it blocks.
    pub(crate) fn fill(&mut self) {
        let capacity = match self.driven() {
            Some(_) => console::INPUT_CAPACITY,
            None => serial::INPUT_CAPACITY,
        };
        self.input.fill(capacity);
    }

    /// Offers the guest what was read.
    pub(crate) fn offer(&mut self) {
        let port = self.driven().cloned();
        let serial = &self.serial;
        self.input.offer(|bytes| match port {
            Some(port) => port.offer(bytes),
            None => serial.receive(bytes),
        });
    }

    /// Tells the guest the terminal's size, if it is not what it was.
    pub(crate) fn resize(&self) {
        if let (Some(terminal), Some(port)) = (&self.terminal, &self.port)
            && let Some(size) = terminal::size(terminal)
        {
            port.resize(size);
        }
    }

    /// The console, if the guest uses it.
    fn driven(&self) -> Option<&Port> {
        self.port.as_ref().filter(|port| port.is_in_use())
    }
}
