//! Two instructions by which a KVM shows how it runs guests.

use kvm_bindings::kvm_regs;
use kvm_ioctls::VcpuFd;

use super::tables::{self, segment};
use crate::error::Error;

/// Where the code lies, guest-physical.
pub(crate) const ADDRESS: u64 = 0x1000;
/// `xorps xmm0, xmm0; hlt`. Linux's emulator of instructions does not know the first one
/// (arch/x86/kvm/emulate.c).
pub(crate) const CODE: [u8; 4] = [0x0f, 0x57, 0xc0, 0xf4];

const CR0_PROTECTED: u64 = 1 << 0;
const CR4_FXSR_AND_SSE_EXCEPTIONS: u64 = (1 << 9) | (1 << 10);
const RFLAGS_FIXED: u64 = 1 << 1;

/// Puts a vCPU at the code: 32-bit, flat segments, with SSE on.
///
/// # Errors
/// [`Error::Kvm`] with the call that KVM refused.
pub(crate) fn enter(vcpu: &VcpuFd) -> Result<(), Error> {
    let mut sregs = vcpu.get_sregs().map_err(Error::kvm("KVM_GET_SREGS"))?;
    let data = segment(tables::FLAT_DATA, tables::DATA);
    sregs.cs = segment(tables::FLAT_CODE, tables::CODE);
    (sregs.ds, sregs.es, sregs.fs, sregs.gs, sregs.ss) = (data, data, data, data, data);
    sregs.tr = segment(tables::FLAT_TSS, tables::TSS);
    sregs.cr0 = CR0_PROTECTED;
    sregs.cr4 = CR4_FXSR_AND_SSE_EXCEPTIONS;
    vcpu.set_sregs(&sregs)
        .map_err(Error::kvm("KVM_SET_SREGS"))?;
    let regs = kvm_regs {
        rip: ADDRESS,
        rflags: RFLAGS_FIXED,
        ..Default::default()
    };
    vcpu.set_regs(&regs).map_err(Error::kvm("KVM_SET_REGS"))
}
