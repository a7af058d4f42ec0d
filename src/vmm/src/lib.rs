//! The monitor: a small KVM virtual machine for one unikernel.
//!
//! It knows nothing of OCI or of containers. The caller hands in open files and
//! a [`MachineConfig`]; [`Prepared::new`] makes the machine and loads the kernel without
//! starting a thread or opening a path, [`Prepared::finish`] tells the guest what it shall
//! know, and [`Machine::run`] runs it with its serial port on this process's stdin and stdout
//! until it ends.
//!
//! | module | what is in it |
//! |---|---|
//! | `config` | what the caller decides and hands in |
//! | `prepared` | the machine with a kernel in it, from open files to its entry |
//! | `machine` | the machine with its devices, to the guest's end |
//! | `vm` | KVM's virtual machine, its memory, interrupt lines and vCPUs |
//! | `memory` | guest memory and its map |
//! | `boot` | kernel files, and how each boot ABI is entered |
//! | `acpi` | the tables that tell a guest of processors, interrupts and devices |
//! | `vcpu`, `vcpu_threads` | the virtual processors, their exits, their threads, and whether all of them `halt` |
//! | `cpuid`, `topology` | what a processor claims to be, and which of several |
//! | `event_loop` | the calling thread: input, `signals`, the `stopper`, the guest's end |
//! | `hypercall` | what kernels of some ABIs ask of the monitor itself |
//! | `devices` | port I/O: COM1, clock, keyboard controller, exit ports |
//! | `timer` | the 8254, as KVM has it |
//! | `stdio`, `console`, `terminal` | the files at the other end of COM1 and the virtio console |
//! | `sealed` | files in memory that nobody can change |
//! | `packets`, `disk` | what is at the other end of network and block devices |
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

mod acpi;
mod boot;
mod config;
mod console;
mod cpuid;
mod devices;
mod disk;
mod error;
mod event_loop;
mod exit;
mod halt;
mod hypercall;
pub mod kvm;
mod machine;
mod memory;
mod packets;
mod prepared;
mod sealed;
mod signals;
mod stdio;
mod stopper;
mod terminal;
mod timer;
mod topology;
mod vcpu;
mod vcpu_threads;
mod vm;

pub use boot::gzip::{Unpacked, unpack};
pub use boot::image::{BootAbi, KernelImage, Limits, Segment};
pub use boot::place::{check_fits, max_memory, memory_size};
pub use boot::rehearse;
pub use boot::solo5::manifest::{
    BLOCK_SIZE, Device as DeclaredDevice, Kind as DeviceKind, Manifest,
};
pub use config::{
    BlockDevice, Files, MAX_VCPUS, MachineConfig, NetDevice, ServedShare, Share, Transport, Vsock,
};
pub use console::Console;
pub use devices::virtio::devices::vhost_user::{BackEndError, check as check_back_end};
#[cfg(fuzzing)]
pub use devices::virtio::fuzzing;
pub use devices::virtio::slots::count as virtio_devices;
pub use devices::virtio::transport::mmio_slot::virtio_mmio_parameters;
pub use error::{Error, KernelError};
pub use exit::{Crash, GuestExit};
pub use machine::Machine;
pub use memory::{MAX_MEMORY, MIN_MEMORY};
pub use prepared::Prepared;
pub use sealed::{MAX_KERNEL, sealed_copy};
pub use terminal::RawTerminal;
