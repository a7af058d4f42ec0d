//! The command line, and what else every kernel of a PC is told.

use vm_memory::{Bytes, GuestAddress};

use super::program::Program;
use super::protocol::BootParams;
use crate::arch::acpi;
use crate::arch::layout::CMDLINE;
use crate::error::Error;
use crate::memory::GuestMemory;

/// Writes the command line to [`CMDLINE`], and ACPI's tables.
///
/// # Errors
/// [`Error::CmdlineTooLong`], [`Error::CmdlineNul`].
pub(super) fn write_for_pc(
    memory: &GuestMemory,
    program: &Program,
    params: &BootParams<'_>,
) -> Result<(), Error> {
    let room = program.limits.cmdline + 1;
    write_cmdline(memory, params.cmdline, CMDLINE, room)?;
    acpi::write(memory, params.vcpus, params.slots)
}

/// The command line goes in as it is: linux-loader's `Cmdline` would trim it, and
/// Unikraft reads a trailing ` -- ` otherwise than its absence.
///
/// It goes to `gpa`; `room` is what it has there in bytes, with its zero byte.
///
/// # Errors
/// [`Error::CmdlineTooLong`], [`Error::CmdlineNul`].
pub(super) fn write_cmdline(
    memory: &GuestMemory,
    cmdline: &str,
    gpa: u64,
    room: usize,
) -> Result<(), Error> {
    let len = cmdline.len();
    if len >= room {
        let max = room - 1;
        return Err(Error::CmdlineTooLong { len, max });
    }
    if cmdline.contains('\0') {
        return Err(Error::CmdlineNul);
    }
    let mut bytes = cmdline.as_bytes().to_vec();
    bytes.push(0);
    memory
        .write_slice(&bytes, GuestAddress(gpa))
        .map_err(Error::guest_memory(gpa))
}
