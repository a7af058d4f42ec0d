//! Kernel files around a few bytes of code.

use std::fs::File;
use std::io::Write;

use vmm::BootAbi;

pub const ABIS: [BootAbi; 4] = [
    BootAbi::Linux64,
    BootAbi::BzImage,
    BootAbi::Pvh,
    BootAbi::Multiboot1,
];
/// Guest-physical address of the code's first byte.
pub const LOAD_ADDRESS: u32 = 0x10_0000;

/// A kernel of the given ABI whose first instruction is the first byte of `code`.
pub fn kernel(abi: BootAbi, code: &[u8]) -> File {
    let bytes = match abi {
        BootAbi::Linux64 => elf64(code, &[]),
        BootAbi::Pvh => elf64(code, &pvh_note()),
        BootAbi::Multiboot1 => flat_multiboot(code),
        BootAbi::BzImage => harness::bzimage::around(LOAD_ADDRESS.into(), code),
        _ => panic!("no kernel of the ABI {abi} is made here"),
    };
    let mut file = tempfile::tempfile().unwrap();
    file.write_all(&bytes).unwrap();
    file
}

/// One loadable segment with `code` at 1 MiB, and a note segment.
fn elf64(code: &[u8], note: &[u8]) -> Vec<u8> {
    const CODE_OFFSET: u64 = 0x1000;
    const NOTE_OFFSET: u64 = 0x200;
    let load = u64::from(LOAD_ADDRESS);
    let mut elf = Vec::new();
    elf.extend(b"\x7fELF\x02\x01\x01\0\0\0\0\0\0\0\0\0");
    elf.extend([2, 0, 62, 0, 1, 0, 0, 0]); // ET_EXEC, EM_X86_64, version
    elf.extend(load.to_le_bytes()); // entry
    elf.extend(64u64.to_le_bytes()); // program headers
    elf.extend([0; 12]); // section headers, flags
    elf.extend([64, 0, 56, 0, 2, 0, 0, 0, 0, 0, 0, 0]); // sizes, 2 program headers
    for (kind, offset, address, size, align) in [
        (1u32, CODE_OFFSET, load, code.len() as u64, 0x1000u64),
        (4u32, NOTE_OFFSET, 0, note.len() as u64, 4),
    ] {
        elf.extend(kind.to_le_bytes());
        elf.extend(5u32.to_le_bytes());
        for field in [offset, address, address, size, size, align] {
            elf.extend(field.to_le_bytes());
        }
    }
    elf.resize(NOTE_OFFSET as usize, 0);
    elf.extend(note);
    elf.resize(CODE_OFFSET as usize, 0);
    elf.extend(code);
    elf
}

/// Xen's note 18 with the entry point.
fn pvh_note() -> Vec<u8> {
    let mut note = Vec::new();
    for word in [4u32, 4, 18] {
        note.extend(word.to_le_bytes());
    }
    note.extend(b"Xen\0");
    note.extend(LOAD_ADDRESS.to_le_bytes());
    note
}

/// A file without ELF headers: `code`, then the Multiboot header with address fields.
fn flat_multiboot(code: &[u8]) -> Vec<u8> {
    const MAGIC: u32 = 0x1bad_b002;
    const FLAGS: u32 = 1 << 16 | 1 << 1;
    let mut image = code.to_vec();
    image.resize(code.len().next_multiple_of(4), 0);
    let header_address = LOAD_ADDRESS + image.len() as u32;
    let checksum = 0u32.wrapping_sub(MAGIC).wrapping_sub(FLAGS);
    for word in [
        MAGIC,
        FLAGS,
        checksum,
        header_address,
        LOAD_ADDRESS,
        0,
        0,
        LOAD_ADDRESS,
    ] {
        image.extend(word.to_le_bytes());
    }
    image
}
