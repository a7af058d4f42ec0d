//! Interrupt lines that several functions share: a line is high while one of them asks.

use std::sync::{Arc, Mutex, PoisonError};

use crate::devices::irq::Line;

/// One function's pin on a line.
#[derive(Clone)]
pub(crate) struct Pin {
    line: Arc<Mutex<Shared>>,
    /// This one's bit.
    bit: u32,
}

struct Shared {
    line: Line,
    /// Who asks for an interrupt.
    askers: u32,
}

impl Pin {
    /// The only pin on `line`.
    pub(crate) fn new(line: Line) -> Pin {
        let shared = Shared { line, askers: 0 };
        Pin {
            line: Arc::new(Mutex::new(shared)),
            bit: 1,
        }
    }

    /// The next pin on this one's line, which has 32 at most.
    pub(crate) fn next(&self) -> Pin {
        Pin {
            line: self.line.clone(),
            bit: self.bit << 1,
        }
    }

    /// Asks for an interrupt, or no longer.
    pub(crate) fn set(&self, asks: bool) {
        let mut shared = self.line.lock().unwrap_or_else(PoisonError::into_inner);
        let before = shared.askers;
        match asks {
            true => shared.askers |= self.bit,
            false => shared.askers &= !self.bit,
        }
        // The line itself is a system call.
        if (before == 0) != (shared.askers == 0) {
            (shared.line)(shared.askers != 0);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc::channel;

    use super::*;

    #[test]
    fn a_line_is_high_while_somebody_asks() {
        let (sender, levels) = channel();
        let line: Line = Box::new(move |high| sender.send(high).unwrap());
        let first = Pin::new(line);
        let pins = [first.next(), first];
        for (pin, asks) in [
            (0, true),
            (1, true),
            (0, false),
            (0, false),
            (1, false),
            (1, true),
        ] {
            pins[pin].set(asks);
        }
        assert_eq!(levels.try_iter().collect::<Vec<_>>(), [true, false, true]);
    }
}
