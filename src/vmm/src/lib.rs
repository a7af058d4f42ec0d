//! The monitor: a small KVM virtual machine for one unikernel.
//!
//! It knows nothing of OCI or of containers. The caller hands in open files and
//! a [`MachineConfig`]; [`Prepared::new`] makes the machine and loads the kernel without
//! starting a thread or opening a path, [`Prepared::finish`] writes the boot parameters and
//! attaches the devices, and [`Machine::run`] runs the guest with its serial port on this
//! process's stdin and stdout until it ends, as a [`GuestExit`] says.
//!
//! | module | what is in it |
//! |---|---|
//! | `config` | what the caller decides and hands in |
//! | `prepared` | the machine with a kernel in it, from open files to its entry |
//! | `machine` | the machine with its devices, to the guest's end |
//! | `vm` | KVM's virtual machine, its memory, interrupt lines and vCPUs |
//! | `memory` | guest memory and its map |
//! | `arch` | x86-64: addresses, ports, registers, CPUID, interrupt controllers, ACPI's tables |
//! | `boot` | kernel files, and a boot protocol for each ABI |
//! | `hypercall` | what kernels of some ABIs ask of the monitor itself |
//! | `devices` | a PC's devices by ports, the PCI bus, virtio devices |
//! | `vcpu`, `vcpu_threads`, `halt` | the virtual processors, their exits, their threads, and whether all of them `hlt` for good |
//! | `event_loop` | the calling thread: input, `signals`, `shutdown` on request, the guest's end |
//! | `stdio`, `console`, `terminal` | the files at the other end of COM1 and the virtio console |
//! | `packets`, `disk` | what is at the other end of network and block devices |
//! | `memfd` | files in memory, which can be sealed |
//! | `bits` | halves of wide numbers, and numbers for narrow registers |
//! | [`kvm`] | what a KVM can do, for who asks before there is a machine |
//! | `exit`, `error` | how a guest ended; why there is no machine |
//!
//! What a guest or a kernel file says is never trusted: it can end its own machine, in any
//! other way it reaches nothing. Guest memory is touched through `vm-memory` only.

#![warn(missing_docs)]
// A test knows its numbers.
#![cfg_attr(
    test,
    allow(
        clippy::cast_possible_truncation,
        clippy::cast_possible_wrap,
        clippy::cast_sign_loss,
        clippy::cast_lossless,
        clippy::too_many_lines
    )
)]

mod arch;
mod bits;
mod boot;
mod config;
mod console;
mod devices;
mod disk;
mod error;
mod event_loop;
mod exit;
mod halt;
mod hypercall;
pub mod kvm;
mod machine;
mod memfd;
mod memory;
mod packets;
mod prepared;
mod shutdown;
mod signals;
mod stdio;
mod terminal;
mod vcpu;
mod vcpu_threads;
mod vm;

pub use boot::solo5::manifest::{
    Attachment, BLOCK_SIZE, Device as DeclaredDevice, Kind as DeviceKind,
};
pub use boot::{BootAbi, KernelImage, Unpacked, dry_run, unpack};
pub use config::{
    BlockDevice, Files, MAX_VCPUS, MachineConfig, NetDevice, ServedShare, Share, Transport, Vsock,
};
pub use console::Console;
pub use devices::virtio::devices::vhost_user::{BackEndError, check as check_back_end};
#[cfg(fuzzing)]
pub use devices::virtio::fuzzing;
pub use devices::virtio::slots::count as virtio_devices;
pub use devices::virtio::transport::mmio_slot::virtio_mmio_parameters;
pub use error::{BlockDeviceError, Error, HeaderError, KernelError, MemoryMapError};
pub use exit::{Crash, GuestExit, RunFailure};
pub use hypercall::fault::HypercallFault;
pub use machine::Machine;
pub use memfd::{MAX_KERNEL, sealed_copy};
pub use memory::{MAX_MEMORY, MIN_MEMORY};
pub use prepared::Prepared;
pub use terminal::RawTerminal;
