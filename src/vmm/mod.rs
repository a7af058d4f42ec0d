//! The monitor: a small KVM virtual machine for one unikernel.
//!
//! It knows nothing of OCI or of containers. The caller hands in open files and
//! a [`MachineConfig`]; [`Machine::new`] makes the machine ready without starting
//! a thread or opening a path, and [`Machine::run`] runs the guest with its
//! serial port on this process's stdin and stdout until it ends.

mod boot;
mod config;
mod console;
mod cpuid;
mod devices;
mod error;
mod event_loop;
mod exit;
mod machine;
mod memory;
mod signals;
mod terminal;
mod vcpu;
mod vcpu_thread;

pub use boot::check_fits;
pub use boot::image::{BootAbi, KernelImage, Segment};
pub use config::{Files, MachineConfig};
pub use console::Console;
pub use error::{Error, KernelError};
pub use exit::{Crash, GuestExit};
pub use machine::Machine;
pub use memory::{MAX_MEMORY, MIN_MEMORY};
