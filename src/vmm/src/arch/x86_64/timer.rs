//! The 8254 timer, which KVM emulates.

use kvm_bindings::{KVM_PIT_SPEAKER_DUMMY, kvm_pit_config};
use kvm_ioctls::VmFd;

use crate::error::Error;

/// Rate generator, each count's low byte before its high one (Intel 8254, "Control Word").
const RATE_GENERATOR: u8 = 2;
const LOW_THEN_HIGH: u8 = 3;
/// What a count of 0 stands for: 18.2 times a second.
const SLOWEST: u32 = 0x1_0000;

/// Gives `vm`, which has interrupt controllers, a timer, with the speaker's port 0x61, by
/// which guests calibrate clocks.
///
/// # Errors
/// [`Error::Kvm`] with the call that KVM refused.
pub(crate) fn create(vm: &VmFd) -> Result<(), Error> {
    let config = kvm_pit_config {
        flags: KVM_PIT_SPEAKER_DUMMY,
        ..Default::default()
    };
    vm.create_pit2(config)
        .map_err(Error::kvm("KVM_CREATE_PIT2"))
}

/// Lets channel 0 tick as a PC's firmware leaves it: there are Multiboot kernels that load
/// counts and never say in which mode (Solo5's for virtio).
///
/// # Errors
/// As [`create`].
pub(crate) fn start_as_firmware_does(vm: &VmFd) -> Result<(), Error> {
    let mut state = vm.get_pit2().map_err(Error::kvm("KVM_GET_PIT2"))?;
    let channel = &mut state.channels[0];
    channel.mode = RATE_GENERATOR;
    channel.rw_mode = LOW_THEN_HIGH;
    channel.read_state = LOW_THEN_HIGH;
    channel.write_state = LOW_THEN_HIGH;
    channel.gate = 1;
    channel.count = SLOWEST;
    vm.set_pit2(&state).map_err(Error::kvm("KVM_SET_PIT2"))
}
