//! Solo5 kernels, good and bad, as files.

use super::manifest::Kind;
use super::*;
use crate::boot::KernelImage;
use crate::boot::testing::{ElfFile, load, multiboot_header, solo5_abi};

const MIB: u64 = 1 << 20;
const ABI1: u32 = u32::from_le_bytes(*b"ABI1");

fn device(kind: Kind, name: &str) -> Device {
    Device {
        kind,
        name: name.to_owned(),
        attached: None,
    }
}

#[track_caller]
fn fault_of(elf: &ElfFile) -> String {
    KernelImage::probe(&elf.file()).unwrap_err().to_string()
}

/// Without a manifest.
fn of_target(target: u32, version: u32) -> ElfFile {
    ElfFile::kernel().with_note(b"Solo5", ABI1, &solo5_abi(target, version))
}

#[test]
fn a_kernel_is_recognised_with_its_devices_in_segments_of_either_alignment() {
    let devices = [device(Kind::Block, "disk"), device(Kind::Net, "net0")];
    for align in [4, 8] {
        let mut elf = ElfFile::solo5(&devices).with_note(b"Xen", 18, &[0, 0, 0x10, 0]);
        for header in &mut elf.program_headers[1..3] {
            header.align = align;
        }
        let image = KernelImage::probe(&elf.file()).unwrap();
        assert_eq!(image.abi(), BootAbi::Solo5);
        assert_eq!(image.protocol.get().declared(), devices);
    }
}

#[test]
fn other_targets_and_versions_are_named() {
    for (target, name) in [(2, "spt"), (4, "muen"), (6, "xen"), (99, "unknown")] {
        let fault = fault_of(&of_target(target, 2));
        let told = format!("the kernel is built for Solo5's {name}: build it for hvt");
        assert!(fault.starts_with(&told), "{fault}");
    }
    let fault = fault_of(&of_target(1, 3));
    assert!(fault.contains("version 3 of Solo5's hvt ABI"), "{fault}");
    let short = ElfFile::kernel().with_note(b"Solo5", ABI1, &[1, 0, 0, 0]);
    assert!(fault_of(&short).contains("Solo5 ABI note"));
    assert!(fault_of(&of_target(1, 2)).contains("Solo5 manifest cannot be read: there is none"));
}

#[test]
fn a_kernel_for_virtio_boots_by_multiboot() {
    let mut elf = of_target(3, 2);
    elf.class64 = false;
    elf.machine = 3;
    let header = multiboot_header(3, [0; 5]);
    elf.content[..header.len()].copy_from_slice(&header);
    let image = KernelImage::probe(&elf.file()).unwrap();
    assert_eq!(image.abi(), BootAbi::Multiboot1);
}

#[test]
fn what_the_abi_forbids_is_refused() {
    const WRITE_EXECUTE: u32 = 7;
    let mut elf = ElfFile::solo5(&[]);
    elf.flags = WRITE_EXECUTE;
    assert!(fault_of(&elf).contains("writable and executable"));
    let mut elf = ElfFile::solo5(&[]);
    elf.program_headers.push(load(0xf_0000, 0x10, 0x10));
    assert!(fault_of(&elf).contains("below 0x100000"));
}

#[test]
fn memory_comes_in_pages_of_2_mib_and_holds_a_stack() {
    let solo5 = KernelImage::synthetic(BootAbi::Solo5);
    assert_eq!(solo5.memory_size(5 * MIB + 1).unwrap(), 4 * MIB);
    assert_eq!(solo5.memory_size(MAX_MEMORY).unwrap(), MAX_MEMORY);
    let fault = solo5.memory_size(MAX_MEMORY + 4096).unwrap_err();
    let fault = fault.to_string();
    assert!(fault.contains("give it 3 GiB or less"), "{fault}");
    let mut elf = ElfFile::solo5(&[]);
    elf.program_headers[0].memory_size = MIB / 2;
    let image = |elf: &ElfFile| KernelImage::probe(&elf.file()).unwrap();
    assert!(image(&elf).check_fits(0, 2 * MIB).is_ok());
    let fault = image(&elf).check_fits(1, 2 * MIB).unwrap_err();
    assert!(fault.to_string().contains("takes no initrd"), "{fault}");
    elf.program_headers[0].memory_size = MIB / 2 + 1;
    let fault = image(&elf).check_fits(0, 4 * MIB - 1).unwrap_err();
    assert_eq!(
        fault.to_string(),
        "the kernel and its stack need 4 MiB of memory, the machine has 2 MiB: \
         give it more memory"
    );
}
