//! A vCPU's registers at the kernel's first instruction.

use kvm_bindings::{Msrs, kvm_fpu, kvm_msr_entry, kvm_regs, kvm_segment, kvm_sregs};
use kvm_ioctls::VcpuFd;

use super::layout::{GDT, IDT, PML4};
use super::tables::{self, segment};
use crate::error::Error;

/// Control registers and EFER (Intel SDM volume 3, section 2.5 and 2.2.1).
const CR0_PROTECTED: u64 = 1 << 0;
const CR0_EXTENSION_TYPE: u64 = 1 << 4;
const CR0_PAGING: u64 = 1 << 31;
const CR4_PHYSICAL_ADDRESS_EXTENSION: u64 = 1 << 5;
/// Enabled and active.
pub(crate) const EFER_LONG_MODE: u64 = (1 << 8) | (1 << 10);
/// The page tables' bit 63 keeps code from being executed.
pub(crate) const EFER_NO_EXECUTE: u64 = 1 << 11;

/// RFLAGS: a bit that is always set, and the interrupt flag.
const RFLAGS_FIXED: u64 = 1 << 1;
pub(crate) const RFLAGS_INTERRUPTS: u64 = 1 << 9;

/// Where a processor starts after a reset, which KVM makes of a triple fault on AMD's.
pub(crate) const RESET_RIP: u64 = 0xfff0;

/// MSRs as firmware leaves them (Linux's arch/x86/include/asm/msr-index.h): fast string
/// operations on, and write-back caching by default.
const IA32_MISC_ENABLE: u32 = 0x1a0;
const MISC_ENABLE_FAST_STRING: u64 = 1;
const IA32_MTRR_DEF_TYPE: u32 = 0x2ff;
const MTRR_ENABLE_WRITE_BACK: u64 = (1 << 11) | 6;

/// FPU and SSE control words after FNINIT and at reset.
const FPU_CONTROL: u16 = 0x37f;
const MXCSR: u32 = 0x1f80;

/// How the processor stands at the kernel's first instruction.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct EntryState {
    pub system: SystemRegisters,
    pub rip: u64,
    pub rsp: u64,
    pub rax: u64,
    pub rbx: u64,
    pub rsi: u64,
    pub rdi: u64,
    /// Where the kernel reads the TSC's frequency, 8 bytes of Hz: a guest-physical address.
    pub frequency: Option<u64>,
    /// Whether the machine has interrupt controllers, and each vCPU one of them.
    pub has_local_apic: bool,
}

impl EntryState {
    /// At the guest-physical address `rip`, with a stack that ends at `rsp`; all other registers
    /// are 0.
    pub(crate) fn at(system: SystemRegisters, rip: u64, rsp: u64) -> EntryState {
        EntryState {
            system,
            rip,
            rsp,
            rax: 0,
            rbx: 0,
            rsi: 0,
            rdi: 0,
            frequency: None,
            has_local_apic: true,
        }
    }
}

/// The mode that the processor is in, and its tables. Data segments are flat, the interrupt
/// table is empty.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct SystemRegisters {
    /// CS's descriptor.
    pub code: u64,
    /// TR's descriptor and selector; `None`: as after a reset.
    pub task: Option<(u64, u16)>,
    /// Whether LDTR is as after a reset; else it is unusable.
    pub has_ldt: bool,
    /// Guest-physical address and bytes of the global descriptor table.
    pub gdt: (u64, u16),
    /// Guest-physical address of the interrupt descriptor table.
    pub idt: u64,
    pub cr0: u64,
    pub cr3: u64,
    pub cr4: u64,
    pub efer: u64,
}

impl SystemRegisters {
    /// 32-bit, flat segments, no paging; over [`tables::write_flat_gdt`].
    pub(crate) const PROTECTED: SystemRegisters = SystemRegisters {
        code: tables::FLAT_CODE,
        task: Some((tables::FLAT_TSS, tables::TSS)),
        has_ldt: true,
        gdt: (GDT, tables::GDT_SIZE),
        idt: IDT,
        cr0: CR0_PROTECTED | CR0_EXTENSION_TYPE,
        cr3: 0,
        cr4: 0,
        efer: 0,
    };

    /// 64-bit, with paging; over [`tables::write_long_gdt`] and [`tables::write_identity_map`].
    pub(crate) const LONG: SystemRegisters = SystemRegisters {
        code: tables::LONG_CODE,
        task: Some((tables::LONG_TSS, tables::TSS)),
        cr0: CR0_PROTECTED | CR0_EXTENSION_TYPE | CR0_PAGING,
        cr3: PML4,
        cr4: CR4_PHYSICAL_ADDRESS_EXTENSION,
        efer: EFER_LONG_MODE,
        ..SystemRegisters::PROTECTED
    };

    /// `reset` is what the registers hold before.
    fn over(&self, reset: kvm_sregs) -> kvm_sregs {
        let data: kvm_segment = segment(tables::FLAT_DATA, tables::DATA);
        let unusable = kvm_segment {
            unusable: 1,
            ..Default::default()
        };
        let mut sregs = kvm_sregs {
            cs: segment(self.code, tables::CODE),
            ds: data,
            es: data,
            fs: data,
            gs: data,
            ss: data,
            tr: self
                .task
                .map_or(reset.tr, |(tss, selector)| segment(tss, selector)),
            ldt: if self.has_ldt { reset.ldt } else { unusable },
            cr0: self.cr0,
            cr3: self.cr3,
            cr4: self.cr4,
            efer: self.efer,
            ..reset
        };
        let (base, size) = self.gdt;
        sregs.gdt.base = base;
        sregs.gdt.limit = size - 1;
        sregs.idt.base = self.idt;
        sregs.idt.limit = 0;
        sregs
    }
}

/// Puts a vCPU at the kernel's entry.
///
/// # Errors
/// [`Error::Kvm`] with the call that KVM refused.
pub(crate) fn enter(fd: &VcpuFd, entry: &EntryState) -> Result<(), Error> {
    let fpu = kvm_fpu {
        fcw: FPU_CONTROL,
        mxcsr: MXCSR,
        ..Default::default()
    };
    fd.set_fpu(&fpu).map_err(Error::kvm("KVM_SET_FPU"))?;
    let reset = fd.get_sregs().map_err(Error::kvm("KVM_GET_SREGS"))?;
    fd.set_sregs(&entry.system.over(reset))
        .map_err(Error::kvm("KVM_SET_SREGS"))?;
    let regs = kvm_regs {
        rip: entry.rip,
        rsp: entry.rsp,
        rbp: entry.rsp,
        rax: entry.rax,
        rbx: entry.rbx,
        rsi: entry.rsi,
        rdi: entry.rdi,
        rflags: RFLAGS_FIXED,
        ..Default::default()
    };
    fd.set_regs(&regs).map_err(Error::kvm("KVM_SET_REGS"))
}

/// Sets the model-specific registers that firmware would set.
///
/// # Errors
/// [`Error::Kvm`].
pub(crate) fn set_msrs(fd: &VcpuFd) -> Result<(), Error> {
    let entry = |index, data| kvm_msr_entry {
        index,
        data,
        ..Default::default()
    };
    let entries = [
        entry(IA32_MISC_ENABLE, MISC_ENABLE_FAST_STRING),
        entry(IA32_MTRR_DEF_TYPE, MTRR_ENABLE_WRITE_BACK),
    ];
    let refused = |source| Error::Kvm {
        call: "KVM_SET_MSRS",
        source,
    };
    let msrs = Msrs::from_entries(&entries)
        .map_err(|_| refused(kvm_ioctls::Error::new(nix::libc::E2BIG)))?;
    // KVM stops at the first that it does not take, and says how many it took.
    match fd.set_msrs(&msrs).map_err(refused)? {
        taken if taken == entries.len() => Ok(()),
        _ => Err(refused(kvm_ioctls::Error::new(nix::libc::EINVAL))),
    }
}
