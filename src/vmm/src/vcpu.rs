//! The vCPU: its state at the kernel's first instruction, and its exits.

use std::fs::File;
use std::os::fd::{AsRawFd, RawFd};

use kvm_bindings::{
    CpuId, Msrs, kvm_fpu, kvm_lapic_state, kvm_msr_entry, kvm_regs, kvm_segment, kvm_sregs,
};
use kvm_ioctls::{VcpuExit, VcpuFd};

use super::boot::layout::{GDT, IDT, PML4};
use super::boot::tables::{self, segment};
use super::boot::{EntryState, Mode, hermit, solo5};
use super::console::Output;
use super::devices::mmio_bus::MmioBus;
use super::devices::port_bus::PortBus;
use super::error::Error;
use super::exit::{Crash, GuestExit};
use super::halt::Wait;
use super::hypercall::{Called, Hypercalls};
use super::memory::GuestMemory;
use super::topology::Place;

/// Control registers and EFER (Intel SDM volume 3, section 2.5 and 2.2.1).
const CR0_PROTECTED: u64 = 1 << 0;
const CR0_EXTENSION_TYPE: u64 = 1 << 4;
const CR0_PAGING: u64 = 1 << 31;
const CR4_PHYSICAL_ADDRESS_EXTENSION: u64 = 1 << 5;
const EFER_LONG_MODE: u64 = (1 << 8) | (1 << 10);

/// RFLAGS: a bit that is always set, and the interrupt flag.
const RFLAGS_FIXED: u64 = 1 << 1;
const RFLAGS_INTERRUPTS: u64 = 1 << 9;

/// Where a processor starts after a reset, which KVM makes of a triple fault on AMD's.
const RESET_RIP: u64 = 0xfff0;

/// MSRs as firmware leaves them (Linux's arch/x86/include/asm/msr-index.h): fast string
/// operations on, and write-back caching by default.
const IA32_MISC_ENABLE: u32 = 0x1a0;
const MISC_ENABLE_FAST_STRING: u64 = 1;
const IA32_MTRR_DEF_TYPE: u32 = 0x2ff;
const MTRR_ENABLE_WRITE_BACK: u64 = (1 << 11) | 6;

/// FPU and SSE control words after FNINIT and at reset.
const FPU_CONTROL: u16 = 0x37f;
const MXCSR: u32 = 0x1f80;

/// The local APIC's local interrupt pins (SDM volume 3, section 11.5.1): LINT0 takes the
/// 8259's interrupts, LINT1 NMIs.
const LVT_LINT0: usize = 0x350;
const LVT_LINT1: usize = 0x360;
const DELIVER_EXTINT: u32 = 0x700;
const DELIVER_NMI: u32 = 0x400;

/// What KVM_GET_MP_STATE says of a vCPU that waits in `hlt`, and of one that waits for another
/// vCPU to start it, before and after that one's INIT.
const HALTED: u32 = kvm_bindings::KVM_MP_STATE_HALTED;
const UNINITIALIZED: u32 = kvm_bindings::KVM_MP_STATE_UNINITIALIZED;
const INIT_RECEIVED: u32 = kvm_bindings::KVM_MP_STATE_INIT_RECEIVED;

/// One virtual processor with the ports that it reaches.
pub(crate) struct Vcpu {
    fd: VcpuFd,
    bus: PortBus,
    hypercalls: Option<Hypercalls>,
    mmio: MmioBus,
    /// Dropped after `fd`: while the vCPU can run, its memory stays mapped.
    memory: GuestMemory,
}

/// What came of one stay in the guest.
pub(crate) enum Step {
    /// Go on.
    Continue,
    /// A signal came: see whether to stop.
    Kicked,
    /// The guest ended.
    Ended(GuestExit),
}

impl From<Called> for Step {
    fn from(called: Called) -> Step {
        match called {
            Called::Done => Step::Continue,
            Called::Ended(exit) => Step::Ended(exit),
        }
    }
}

impl AsRawFd for Vcpu {
    fn as_raw_fd(&self) -> RawFd {
        self.fd.as_raw_fd()
    }
}

impl Vcpu {
    /// A vCPU just created, of a machine with this memory, in its place among the others. The
    /// first one stands at the kernel's entry; the others wait in KVM until the guest starts
    /// them by INIT and SIPI. `cpuid` is what all have in common.
    ///
    /// # Errors
    /// [`Error::Kvm`] with the call that KVM refused.
    pub(crate) fn new(
        fd: VcpuFd,
        memory: GuestMemory,
        place: Place,
        mut cpuid: CpuId,
        entry: &EntryState,
        (bus, mmio): (PortBus, MmioBus),
        hypercalls: Option<Hypercalls>,
    ) -> Result<Vcpu, Error> {
        place.describe(&mut cpuid)?;
        fd.set_cpuid2(&cpuid)
            .map_err(Error::kvm("KVM_SET_CPUID2"))?;
        set_msrs(&fd)?;
        if entry.mode != Mode::Solo5 {
            set_local_apic(&fd)?;
        }
        if place.id == 0 {
            enter(&fd, entry)?;
        }
        Ok(Vcpu {
            fd,
            bus,
            hypercalls,
            mmio,
            memory,
        })
    }

    /// Sends what the guest sends to its console to `output`. One that reads by calls reads
    /// from `input`.
    pub(crate) fn connect(&mut self, output: Output, input: Option<File>) {
        if let Some(hypercalls) = &mut self.hypercalls {
            hypercalls.connect(output.clone(), input);
        }
        self.bus.connect(output);
    }

    /// Runs the guest until it needs the monitor, and serves that need.
    pub(crate) fn step(&mut self) -> Step {
        let reason = match self.fd.run() {
            Ok(VcpuExit::IoIn(port, data)) => {
                return match self.hypercalls.as_mut().and_then(|calls| calls.read(port)) {
                    Some(called) => called.into(),
                    None => {
                        self.bus.read(port, data);
                        Step::Continue
                    }
                };
            }
            Ok(VcpuExit::IoOut(port, data)) => {
                let Some(calls) = &mut self.hypercalls else {
                    let ended = self.bus.write(port, data);
                    return ended.map_or(Step::Continue, Step::Ended);
                };
                // A copy: a call may ask the vCPU, which has lent these bytes.
                let data = data.to_vec();
                return match calls.write(port, &data, &self.memory, &self.fd) {
                    Some(called) => called.into(),
                    None => self
                        .bus
                        .write(port, &data)
                        .map_or(Step::Continue, Step::Ended),
                };
            }
            Ok(VcpuExit::MmioRead(gpa, data)) => {
                self.mmio.read(gpa, data);
                return Step::Continue;
            }
            Ok(VcpuExit::MmioWrite(gpa, data)) => {
                self.mmio.write(gpa, data);
                return Step::Continue;
            }
            Ok(VcpuExit::IrqWindowOpen) => return Step::Continue,
            Ok(VcpuExit::Intr) => return Step::Kicked,
            Ok(VcpuExit::Shutdown) => {
                return self.crashed(|rip| Crash::TripleFault {
                    rip: (rip != RESET_RIP).then_some(rip),
                });
            }
            // With KVM's interrupt controllers `hlt` does not come here; without them nothing
            // ever wakes it.
            Ok(VcpuExit::Hlt) => return self.crashed(|rip| Crash::Halted { rip }),
            Ok(VcpuExit::InternalError) => self.internal_error(),
            Ok(VcpuExit::FailEntry(reason, _)) => {
                format!("the processor refuses to enter it, reason {reason:#x}")
            }
            Ok(other) => format!("unexpected exit {other:?}"),
            Err(e) if e.errno() == nix::libc::EINTR => return Step::Kicked,
            Err(e) if e.errno() == nix::libc::EAGAIN => return Step::Continue,
            Err(e) => format!("KVM_RUN failed: {e}"),
        };
        self.crashed(|rip| Crash::Emulation { rip, reason })
    }

    /// What this vCPU waits for. Nothing here sends NMIs, so that in `hlt` with interrupts off
    /// only another vCPU can wake it.
    pub(crate) fn waits_for(&self) -> Wait {
        let Ok(state) = self.fd.get_mp_state() else {
            return Wait::Lively;
        };
        match (state.mp_state, self.fd.get_regs()) {
            (UNINITIALIZED | INIT_RECEIVED, _) => Wait::NotStarted,
            (HALTED, Ok(regs)) if regs.rflags & RFLAGS_INTERRUPTS == 0 => {
                Wait::Halted { rip: regs.rip }
            }
            _ => Wait::Lively,
        }
    }

    fn crashed(&self, crash: impl FnOnce(u64) -> Crash) -> Step {
        // 0 where even that cannot be read: the crash itself is what matters.
        let rip = self.fd.get_regs().map_or(0, |regs| regs.rip);
        Step::Ended(GuestExit::Crashed(crash(rip)))
    }

    fn internal_error(&mut self) -> String {
        // SAFETY: KVM fills this member of the union when the exit reason is
        // KVM_EXIT_INTERNAL_ERROR, which is the only case this is called in.
        let suberror = unsafe { self.fd.get_kvm_run().__bindgen_anon_1.internal.suberror };
        match suberror {
            1 => "KVM cannot emulate an instruction".to_owned(),
            other => format!("KVM internal error, suberror {other}"),
        }
    }
}

/// Puts the first vCPU at the kernel's entry.
fn enter(fd: &VcpuFd, entry: &EntryState) -> Result<(), Error> {
    let fpu = kvm_fpu {
        fcw: FPU_CONTROL,
        mxcsr: MXCSR,
        ..Default::default()
    };
    fd.set_fpu(&fpu).map_err(Error::kvm("KVM_SET_FPU"))?;
    let reset = fd.get_sregs().map_err(Error::kvm("KVM_GET_SREGS"))?;
    fd.set_sregs(&special_registers(reset, entry.mode))
        .map_err(Error::kvm("KVM_SET_SREGS"))?;
    fd.set_regs(&registers(entry))
        .map_err(Error::kvm("KVM_SET_REGS"))
}

fn registers(entry: &EntryState) -> kvm_regs {
    kvm_regs {
        rip: entry.rip,
        rsp: entry.rsp,
        rbp: entry.rsp,
        rax: entry.rax,
        rbx: entry.rbx,
        rsi: entry.rsi,
        rdi: entry.rdi,
        rflags: RFLAGS_FIXED,
        ..Default::default()
    }
}

fn special_registers(reset: kvm_sregs, mode: Mode) -> kvm_sregs {
    let (code, tss) = match mode {
        Mode::Solo5 => return solo5::start::special_registers(reset),
        Mode::Hermit { start } => return hermit::start::special_registers(reset, start),
        Mode::Long64 => (tables::LONG_CODE, tables::LONG_TSS),
        Mode::Protected32 => (tables::FLAT_CODE, tables::FLAT_TSS),
    };
    let data: kvm_segment = segment(tables::FLAT_DATA, tables::DATA);
    let mut sregs = kvm_sregs {
        cs: segment(code, tables::CODE),
        ds: data,
        es: data,
        fs: data,
        gs: data,
        ss: data,
        tr: segment(tss, tables::TSS),
        cr0: CR0_PROTECTED | CR0_EXTENSION_TYPE,
        cr3: 0,
        cr4: 0,
        efer: 0,
        ..reset
    };
    sregs.gdt.base = GDT;
    sregs.gdt.limit = tables::GDT_SIZE - 1;
    sregs.idt.base = IDT;
    sregs.idt.limit = 0;
    if mode == Mode::Long64 {
        sregs.cr0 |= CR0_PAGING;
        sregs.cr3 = PML4;
        sregs.cr4 = CR4_PHYSICAL_ADDRESS_EXTENSION;
        sregs.efer = EFER_LONG_MODE;
    }
    sregs
}

fn set_msrs(fd: &VcpuFd) -> Result<(), Error> {
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

fn set_local_apic(fd: &VcpuFd) -> Result<(), Error> {
    let mut apic = fd.get_lapic().map_err(Error::kvm("KVM_GET_LAPIC"))?;
    write_apic(&mut apic, LVT_LINT0, DELIVER_EXTINT);
    write_apic(&mut apic, LVT_LINT1, DELIVER_NMI);
    fd.set_lapic(&apic).map_err(Error::kvm("KVM_SET_LAPIC"))
}

fn write_apic(apic: &mut kvm_lapic_state, register: usize, value: u32) {
    let bytes = value.to_le_bytes().map(|byte| byte as _);
    apic.regs[register..register + 4].copy_from_slice(&bytes);
}
