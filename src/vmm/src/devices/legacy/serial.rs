//! COM1, shared by the vCPU, which reads and writes its registers, and the event
//! loop, which feeds it input.

use std::io;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use vm_superio::serial::SerialEvents;
use vm_superio::{Serial, Trigger};
use vmm_sys_util::eventfd::EventFd;

pub(crate) use crate::arch::ports::COM1;
pub(crate) const COM1_LAST: u16 = COM1 + 7;

/// How many bytes of input the port holds; more stay with whoever sends them.
pub(crate) const INPUT_CAPACITY: usize = 64;

type Uart = Serial<IrqLine, Arc<InputSpace>, Vec<u8>>;

/// A handle on the port. Its lock is never held while anything blocks.
#[derive(Clone)]
pub(crate) struct SerialPort {
    uart: Arc<Mutex<Uart>>,
    space: Arc<InputSpace>,
}

impl SerialPort {
    /// A port that raises its interrupt through `irq`, and tells `space` when the guest
    /// has taken all its input while somebody waits for that.
    pub(crate) fn new(irq: EventFd, space: EventFd) -> SerialPort {
        let space = Arc::new(InputSpace {
            is_awaited: AtomicBool::new(false),
            event: space,
        });
        let uart = Serial::with_events(IrqLine(irq), space.clone(), Vec::with_capacity(1));
        SerialPort {
            uart: Arc::new(Mutex::new(uart)),
            space,
        }
    }

    /// Reads the register at `offset` from the port's base.
    pub(crate) fn read(&self, offset: u8) -> u8 {
        self.lock().read(offset)
    }

    /// Writes a register, and returns the byte that the guest has sent by it, if any.
    pub(crate) fn write(&self, offset: u8, value: u8) -> Option<u8> {
        let mut uart = self.lock();
        // An interrupt that cannot be raised is lost; the guest may still poll.
        let _ = uart.write(offset, value);
        uart.writer_mut().pop()
    }

    /// Gives the guest as much of `input` as there is room for, and returns how many
    /// bytes that was. If it was not all, the event given to [`SerialPort::new`] is
    /// signalled once there is room again.
    pub(crate) fn receive(&self, input: &[u8]) -> usize {
        let mut uart = self.lock();
        // In loopback mode the port takes none.
        let taken = uart.enqueue_raw_bytes(input).unwrap_or(0);
        self.space
            .is_awaited
            .store(taken < input.len(), Ordering::Relaxed);
        taken
    }

    fn lock(&self) -> MutexGuard<'_, Uart> {
        self.uart.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Raises COM1's interrupt in KVM's interrupt controllers.
struct IrqLine(EventFd);

impl Trigger for IrqLine {
    type E = io::Error;

    fn trigger(&self) -> io::Result<()> {
        self.0.write(1)
    }
}

/// Wakes the event loop when the guest has read all input, if it waits for that. A
/// guest that reads an empty port in a loop wakes nobody.
struct InputSpace {
    is_awaited: AtomicBool,
    event: EventFd,
}

impl SerialEvents for InputSpace {
    fn buffer_read(&self) {}
    fn out_byte(&self) {}
    fn tx_lost_byte(&self) {}

    fn in_buffer_empty(&self) {
        if self.is_awaited.swap(false, Ordering::Relaxed) {
            // Cannot fail: the counter of an event that is read never overflows.
            let _ = self.event.write(1);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use nix::libc::EFD_NONBLOCK;

    const DATA: u8 = 0;
    const IER: u8 = 1;
    const MCR: u8 = 4;
    const LSR: u8 = 5;
    const DATA_READY: u8 = 1;
    const LOOPBACK: u8 = 0x10;

    struct Fixture {
        port: SerialPort,
        irq: EventFd,
        space: EventFd,
    }

    fn fixture() -> Fixture {
        let irq = EventFd::new(EFD_NONBLOCK).unwrap();
        let space = EventFd::new(EFD_NONBLOCK).unwrap();
        let port = SerialPort::new(irq.try_clone().unwrap(), space.try_clone().unwrap());
        Fixture { port, irq, space }
    }

    #[test]
    fn what_the_guest_sends_comes_out_byte_by_byte() {
        let Fixture { port, .. } = fixture();
        assert_eq!(port.write(DATA, b'a'), Some(b'a'));
        assert_eq!(port.write(DATA, b'b'), Some(b'b'));
        assert_eq!(port.write(IER, 0), None);
    }

    #[test]
    fn input_is_bounded_and_kept_in_order() {
        let Fixture { port, space, .. } = fixture();
        let input: Vec<u8> = (0..100).collect();
        assert_eq!(port.receive(&input), INPUT_CAPACITY);
        assert_eq!(port.receive(&input[64..]), 0);
        assert!(space.read().is_err(), "no room yet");
        let read: Vec<u8> = (0..64).map(|_| port.read(DATA)).collect();
        assert_eq!(read, input[..64]);
        assert_eq!(space.read().unwrap(), 1, "room again, said once");
        assert_eq!(port.receive(&input[64..]), 36);
    }

    #[test]
    fn nobody_is_woken_who_does_not_wait() {
        let Fixture { port, space, .. } = fixture();
        port.read(DATA);
        assert_eq!(port.receive(b"x"), 1);
        assert_eq!(port.read(LSR) & DATA_READY, DATA_READY);
        port.read(DATA);
        assert!(space.read().is_err());
    }

    #[test]
    fn input_raises_the_interrupt_when_enabled() {
        let Fixture { port, irq, .. } = fixture();
        port.receive(b"x");
        assert!(irq.read().is_err());
        port.write(IER, 1);
        assert_eq!(irq.read().unwrap(), 1);
    }

    #[test]
    fn loopback_takes_no_input() {
        let Fixture { port, .. } = fixture();
        port.write(MCR, LOOPBACK);
        assert_eq!(port.receive(b"x"), 0);
        port.write(MCR, 0);
        assert_eq!(port.receive(b"x"), 1);
    }
}
