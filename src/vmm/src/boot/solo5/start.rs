//! Low memory and registers at the kernel's first instruction.
//!
//! | from | what lies there |
//! |---|---|
//! | 0x1000 | the descriptor table |
//! | 0x2000 | the page tables ([`pages`]) |
//! | 0x10000 | `hvt_boot_info`, the manifest, the command line |
//! | 0x100000 | the kernel |
//! | the end | the stack, downwards |

use vm_memory::{Bytes, GuestAddress};

use super::manifest::Manifest;
use super::pages::{self, Protected};
use crate::arch::registers::{EFER_LONG_MODE, EFER_NO_EXECUTE, EntryState, SystemRegisters};
use crate::arch::tables::{FLAT_DATA, write_table};
use crate::boot::cmdline::write_cmdline;
use crate::error::Error;
use crate::memory::GuestMemory;

const GDT: u64 = 0x1000;
const BOOT_INFO: u64 = 0x1_0000;

/// `struct hvt_boot_info`: its size, and where it has the processor's frequency.
const BOOT_INFO_SIZE: u64 = 56;
const FREQUENCY: u64 = 16;

/// HVT_CMDLINE_SIZE, with the zero byte.
const CMDLINE_MAX: usize = 8192;

/// 64-bit code, execute-only, accessed.
const LONG_CODE: u64 = 0x00af_9900_0000_ffff;
/// A busy 64-bit task state segment of no size, by the null selector.
const NO_TSS: u64 = 0x0000_8b00_0000_0000;

/// Control registers and EFER: paging, write protection in the kernel too, SSE; and what the
/// ABI does not have, pages that are not executed.
const CR0: u64 = 0x8001_0021;
const CR4: u64 = 0x620;
const EFER: u64 = EFER_LONG_MODE | EFER_NO_EXECUTE;

const SYSTEM: SystemRegisters = SystemRegisters {
    code: LONG_CODE,
    task: Some((NO_TSS, 0)),
    has_ldt: false,
    gdt: (GDT, 3 * 8),
    idt: 0,
    cr0: CR0,
    cr3: pages::PML4,
    cr4: CR4,
    efer: EFER,
};

/// What is known of the kernel.
pub(super) struct Kernel<'a> {
    /// Guest-physical address of the first instruction.
    pub entry: u64,
    /// The first page past the kernel.
    pub end: u64,
    pub manifest: &'a Manifest,
    pub protected: &'a [Protected],
}

/// Writes low memory for a machine of `size` bytes, a multiple of 2 MiB, and says how to
/// enter the kernel. The frequency is left for when there is a processor to ask.
///
/// # Errors
/// [`Error::CmdlineTooLong`], [`Error::CmdlineNul`]; [`Error::GuestMemory`] in a machine
/// smaller than any that can be asked for.
pub(super) fn prepare(
    memory: &GuestMemory,
    size: u64,
    kernel: &Kernel<'_>,
    cmdline: &str,
) -> Result<EntryState, Error> {
    write_table(memory, GDT, [0, LONG_CODE, FLAT_DATA])?;
    pages::write(memory, size, kernel.protected)?;
    let manifest = kernel.manifest.bytes();
    let manifest_at = BOOT_INFO + BOOT_INFO_SIZE;
    let cmdline_at = manifest_at + manifest.len() as u64;
    // No features are offered, and so no ring.
    let info = [size, kernel.end, 0, cmdline_at, manifest_at, 0, 0];
    write_table(memory, BOOT_INFO, info)?;
    memory
        .write_slice(&manifest, GuestAddress(manifest_at))
        .map_err(Error::guest_memory(manifest_at))?;
    write_cmdline(memory, cmdline, cmdline_at, CMDLINE_MAX)?;
    // As after a call: the System V ABI wants rsp + 8 to be a multiple of 16.
    let rsp = size - 8;
    Ok(EntryState {
        rdi: BOOT_INFO,
        frequency: Some(BOOT_INFO + FREQUENCY),
        has_local_apic: false,
        ..EntryState::at(SYSTEM, kernel.entry, rsp)
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::boot::solo5::manifest::{Device, Kind};
    use crate::memory;

    const MIB: u64 = 1 << 20;

    fn kernel(manifest: &Manifest) -> Kernel<'_> {
        Kernel {
            entry: MIB,
            end: MIB + 4096,
            manifest,
            protected: &[],
        }
    }

    #[test]
    fn the_boot_information_leads_to_manifest_and_command_line() {
        let memory = memory::allocate(4 * MIB).unwrap();
        let manifest = Manifest {
            devices: vec![Device {
                kind: Kind::Block,
                name: "disk".to_owned(),
                attached: None,
            }],
        };
        let entry = prepare(&memory, 4 * MIB, &kernel(&manifest), "a  b").unwrap();
        assert_eq!((entry.rdi, entry.rsp), (0x1_0000, 4 * MIB - 8));
        assert_eq!((entry.system, entry.rip), (SYSTEM, MIB));
        let word = |gpa| memory.read_obj::<u64>(GuestAddress(gpa)).unwrap();
        assert_eq!((word(0x1_0000), word(0x1_0008)), (4 * MIB, MIB + 4096));
        assert_eq!((word(0x1_0028), word(0x1_0030)), (0, 0));
        let (cmdline, manifest) = (word(0x1_0018), word(0x1_0020));
        assert_eq!(word(manifest), 2 << 32 | 1);
        assert_eq!(manifest % 8, 0);
        assert_eq!(cmdline, manifest + 8 + 2 * 104);
        let mut text = [0xaa; 5];
        memory.read_slice(&mut text, GuestAddress(cmdline)).unwrap();
        assert_eq!(&text, b"a  b\0");
    }

    #[test]
    fn a_command_line_of_8191_bytes_fits() {
        let memory = memory::allocate(4 * MIB).unwrap();
        let manifest = Manifest::default();
        let prepare = |cmdline: &str| prepare(&memory, 4 * MIB, &kernel(&manifest), cmdline);
        assert!(prepare(&"x".repeat(8191)).is_ok());
        let fault = prepare(&"x".repeat(8192)).unwrap_err();
        assert!(matches!(fault, Error::CmdlineTooLong { max: 8191, .. }));
        assert!(matches!(prepare("\0"), Err(Error::CmdlineNul)));
    }
}
