//! The interrupt controllers of a PC, which KVM emulates: two 8259s, an I/O APIC, and a local APIC
//! for each vCPU.

use kvm_bindings::{
    KVM_IRQCHIP_IOAPIC, KVM_IRQCHIP_PIC_MASTER, KVM_IRQCHIP_PIC_SLAVE, kvm_irqchip, kvm_lapic_state,
};
use kvm_ioctls::{VcpuFd, VmFd};

use super::ports::KEYBOARD_IRQ;
use crate::error::Error;

/// The local APIC's local interrupt pins (Intel SDM volume 3, section 11.5.1): LINT0 takes the
/// 8259's interrupts, LINT1 NMIs.
const LVT_LINT0: usize = 0x350;
const LVT_LINT1: usize = 0x360;
const DELIVER_EXTINT: u32 = 0x700;
const DELIVER_NMI: u32 = 0x400;

/// In an I/O APIC's redirection entry: the interrupt is masked (82093AA data sheet, 3.2.4).
const MASKED: u64 = 1 << 16;
/// Vectors below this are the processor's own: an entry with one was never set up.
const FIRST_VECTOR: u64 = 16;
const VECTOR: u64 = 0xff;

/// Has the 8259s take interrupts of these lines by their level, as PCI's are, like firmware
/// does: not all kernels that know no I/O APIC do it themselves.
///
/// # Errors
/// [`Error::Kvm`] with the call that KVM refused.
pub(crate) fn trigger_by_level(vm: &VmFd, irqs: impl Iterator<Item = u8>) -> Result<(), Error> {
    let lines = irqs.fold(0u16, |lines, irq| lines | 1 << irq);
    let halves = [KVM_IRQCHIP_PIC_MASTER, KVM_IRQCHIP_PIC_SLAVE].into_iter();
    for (chip_id, lines) in halves.zip(lines.to_le_bytes()) {
        let mut chip = kvm_irqchip {
            chip_id,
            ..Default::default()
        };
        vm.get_irqchip(&mut chip)
            .map_err(Error::kvm("KVM_GET_IRQCHIP"))?;
        // SAFETY: KVM has filled this member of the union, as the chip asked for is an 8259.
        unsafe { chip.chip.pic.elcr |= lines };
        vm.set_irqchip(&chip)
            .map_err(Error::kvm("KVM_SET_IRQCHIP"))?;
    }
    Ok(())
}

/// Has the local APIC of a vCPU take the 8259's interrupts and NMIs, as firmware leaves it.
///
/// # Errors
/// [`Error::Kvm`] with the call that KVM refused.
pub(crate) fn set_local_apic(fd: &VcpuFd) -> Result<(), Error> {
    let mut apic = fd.get_lapic().map_err(Error::kvm("KVM_GET_LAPIC"))?;
    write_apic(&mut apic, LVT_LINT0, DELIVER_EXTINT);
    write_apic(&mut apic, LVT_LINT1, DELIVER_NMI);
    fd.set_lapic(&apic).map_err(Error::kvm("KVM_SET_LAPIC"))
}

fn write_apic(apic: &mut kvm_lapic_state, register: usize, value: u32) {
    let bytes = value.to_le_bytes().map(u8::cast_signed);
    apic.regs[register..register + 4].copy_from_slice(&bytes);
}

/// Whether the keyboard's interrupt would reach the guest, by the 8259 or the I/O APIC.
pub(crate) fn takes_keyboard_interrupts(vm: &VmFd) -> bool {
    let chip = |chip_id| {
        let mut chip = kvm_irqchip {
            chip_id,
            ..Default::default()
        };
        vm.get_irqchip(&mut chip).ok().map(|()| chip)
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
