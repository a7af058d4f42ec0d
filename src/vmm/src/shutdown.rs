//! How a guest is asked to shut down: in the way that it listens to.

use std::sync::Arc;

use kvm_ioctls::VmFd;

use super::arch::interrupts::takes_keyboard_interrupts;
use super::devices::legacy::pc::Pc;
use super::exit::{Crash, GuestExit};

/// Asks the guest to stop, once.
pub(crate) struct Shutdown {
    pc: Pc,
    vm: Arc<VmFd>,
    requested: bool,
}

impl Shutdown {
    pub(crate) fn new(pc: Pc, vm: Arc<VmFd>) -> Shutdown {
        Shutdown {
            pc,
            vm,
            requested: false,
        }
    }

    /// Asks the guest to stop, by Ctrl-Alt-Delete if it takes interrupts from the keyboard, or
    /// else by the power button if it has enabled that; whether it could be asked. To ask
    /// again changes nothing.
    pub(crate) fn request(&mut self) -> bool {
        self.requested = self.requested || self.press();
        self.requested
    }

    /// What the guest's end is, seen whether it was asked to stop: then a triple fault is the
    /// reset that Ctrl-Alt-Delete asks for, done in the one way that some guests have for it.
    pub(crate) fn exit_of(&self, exit: GuestExit) -> GuestExit {
        match exit {
            GuestExit::Crashed(Crash::TripleFault { .. }) if self.requested => GuestExit::Reset,
            exit => exit,
        }
    }

    fn press(&self) -> bool {
        let takes_keys = takes_keyboard_interrupts(&self.vm);
        let mut devices = self.pc.lock();
        if takes_keys && devices.i8042.is_keyboard_enabled() {
            devices.i8042.press_ctrl_alt_del();
            return true;
        }
        devices.power.press()
    }
}
