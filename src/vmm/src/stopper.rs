//! How a guest is asked to stop: in the way that it listens to.

use std::sync::Arc;

use kvm_bindings::{KVM_IRQCHIP_IOAPIC, KVM_IRQCHIP_PIC_MASTER, kvm_irqchip};
use kvm_ioctls::VmFd;

use super::devices::legacy::i8042::KEYBOARD_IRQ;
use super::devices::legacy::pc::Pc;
use super::exit::{Crash, GuestExit};

/// In an I/O APIC's redirection entry: the interrupt is masked (82093AA data sheet, 3.2.4).
const MASKED: u64 = 1 << 16;
/// Vectors below this are the processor's own: an entry with one was never set up.
const FIRST_VECTOR: u64 = 16;
const VECTOR: u64 = 0xff;

/// Asks the guest to stop, once.
pub(crate) struct Stopper {
    pc: Pc,
    vm: Arc<VmFd>,
    asked: bool,
}

impl Stopper {
    pub(crate) fn new(pc: Pc, vm: Arc<VmFd>) -> Stopper {
        Stopper {
            pc,
            vm,
            asked: false,
        }
    }

    /// Asks the guest to stop, by Ctrl-Alt-Delete if it takes interrupts from the keyboard, or
    /// else by the power button if it has enabled that; whether it could be asked. To ask
    /// again changes nothing.
    pub(crate) fn ask(&mut self) -> bool {
        self.asked = self.asked || self.press();
        self.asked
    }

    /// What the guest's end is, seen whether it was asked to stop: then a triple fault is the
    /// reset that Ctrl-Alt-Delete asks for, done in the one way that some guests have for it.
    pub(crate) fn judge(&self, exit: GuestExit) -> GuestExit {
        match exit {
            GuestExit::Crashed(Crash::TripleFault { .. }) if self.asked => GuestExit::Reset,
            exit => exit,
        }
    }

    fn press(&self) -> bool {
        let takes_keys = self.takes_keyboard_interrupts();
        let mut devices = self.pc.lock();
        if takes_keys && devices.i8042.is_keyboard_enabled() {
            devices.i8042.press_ctrl_alt_del();
            return true;
        }
        devices.power.press()
    }

    /// Whether the keyboard's interrupt would reach the guest, by the 8259 or the I/O APIC.
    fn takes_keyboard_interrupts(&self) -> bool {
        let chip = |chip_id| {
            let mut chip = kvm_irqchip {
                chip_id,
                ..Default::default()
            };
            self.vm.get_irqchip(&mut chip).ok().map(|()| chip)
        };
        let by_pic = chip(KVM_IRQCHIP_PIC_MASTER).is_some_and(|chip| {
            // SAFETY: KVM fills this member of the union for the chip asked for, an 8259.
            let pic = unsafe { chip.chip.pic };
            is_open_in_pic(pic.imr, pic.init_state, pic.irq_base)
        });
        by_pic
            || chip(KVM_IRQCHIP_IOAPIC).is_some_and(|chip| {
                // SAFETY: as above, the I/O APIC.
                let ioapic = unsafe { chip.chip.ioapic };
                // SAFETY: both members of an entry are plain bits, filled by KVM.
                let entry = unsafe { ioapic.redirtbl[KEYBOARD_IRQ as usize].bits };
                is_open_in_ioapic(entry)
            })
    }
}

/// An 8259 masks nothing when it comes out of reset: that it was set up shows in the vector
/// that it was given for its first line.
fn is_open_in_pic(mask: u8, init_state: u8, base: u8) -> bool {
    mask & (1 << KEYBOARD_IRQ) == 0 && init_state == 0 && u64::from(base) >= FIRST_VECTOR
}

fn is_open_in_ioapic(entry: u64) -> bool {
    entry & MASKED == 0 && entry & VECTOR >= FIRST_VECTOR
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_is_open_where_the_guest_set_it_up() {
        assert!(is_open_in_pic(0xfd, 0, 0x20));
        assert!(!is_open_in_pic(0x02, 0, 0x20), "masked");
        assert!(!is_open_in_pic(0, 0, 0), "as after a reset");
        assert!(!is_open_in_pic(0, 1, 0x20), "in the midst of its set-up");
        assert!(is_open_in_ioapic(0x31));
        assert!(!is_open_in_ioapic(0x1_0031), "masked");
        assert!(!is_open_in_ioapic(0));
    }
}
