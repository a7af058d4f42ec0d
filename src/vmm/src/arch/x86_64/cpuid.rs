//! What CPUID tells the guest: the host's processor as KVM supports it, less what is not for
//! guests, under the KVM hypervisor. Which of several it is, `topology` says.

use kvm_bindings::{CpuId, KVM_MAX_CPUID_ENTRIES, kvm_cpuid_entry2};
use kvm_ioctls::{Cap, Kvm};

use crate::error::Error;

/// Leaf 1 (Intel SDM volume 2, CPUID).
const ECX_DEBUG_STORE_64: u32 = 1 << 2;
const ECX_VMX: u32 = 1 << 5;
const ECX_PERFMON_CAPABILITIES: u32 = 1 << 15;
const ECX_TSC_DEADLINE: u32 = 1 << 24;
const ECX_HYPERVISOR: u32 = 1 << 31;
const EDX_DEBUG_STORE: u32 = 1 << 21;

/// Leaf 7, subleaf 0.
const EBX_SGX: u32 = 1 << 2;
const EBX_MPX: u32 = 1 << 14;
const ECX_PKU: u32 = 1 << 3;
const ECX_OSPKE: u32 = 1 << 4;
const ECX_SGX_LAUNCH: u32 = 1 << 30;

/// Leaf 0xd: the state that XSAVE can hold, and a subleaf for each kind (SDM volume 1,
/// section 13.1).
const XSAVE: u32 = 0xd;
const MPX_BOUNDS: u32 = 3;
const MPX_CONFIG: u32 = 4;
const PROTECTION_KEYS: u32 = 9;
const HIDDEN_STATE: u32 = (1 << MPX_BOUNDS) | (1 << MPX_CONFIG) | (1 << PROTECTION_KEYS);

/// Leaf 0x8000_0001 (AMD APM volume 3, appendix E).
const ECX_SVM: u32 = 1 << 2;
const ECX_CORE_COUNTERS: u32 = 1 << 23;
const ECX_NORTHBRIDGE_COUNTERS: u32 = 1 << 24;

/// Leaves that hold nothing else than what is hidden: performance counters, SGX, SVM,
/// encrypted memory, AMD's newer performance counters.
const PERFORMANCE_MONITORING: u32 = 0xa;
const SGX: u32 = 0x12;
const SVM: u32 = 0x8000_000a;
const ENCRYPTED_MEMORY: u32 = 0x8000_001f;
const PERFORMANCE_MONITORING_2: u32 = 0x8000_0022;

/// The hypervisor's leaves (Documentation/virt/kvm/x86/cpuid.rst). The last one is
/// VMware's convention, which Unikraft and Linux read: TSC and APIC bus in kHz.
const HYPERVISOR: u32 = 0x4000_0000;
const HYPERVISOR_TIMING: u32 = 0x4000_0010;
const KVM_SIGNATURE: [u8; 12] = *b"KVMKVMKVM\0\0\0";
/// KVM's local APIC timer counts at 1 GHz.
const APIC_BUS_KHZ: u32 = 1_000_000;

/// The CPUID entries that all vCPUs have in common; their TSC runs at `tsc_khz` if that is
/// known.
///
/// # Errors
/// [`Error::Kvm`] where KVM does not say what it supports, or that is more than it takes.
pub(crate) fn build(kvm: &Kvm, tsc_khz: Option<u32>) -> Result<CpuId, Error> {
    let mut cpuid = kvm
        .get_supported_cpuid(KVM_MAX_CPUID_ENTRIES)
        .map_err(Error::kvm("KVM_GET_SUPPORTED_CPUID"))?;
    let deadline_timer = kvm.check_extension(Cap::TscDeadlineTimer);
    for entry in cpuid.as_mut_slice() {
        hide(entry);
        announce(entry, deadline_timer);
    }
    add_hypervisor_leaves(&mut cpuid, tsc_khz)?;
    Ok(cpuid)
}

/// Takes away what KVM would let the guest have and a unikernel has no use for: a hypervisor
/// of its own, enclaves, the host's performance counters (code of the host that a guest need
/// not reach, and a way to look at its neighbours), and memory protection by MPX and keys.
fn hide(entry: &mut kvm_cpuid_entry2) {
    match (entry.function, entry.index) {
        (0x1, _) => {
            entry.ecx &= !(ECX_VMX | ECX_PERFMON_CAPABILITIES | ECX_DEBUG_STORE_64);
            entry.edx &= !EDX_DEBUG_STORE;
        }
        (0x7, 0) => {
            entry.ebx &= !(EBX_SGX | EBX_MPX);
            entry.ecx &= !(ECX_PKU | ECX_OSPKE | ECX_SGX_LAUNCH);
        }
        (XSAVE, 0) => entry.eax &= !HIDDEN_STATE,
        (0x8000_0001, _) => {
            entry.ecx &= !(ECX_SVM | ECX_CORE_COUNTERS | ECX_NORTHBRIDGE_COUNTERS);
        }
        (XSAVE, MPX_BOUNDS | MPX_CONFIG | PROTECTION_KEYS)
        | (PERFORMANCE_MONITORING | SGX | SVM | ENCRYPTED_MEMORY | PERFORMANCE_MONITORING_2, _) => {
            (entry.eax, entry.ebx, entry.ecx, entry.edx) = (0, 0, 0, 0);
        }
        _ => {}
    }
}

/// What KVM leaves to the monitor to say.
fn announce(entry: &mut kvm_cpuid_entry2, deadline_timer: bool) {
    if entry.function == 0x1 {
        entry.ecx |= ECX_HYPERVISOR;
        match deadline_timer {
            true => entry.ecx |= ECX_TSC_DEADLINE,
            false => entry.ecx &= !ECX_TSC_DEADLINE,
        }
    }
}

/// Puts the timing leaf behind KVM's own ones.
fn add_hypervisor_leaves(cpuid: &mut CpuId, tsc_khz: Option<u32>) -> Result<(), Error> {
    let Some(tsc_khz) = tsc_khz else {
        return Ok(());
    };
    cpuid.retain(|e| e.function != HYPERVISOR && e.function != HYPERVISOR_TIMING);
    let signature = |i: usize| {
        let [a, b, c, d] = [0, 1, 2, 3].map(|byte| KVM_SIGNATURE[4 * i + byte]);
        u32::from_le_bytes([a, b, c, d])
    };
    let leaves = [
        kvm_cpuid_entry2 {
            function: HYPERVISOR,
            eax: HYPERVISOR_TIMING,
            ebx: signature(0),
            ecx: signature(1),
            edx: signature(2),
            ..Default::default()
        },
        kvm_cpuid_entry2 {
            function: HYPERVISOR_TIMING,
            eax: tsc_khz,
            ebx: APIC_BUS_KHZ,
            ..Default::default()
        },
    ];
    for leaf in leaves {
        cpuid.push(leaf).map_err(too_many_entries)?;
    }
    Ok(())
}

/// For `map_err`: KVM takes 256 entries at most, these bindings even fewer.
pub(super) fn too_many_entries(_: vmm_sys_util::fam::Error) -> Error {
    Error::Kvm {
        call: "more CPUID entries",
        source: kvm_ioctls::Error::new(nix::libc::E2BIG),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const KVM_FEATURES: u32 = 0x4000_0001;

    #[test]
    fn the_timing_leaf_is_announced_and_kvms_own_stays() {
        let features = kvm_cpuid_entry2 {
            function: KVM_FEATURES,
            eax: 0xabc,
            ..Default::default()
        };
        let mut cpuid = CpuId::from_entries(&[features]).unwrap();
        add_hypervisor_leaves(&mut cpuid, Some(2_100_000)).unwrap();
        let leaf = |function| {
            *cpuid
                .as_slice()
                .iter()
                .find(|e| e.function == function)
                .unwrap()
        };
        assert_eq!(leaf(HYPERVISOR).eax, HYPERVISOR_TIMING);
        assert_eq!(leaf(HYPERVISOR).ebx.to_le_bytes(), *b"KVMK");
        assert_eq!(leaf(HYPERVISOR).edx.to_le_bytes(), *b"M\0\0\0");
        assert_eq!(leaf(HYPERVISOR_TIMING).eax, 2_100_000);
        assert_eq!(leaf(KVM_FEATURES).eax, 0xabc);
    }

    #[test]
    fn what_is_not_for_guests_is_hidden_and_the_rest_stays() {
        let all = |function, index| {
            let mut entry = kvm_cpuid_entry2 {
                function,
                index,
                eax: u32::MAX,
                ebx: u32::MAX,
                ecx: u32::MAX,
                edx: u32::MAX,
                ..Default::default()
            };
            hide(&mut entry);
            [entry.eax, entry.ebx, entry.ecx, entry.edx].map(|register| !register)
        };
        assert_eq!(all(0x1, 0), [0, 0, 1 << 2 | 1 << 5 | 1 << 15, 1 << 21]);
        let (ebx, ecx) = (1 << 2 | 1 << 14, 1 << 3 | 1 << 4 | 1 << 30);
        assert_eq!(all(0x7, 0), [0, ebx, ecx, 0]);
        assert_eq!(all(0x7, 1), [0; 4]);
        assert_eq!(all(0xd, 0), [1 << 3 | 1 << 4 | 1 << 9, 0, 0, 0]);
        assert_eq!(all(0xd, 2), [0; 4], "AVX");
        assert_eq!(all(0xd, 9), [u32::MAX; 4], "protection keys");
        let svm = 1 << 2 | 1 << 23 | 1 << 24;
        assert_eq!(all(0x8000_0001, 0), [0, 0, svm, 0]);
        assert_eq!(all(0x8000_000a, 0), [u32::MAX; 4]);
    }

    #[test]
    fn the_hypervisor_and_its_timer_are_announced() {
        let mut entry = kvm_cpuid_entry2 {
            function: 1,
            ..Default::default()
        };
        announce(&mut entry, true);
        assert_eq!(entry.ecx, ECX_HYPERVISOR | ECX_TSC_DEADLINE);
        announce(&mut entry, false);
        assert_eq!(entry.ecx, ECX_HYPERVISOR);
    }
}
