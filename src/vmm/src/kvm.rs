//! What a KVM can do for guests: asked of it, and tried.

use std::fs::File;
use std::os::fd::{FromRawFd, IntoRawFd};

use kvm_bindings::KVM_MAX_CPUID_ENTRIES;
use kvm_ioctls::{Cap, Kvm, VcpuExit};
use vm_memory::{Bytes, GuestAddress};

use super::arch::probe;
use super::error::Error;
use super::memory;

/// Something that KVM has or has not (Documentation/virt/kvm/api.rst, "KVM_CHECK_EXTENSION").
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Capability {
    /// As the KVM API names it, without `KVM_CAP_`, in lower case.
    pub name: &'static str,
    /// What a machine cannot do without it; `None`: there is no machine at all.
    pub without: Option<&'static str>,
    /// Whether this KVM has it.
    pub has: bool,
}

/// What a KVM can do.
#[derive(Debug)]
pub struct Abilities {
    /// The version of the KVM API; 12 is the one that there is.
    pub version: i32,
    /// What this monitor uses of KVM, and whether it is there.
    pub capabilities: Vec<Capability>,
    /// The most vCPUs of a machine.
    pub max_vcpus: usize,
}

const CAPABILITIES: [(&str, Cap, Option<&str>); 14] = [
    ("user_memory", Cap::UserMemory, None),
    ("set_tss_addr", Cap::SetTssAddr, None),
    ("irqchip", Cap::Irqchip, None),
    ("pit2", Cap::Pit2, None),
    ("ext_cpuid", Cap::ExtCpuid, None),
    ("mp_state", Cap::MpState, None),
    ("irqfd", Cap::Irqfd, None),
    (
        "ioeventfd",
        Cap::Ioeventfd,
        Some("fast notifications of devices"),
    ),
    (
        "clocksource",
        Cap::Clocksource,
        Some("the kvm-clock of guests"),
    ),
    (
        "get_tsc_khz",
        Cap::GetTscKhz,
        Some("telling guests the TSC's frequency: each calibrates it"),
    ),
    (
        "tsc_deadline_timer",
        Cap::TscDeadlineTimer,
        Some("the TSC-deadline timer of guests"),
    ),
    ("xsave", Cap::Xsave, Some("AVX in guests")),
    (
        "signal_msi",
        Cap::SignalMsi,
        Some("message-signalled interrupts"),
    ),
    (
        "readonly_mem",
        Cap::ReadonlyMem,
        Some("read-only memory of guests"),
    ),
];

impl Abilities {
    /// Asks the KVM behind `kvm`, an open /dev/kvm. Takes some microseconds.
    pub fn of(kvm: File) -> Abilities {
        let kvm = handle(kvm);
        let capability = |(name, cap, without)| Capability {
            name,
            without,
            has: kvm.check_extension(cap),
        };
        Abilities {
            version: kvm.get_api_version(),
            capabilities: CAPABILITIES.map(capability).to_vec(),
            max_vcpus: kvm.get_max_vcpus(),
        }
    }

    /// The names of what it has.
    pub fn names(&self) -> impl Iterator<Item = &'static str> {
        self.capabilities.iter().filter(|c| c.has).map(|c| c.name)
    }
}

/// How a KVM runs a guest's instructions.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Execution {
    /// The processor runs them.
    Processor,
    /// KVM emulates them, and knows but some: not those on SSE registers, which almost every
    /// compiler emits.
    Emulated,
}

/// Runs two instructions in a machine of their own.
///
/// # Errors
/// Whatever keeps a machine from being made, and [`Error::Kvm`] for one that does not run.
pub fn try_out(kvm: File) -> Result<Execution, Error> {
    let kvm = handle(kvm);
    let vm = kvm.create_vm().map_err(Error::kvm("KVM_CREATE_VM"))?;
    let memory = memory::allocate(memory::MIN_MEMORY)?;
    memory::register(&vm, &memory)?;
    memory
        .write_slice(&probe::CODE, GuestAddress(probe::ADDRESS))
        .map_err(Error::guest_memory(probe::ADDRESS))?;
    let mut vcpu = vm.create_vcpu(0).map_err(Error::kvm("KVM_CREATE_VCPU"))?;
    let cpuid = kvm
        .get_supported_cpuid(KVM_MAX_CPUID_ENTRIES)
        .map_err(Error::kvm("KVM_GET_SUPPORTED_CPUID"))?;
    vcpu.set_cpuid2(&cpuid)
        .map_err(Error::kvm("KVM_SET_CPUID2"))?;
    probe::enter(&vcpu)?;
    match vcpu.run().map_err(Error::kvm("KVM_RUN"))? {
        VcpuExit::Hlt => Ok(Execution::Processor),
        VcpuExit::InternalError => Ok(Execution::Emulated),
        _ => Err(Error::Kvm {
            call: "a probe of two instructions",
            source: kvm_ioctls::Error::new(nix::libc::EIO),
        }),
    }
}

fn handle(kvm: File) -> Kvm {
    // SAFETY: the descriptor is taken out of the `File` that owned it, so that the handle is
    // its only owner.
    unsafe { Kvm::from_raw_fd(kvm.into_raw_fd()) }
}
