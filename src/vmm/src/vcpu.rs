//! The vCPU: its state at the kernel's first instruction, and its exits.

use std::fs::File;
use std::os::fd::{AsRawFd, RawFd};

use kvm_bindings::CpuId;
use kvm_ioctls::{VcpuExit, VcpuFd};
use nix::errno::Errno;

use super::arch::interrupts::set_local_apic;
use super::arch::registers::{self, EntryState, RESET_RIP, RFLAGS_INTERRUPTS};
use super::arch::topology::Topology;
use super::console::Output;
use super::devices::mmio_bus::MmioBus;
use super::devices::port_bus::PortBus;
use super::error::Error;
use super::exit::{Crash, GuestExit, RunFailure};
use super::halt::Wait;
use super::hypercall::{Called, Hypercalls};
use super::memory::GuestMemory;

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
    /// A vCPU just created, of a machine with this memory, one of those that `topology` counts. The
    /// first one stands at the kernel's entry; the others wait in KVM until the guest starts
    /// them by INIT and SIPI. `cpuid` is what all have in common.
    ///
    /// # Errors
    /// [`Error::Kvm`] with the call that KVM refused.
    pub(crate) fn new(
        fd: VcpuFd,
        memory: GuestMemory,
        topology: Topology,
        mut cpuid: CpuId,
        entry: &EntryState,
        (bus, mmio): (PortBus, MmioBus),
        hypercalls: Option<Hypercalls>,
    ) -> Result<Vcpu, Error> {
        topology.apply(&mut cpuid)?;
        fd.set_cpuid2(&cpuid)
            .map_err(Error::kvm("KVM_SET_CPUID2"))?;
        registers::set_msrs(&fd)?;
        if entry.has_local_apic {
            set_local_apic(&fd)?;
        }
        if topology.id == 0 {
            registers::enter(&fd, entry)?;
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
        let source = match self.fd.run() {
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
            Ok(VcpuExit::FailEntry(reason, _)) => RunFailure::Entry { reason },
            Ok(other) => RunFailure::Exit {
                exit: format!("{other:?}"),
            },
            Err(e) if e.errno() == nix::libc::EINTR => return Step::Kicked,
            Err(e) if e.errno() == nix::libc::EAGAIN => return Step::Continue,
            Err(e) => RunFailure::Run(Errno::from_raw(e.errno())),
        };
        self.crashed(|rip| Crash::Emulation { rip, source })
    }

    /// What this vCPU waits for. Nothing here sends NMIs, so that in `hlt` with interrupts off
    /// only another vCPU can wake it.
    pub(crate) fn waits_for(&self) -> Wait {
        let Ok(state) = self.fd.get_mp_state() else {
            return Wait::Runnable;
        };
        match (state.mp_state, self.fd.get_regs()) {
            (UNINITIALIZED | INIT_RECEIVED, _) => Wait::NotStarted,
            (HALTED, Ok(regs)) if regs.rflags & RFLAGS_INTERRUPTS == 0 => {
                Wait::Halted { rip: regs.rip }
            }
            _ => Wait::Runnable,
        }
    }

    fn crashed(&self, crash: impl FnOnce(u64) -> Crash) -> Step {
        // 0 where even that cannot be read: the crash itself is what matters.
        let rip = self.fd.get_regs().map_or(0, |regs| regs.rip);
        Step::Ended(GuestExit::Crashed(crash(rip)))
    }

    fn internal_error(&mut self) -> RunFailure {
        // SAFETY: KVM fills this member of the union when the exit reason is
        // KVM_EXIT_INTERNAL_ERROR, which is the only case this is called in.
        let suberror = unsafe { self.fd.get_kvm_run().__bindgen_anon_1.internal.suberror };
        match suberror {
            1 => RunFailure::Instruction,
            suberror => RunFailure::Internal { suberror },
        }
    }
}
