//! What is one processor architecture's alone. `x86_64` is the only one there is; a second one
//! comes beside it, and gives the same names.
//!
//! Nothing outside names an I/O port, a model-specific register or a CPUID leaf by its number.

#[cfg(target_arch = "x86_64")]
mod x86_64;

#[cfg(target_arch = "x86_64")]
pub(crate) use x86_64::*;

#[cfg(not(target_arch = "x86_64"))]
compile_error!("the monitor runs on x86-64 only");
