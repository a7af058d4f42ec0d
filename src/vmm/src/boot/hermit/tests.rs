//! Hermit's kernels, good and bad.

use vm_memory::{Bytes, GuestAddress};

use super::*;
use crate::boot::KernelImage;
use crate::boot::protocols::Protocol;
use crate::boot::testing::{CONTENT, ElfFile, ProgramHeader, boot_params, file, load, load_guest};
use relocate::Relocation;

const MIB: u64 = 1 << 20;
const TLS: u32 = 7;
const DYNAMIC: u32 = 2;
const ET_DYN: u8 = 3;

/// A position-independent kernel at 0 of one page, with what its notes say.
fn pie(notes: &[(&[u8], u32, &[u8])]) -> ElfFile {
    let mut elf = ElfFile {
        entry: 0x10,
        program_headers: vec![load(0, 0x1000, 0x2000)],
        ..ElfFile::kernel()
    };
    for (name, kind, desc) in notes {
        elf = elf.with_note(name, *kind, desc);
    }
    elf
}

fn interface(version: u8) -> ElfFile {
    pie(&[
        (b"HERMIT", 0x5a00, &[4]),
        (b"UHYVEIF", 0x5b00, &[0, 0, 0, version]),
    ])
}

/// As a file that can lie anywhere.
fn relocatable(elf: &ElfFile) -> Vec<u8> {
    let mut bytes = elf.bytes();
    bytes[16] = ET_DYN;
    bytes
}

fn probe(elf: &ElfFile) -> Result<KernelImage, KernelError> {
    KernelImage::probe(&file(&relocatable(elf)))
}

fn hermit(image: &KernelImage) -> &Hermit {
    match &image.protocol {
        Protocol::Hermit(hermit) => hermit,
        other => panic!("{other:?}"),
    }
}

#[track_caller]
fn fault(elf: &ElfFile) -> String {
    probe(elf).unwrap_err().to_string()
}

/// Puts 64-bit words into the kernel at an address.
fn put(elf: &mut ElfFile, at: usize, words: &[u64]) {
    for (i, word) in words.iter().enumerate() {
        elf.content[at + 8 * i..][..8].copy_from_slice(&word.to_le_bytes());
    }
}

/// A kernel with a dynamic section at 0x100, these relocations at 0x400, and symbols at 0x800.
fn with_relocations(relocations: &[[u64; 3]]) -> ElfFile {
    let mut elf = interface(3);
    elf.program_headers.push(ProgramHeader {
        kind: DYNAMIC,
        offset: CONTENT + 0x100,
        ..load(0x100, 0x50, 0x50)
    });
    let len = 24 * relocations.len() as u64;
    put(&mut elf, 0x100, &[7, 0x400, 8, len, 9, 24, 6, 0x800, 0, 0]);
    put(&mut elf, 0x400, relocations.as_flattened());
    // Symbol 1 is at 0x30; symbol 2 is weak and nowhere.
    put(
        &mut elf,
        0x818,
        &[1 << 48 | 0x10 << 32, 0x30, 8, 0x20 << 32, 0, 0],
    );
    elf
}

#[test]
fn the_interface_decides_where_a_kernel_lies() {
    for (elf, start, is_old) in [
        (pie(&[(b"HERMIT", 0x5a00, &[4])]), 0, true),
        (interface(1), 0, true),
        (interface(2), 4 << 30, true),
        (interface(3), 4 << 30, true),
        (
            interface(3).with_note(
                b"GNU",
                1,
                &[6, 0, 0, 0, 0, 0, 0, 0, 10, 0, 0, 0, 0, 0, 0, 0],
            ),
            4 << 30,
            false,
        ),
    ] {
        let image = probe(&elf).unwrap();
        assert_eq!(image.abi(), BootAbi::Hermit);
        assert_eq!(hermit(&image).start(), start);
        assert_eq!(hermit(&image).is_old, is_old);
        assert_eq!(image.program.entry, start + 0x4_0010);
        assert_eq!(image.program.segments[0].gpa, start + 0x4_0000);
    }
}

#[test]
fn versions_that_are_not_known_are_refused_by_number() {
    let old = pie(&[(b"HERMIT", 0x5a00, &[3])]);
    assert!(fault(&old).contains("version 3 of Hermit's entry"));
    assert!(fault(&interface(4)).contains("version 4 of uhyve's interface"));
    let short = pie(&[(b"HERMIT", 0x5a00, &[4]), (b"UHYVEIF", 0x5b00, &[1])]);
    assert!(fault(&short).contains("version 0 of uhyve's interface"));
    assert!(
        fault(&ElfFile {
            class64: false,
            machine: 3,
            ..interface(1)
        })
        .contains("32-bit ELF file with a note of Hermit's")
    );
}

#[test]
fn a_kernel_of_one_address_lies_there_if_it_may() {
    let at = |address| ElfFile {
        entry: address,
        program_headers: vec![load(address, 0x100, 0x100)],
        ..ElfFile::kernel()
    };
    let built = |address| at(address).with_note(b"HERMIT", 0x5a00, &[4]).file();
    let image = KernelImage::probe(&built(0x80_0000)).unwrap();
    assert_eq!(
        (image.program.entry, image.program.segments[0].gpa),
        (0x80_0000, 0x80_0000)
    );
    let mut large = interface(1);
    large.program_headers[0].memory_size = 2 * MIB;
    assert!(probe(&large).is_ok(), "there is no firmware in its way");
    let low = KernelImage::probe(&built(0x3_0000)).unwrap_err();
    assert!(low.to_string().contains("below 0x40000"), "{low}");
    let mut wraps = interface(3);
    wraps.program_headers[0].address = u64::MAX - 0x1000;
    assert!(fault(&wraps).contains("below 0x100040000"));
}

#[test]
fn relocations_are_read_in_all_three_kinds() {
    let elf = with_relocations(&[
        [0x1000, 8, 0x123],
        [0x1008, 1 << 32 | 1, 5],
        [0x1010, 1 << 32 | 6, 0],
        [0x1018, 2 << 32 | 6, 0],
    ]);
    let slide = 0x1_0004_0000;
    let values = [(0x1000, 0x123), (0x1008, 0x35), (0x1010, 0x30)];
    let expected: Vec<Relocation> = values
        .map(|(at, value)| Relocation {
            gpa: slide + at,
            value: slide + value,
        })
        .into();
    assert_eq!(hermit(&probe(&elf).unwrap()).relocations, expected);
}

#[test]
fn relocations_that_cannot_be_are_refused() {
    for (relocation, expected) in [
        ([0x1000, 37, 0], "unknown kind"),
        ([0x1ff9, 8, 0], "out of the kernel"),
        ([u64::MAX, 8, 0], "out of the kernel"),
        (
            [0x1000, 0xffff_ffff << 32 | 1, 0],
            "table out of the kernel",
        ),
    ] {
        let found = fault(&with_relocations(&[relocation]));
        assert!(found.contains(expected), "{relocation:x?}: {found}");
    }
    let corrupt = |at, words: &[u64]| {
        let mut elf = with_relocations(&[[0x1000, 8, 0]]);
        put(&mut elf, at, words);
        fault(&elf)
    };
    assert!(corrupt(0x100, &[1, 0]).contains("shared libraries"));
    assert!(corrupt(0x118, &[u64::MAX]).contains("table out of the kernel"));
    assert!(corrupt(0x118, &[0x1000]).contains("table out of the kernel"));
    assert!(corrupt(0x128, &[16]).contains("unknown size"));
    let mut huge = with_relocations(&[]);
    huge.program_headers[3].file_size = 1 << 40;
    assert!(fault(&huge).contains("more than 8 MiB"));
}

#[test]
fn low_memory_tells_what_the_kernel_wants_to_know() {
    let mut elf = with_relocations(&[[0x1000, 8, 0x123]]);
    elf.program_headers.push(ProgramHeader {
        kind: TLS,
        align: 16,
        ..load(0x200, 0x20, 0x81)
    });
    let kernel = file(&relocatable(&elf));
    let image = KernelImage::probe(&kernel).unwrap();
    let (start, size) = (4 << 30, 4 * MIB);
    let memory = image.allocate(size).unwrap();
    let initrd = file(b"initrd");
    let dirs = ["/app".to_owned()];
    let params = crate::boot::BootParams {
        tsc_khz: Some(2_500_000),
        dirs: &dirs,
        ..boot_params("app -- x")
    };
    let files = (&kernel, Some(&initrd));
    let entry = load_guest(&memory, size, &image, files, &params).unwrap();
    assert_eq!(entry.system, start::system_registers(start));
    assert_eq!((entry.rsp, entry.rsi), (start + 0x3_8000, 0));
    let word = |gpa| memory.read_obj::<u64>(GuestAddress(gpa)).unwrap();
    let info = entry.rdi;
    let expected = [
        start,
        start + size,
        0x1030,
        start + 0x1000,
        start + 0x4_0000,
        start + 0x4_2000,
        start + 0x4_0200,
        0x20,
        0x81,
        16,
        1,
        0,
        1,
        2_500_000,
    ];
    for (i, expected) in (0..).zip(expected) {
        assert_eq!(word(info + 8 * i), expected, "word {i}");
    }
    assert_eq!(word(start + 0x4_1000), start + 0x4_0123, "relocated");
    assert_eq!(word(start + 0x4_2000), u64::from_le_bytes(*b"initrd\0\0"));
    let mut tree = vec![0; 0x400];
    memory
        .read_slice(&mut tree, GuestAddress(start + 0x1000))
        .unwrap();
    for text in [
        "hermit,uhyve",
        "memory@100000000",
        "app -- x",
        "/app",
        "linux,initrd-end",
    ] {
        let found = tree.windows(text.len()).any(|w| w == text.as_bytes());
        assert!(found, "{text}");
    }
}

#[test]
fn memory_is_mapped_as_far_as_the_kernel_reaches() {
    let image = probe(&interface(3)).unwrap();
    let memory = image.allocate(4 * MIB).unwrap();
    let kernel = file(&relocatable(&interface(3)));
    load_guest(&memory, 4 * MIB, &image, (&kernel, None), &boot_params("")).unwrap();
    let entry = |gpa| memory.read_obj::<u64>(GuestAddress(gpa)).unwrap();
    let (start, present_writable) = (4 << 30, 3);
    let pml4 = start + 0x1_0000;
    assert_eq!(entry(pml4), start + 0x1_1000 + present_writable);
    assert_eq!(entry(pml4 + 511 * 8), pml4 + present_writable, "itself");
    assert_eq!(entry(start + 0x1_1000 + 4 * 8), start + 0x1_2000 + 3);
    assert_eq!(entry(start + 0x1_2000), start + 0x83);
    let last = start + 0x1_2000 + 511 * 8;
    assert_eq!(
        entry(last),
        start + (1 << 30) - 2 * MIB + 0x83,
        "an old one"
    );
    let new = interface(3).with_note(
        b"GNU",
        1,
        &[6, 0, 0, 0, 0, 0, 0, 0, 14, 0, 0, 0, 0, 0, 0, 0],
    );
    let kernel = file(&relocatable(&new));
    let image = KernelImage::probe(&kernel).unwrap();
    let memory = image.allocate(4 * MIB).unwrap();
    load_guest(&memory, 4 * MIB, &image, (&kernel, None), &boot_params("")).unwrap();
    let entry = |gpa| memory.read_obj::<u64>(GuestAddress(gpa)).unwrap();
    assert_eq!(
        [entry(start + 0x1_2000), entry(start + 0x1_2008)],
        [start + 0x83, 0]
    );
}

#[test]
fn what_does_not_fit_says_so() {
    let mut large = interface(3);
    large.program_headers[0].memory_size = 3 * MIB;
    let image = probe(&large).unwrap();
    assert!(image.check_fits(0, 4 * MIB).is_ok());
    let fault = |image: &KernelImage, initrd, memory| {
        image.check_fits(initrd, memory).unwrap_err().to_string()
    };
    assert!(fault(&image, 0, 3 * MIB).contains("the kernel needs 4 MiB"));
    assert!(fault(&image, MIB, 4 * MIB).contains("the kernel and its initrd need 5 MiB"));
    assert!(fault(&image, 40 << 30, 50 << 30).contains("fit below 36 GiB"));
    assert!(fault(&image, 0, 61 << 30).contains("give it 60 GiB or less"));
    large.program_headers[0].memory_size = 33 << 30;
    assert!(fault(&probe(&large).unwrap(), 0, 50 << 30).contains("page tables at boot"));
    let first = probe(&interface(1)).unwrap();
    assert!(fault(&first, 0, 4 << 30).contains("give it 3 GiB or less"));
}

#[test]
fn a_command_line_is_held_to_the_trees_room() {
    let kernel = file(&relocatable(&interface(3)));
    let image = KernelImage::probe(&kernel).unwrap();
    let memory = image.allocate(4 * MIB).unwrap();
    let load = |cmdline: &str| {
        load_guest(
            &memory,
            4 * MIB,
            &image,
            (&kernel, None),
            &boot_params(cmdline),
        )
    };
    assert!(load(&"x".repeat(CMDLINE_MAX)).is_ok());
    let long = load(&"x".repeat(CMDLINE_MAX + 1)).unwrap_err();
    assert!(matches!(long, Error::CmdlineTooLong { .. }), "{long}");
    assert!(matches!(load("a\0b"), Err(Error::CmdlineNul)));
}
