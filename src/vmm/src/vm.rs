//! KVM's virtual machine, before there is a guest in it: memory, interrupt controllers, vCPUs.

use std::sync::Arc;

use kvm_bindings::{KVM_CAP_PMU_CAPABILITY, KVM_PMU_CAP_DISABLE, kvm_enable_cap, kvm_msi};
use kvm_ioctls::{Kvm, VcpuFd, VmFd};
use nix::libc::{EFD_CLOEXEC, EFD_NONBLOCK, EINTR};
use vmm_sys_util::eventfd::EventFd;

use super::arch::layout::KVM_TSS;
use super::arch::timer;
use super::bits::{high, low};
use super::config::MAX_VCPUS;
use super::error::Error;
use super::memory::{self, GuestMemory};

/// The version of the KVM API since Linux 2.6.22 (Documentation/virt/kvm/api.rst).
const KVM_API_VERSION: i32 = 12;

/// A virtual machine with this memory, and if `is_pc` with interrupt controllers
/// and timer, but no vCPU yet.
///
/// The memory comes first: KVM waits for all readers of its tables before it takes a
/// memory slot, which is at once over in a new machine, but takes milliseconds once the
/// interrupt controllers have changed those tables as well.
pub(crate) fn create(kvm: &Kvm, memory: &GuestMemory, is_pc: bool) -> Result<VmFd, Error> {
    match kvm.get_api_version() {
        KVM_API_VERSION => {}
        ..0 => return Err(Error::NotKvm),
        found => return Err(Error::KvmVersion { found }),
    }
    let vm = retry_on_eintr(|| kvm.create_vm()).map_err(Error::kvm("KVM_CREATE_VM"))?;
    memory::register(&vm, memory)?;
    hide_performance_counters(&vm);
    vm.set_tss_address(KVM_TSS)
        .map_err(Error::kvm("KVM_SET_TSS_ADDR"))?;
    if is_pc {
        create_interrupt_controllers(&vm)?;
    }
    Ok(vm)
}

fn create_interrupt_controllers(vm: &VmFd) -> Result<(), Error> {
    vm.create_irq_chip()
        .map_err(Error::kvm("KVM_CREATE_IRQCHIP"))?;
    timer::create(vm)
}

/// So many vCPUs of `vm`, which stand nowhere yet.
pub(crate) fn create_vcpus(kvm: &Kvm, vm: &VmFd, count: u8) -> Result<Vec<VcpuFd>, Error> {
    let max = kvm.get_max_vcpus().min(MAX_VCPUS.into());
    if count == 0 || usize::from(count) > max {
        return Err(Error::Vcpus { count, max });
    }
    (0..count)
        .map(|id| vm.create_vcpu(id.into()))
        .collect::<Result<_, _>>()
        .map_err(Error::kvm("KVM_CREATE_VCPU"))
}

/// How fast the vCPUs' TSCs count, which all run alike.
pub(crate) fn tsc_khz(vcpus: &[VcpuFd]) -> Option<u32> {
    vcpus.first().and_then(|first| first.get_tsc_khz().ok())
}

/// AMD's first four counters work whatever CPUID says: they are turned off in KVM as well.
/// Before Linux 5.18 that cannot be done, and those few stay.
fn hide_performance_counters(vm: &VmFd) {
    let mut cap = kvm_enable_cap {
        cap: KVM_CAP_PMU_CAPABILITY,
        ..Default::default()
    };
    cap.args[0] = KVM_PMU_CAP_DISABLE.into();
    let _ = vm.enable_cap(&cap);
}

/// KVM_CREATE_VM gives up when a signal is pending, even one that does nothing here
/// (`mm_take_all_locks` in Linux's mm/mmap.c).
fn retry_on_eintr<T>(
    call: impl Fn() -> Result<T, kvm_ioctls::Error>,
) -> Result<T, kvm_ioctls::Error> {
    loop {
        match call() {
            Err(e) if e.errno() == EINTR => {}
            result => return result,
        }
    }
}

/// An event that raises an edge on an interrupt line.
pub(crate) fn irq(vm: &VmFd, number: u32) -> Result<EventFd, Error> {
    let irq = event()?;
    vm.register_irqfd(&irq, number)
        .map_err(Error::kvm("KVM_IRQFD"))?;
    Ok(irq)
}

/// An interrupt line that keeps its level. One that cannot be set is lost: KVM refuses it only
/// where it has no such line.
pub(crate) fn line(vm: &Arc<VmFd>, number: u32) -> Box<dyn Fn(bool) + Send + Sync> {
    let vm = vm.clone();
    Box::new(move |high| {
        let _ = vm.set_irq_line(number, high);
    })
}

/// Sends message-signalled interrupts. One that KVM does not take is lost: it names no
/// processor.
pub(crate) fn messages(vm: &Arc<VmFd>) -> Box<dyn Fn(u64, u32) + Send + Sync> {
    let vm = vm.clone();
    Box::new(move |address, data| {
        let message = kvm_msi {
            address_lo: low(address),
            address_hi: high(address),
            data,
            ..Default::default()
        };
        let _ = vm.signal_msi(message);
    })
}

/// An event that nobody has signalled yet, whose reads do not wait.
///
/// # Errors
/// [`Error::EventFd`].
pub(crate) fn event() -> Result<EventFd, Error> {
    EventFd::new(EFD_NONBLOCK | EFD_CLOEXEC).map_err(Error::EventFd)
}
