//! Interrupt lines that several functions share: a line is high while one of them asserts its
//! pin.

use std::sync::{Arc, Mutex, PoisonError};

use crate::devices::irq::Line;

/// One function's pin on a line.
#[derive(Clone)]
pub(crate) struct IntxPin {
    line: Arc<Mutex<SharedLine>>,
    /// This one's bit.
    bit: u32,
}

struct SharedLine {
    line: Line,
    /// The pins that are asserted.
    asserted: u32,
}

impl IntxPin {
    /// The only pin on `line`.
    pub(crate) fn new(line: Line) -> IntxPin {
        let shared = SharedLine { line, asserted: 0 };
        IntxPin {
            line: Arc::new(Mutex::new(shared)),
            bit: 1,
        }
    }

    /// The next pin on this one's line, which has 32 at most.
    pub(crate) fn next(&self) -> IntxPin {
        IntxPin {
            line: self.line.clone(),
            bit: self.bit << 1,
        }
    }

    /// Asserts the pin, or no longer.
    pub(crate) fn set(&self, is_asserted: bool) {
        let mut shared = self.line.lock().unwrap_or_else(PoisonError::into_inner);
        let before = shared.asserted;
        match is_asserted {
            true => shared.asserted |= self.bit,
            false => shared.asserted &= !self.bit,
        }
        // The line itself is a system call.
        if (before == 0) != (shared.asserted == 0) {
            (shared.line)(shared.asserted != 0);
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
        let first = IntxPin::new(line);
        let pins = [first.next(), first];
        for (pin, asserts) in [
            (0, true),
            (1, true),
            (0, false),
            (0, false),
            (1, false),
            (1, true),
        ] {
            pins[pin].set(asserts);
        }
        assert_eq!(levels.try_iter().collect::<Vec<_>>(), [true, false, true]);
    }
}
