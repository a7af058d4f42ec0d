//! Good and bad kernel files.

use super::*;
use crate::boot::program::{Limits, Segment};
use crate::boot::testing::{ElfFile, INTERP, NOTE, file, load};

fn probe(elf: &ElfFile) -> Result<KernelImage, KernelError> {
    KernelImage::probe(&elf.file())
}

#[track_caller]
fn fault_of(elf: &ElfFile) -> String {
    probe(elf).unwrap_err().to_string()
}

fn with_segment(segment: crate::boot::testing::ProgramHeader) -> ElfFile {
    let mut elf = ElfFile::kernel();
    elf.program_headers.push(segment);
    elf
}

#[test]
fn a_plain_elf64_is_entered_as_linux() {
    let image = probe(&ElfFile::kernel()).unwrap();
    assert_eq!(image.abi(), BootAbi::Linux64);
    assert_eq!(image.program.entry, 0x10_0000);
    assert_eq!(image.program.memory_end(), 0x10_0200);
    assert_eq!(
        image.program.segments,
        [Segment {
            gpa: 0x10_0000,
            offset: 0x1000,
            file_size: 0x100,
            memory_size: 0x200
        }]
    );
}

#[test]
fn a_pvh_note_of_4_or_8_bytes_gives_the_entry_in_both_classes() {
    for elf in [ElfFile::kernel(), ElfFile::kernel32()] {
        for desc in [&[0x10, 0, 0x10, 0][..], &[0x10, 0, 0x10, 0, 0, 0, 0, 0]] {
            let image = probe(&elf.clone().with_note(b"Xen", 18, desc)).unwrap();
            assert_eq!(
                (image.abi(), image.program.entry),
                (BootAbi::Pvh, 0x10_0010)
            );
        }
    }
}

#[test]
fn notes_of_other_kinds_are_passed_over() {
    let elf = ElfFile::kernel()
        .with_note(b"GNU", 3, &[1; 20])
        .with_note(b"Xen", 6, b"linux\0")
        .with_note(b"Xen", 18, &[0, 0, 0x10, 0]);
    assert_eq!(probe(&elf).unwrap().abi(), BootAbi::Pvh);
}

#[test]
fn compressed_kernels_are_refused_by_name() {
    let gzip = KernelImage::probe(&file(&[0x1f, 0x8b, 8, 0])).unwrap_err();
    assert!(gzip.to_string().contains("gzip"), "{gzip}");
}

/// Its command line is cut without a word where it is longer than Linux takes.
#[test]
fn linux_is_known_by_its_notes_and_takes_a_shorter_command_line() {
    let pvh = |elf: ElfFile| elf.with_note(b"Xen", 18, &[0, 0, 0x10, 0]);
    let linux = ElfFile::kernel().with_note(b"Linux", 0x100, b"salt");
    let tells_xen = ElfFile::kernel().with_note(b"Xen", 6, b"linux\0");
    for elf in [linux.clone(), tells_xen.clone(), pvh(linux), pvh(tells_xen)] {
        assert_eq!(probe(&elf).unwrap().program.limits.cmdline, 2047);
    }
    for elf in [ElfFile::kernel(), pvh(ElfFile::kernel())] {
        assert_eq!(probe(&elf).unwrap().program.limits, Limits::default());
    }
}

#[test]
fn files_that_are_no_kernels_are_told_apart() {
    let probe_bytes = |bytes: &[u8]| KernelImage::probe(&file(bytes)).unwrap_err();
    assert!(matches!(probe_bytes(b""), KernelError::Empty));
    assert!(matches!(
        probe_bytes(b"#!/bin/sh\n"),
        KernelError::NotAKernel { .. }
    ));
    assert!(matches!(
        probe(&ElfFile::kernel32()).unwrap_err(),
        KernelError::NotAKernel { .. }
    ));
    let dir = File::open("/").unwrap();
    assert!(matches!(
        KernelImage::probe(&dir).unwrap_err(),
        KernelError::NotAFile
    ));
    let mut program = ElfFile::kernel();
    let mut interpreter = load(0x40_0000, 8, 8);
    interpreter.kind = INTERP;
    program.program_headers.push(interpreter);
    assert!(fault_of(&program).contains("dynamically linked program"));
}

#[test]
fn kernels_for_other_machines_are_named() {
    let arm = ElfFile {
        machine: 183,
        ..ElfFile::kernel()
    };
    assert!(fault_of(&arm).contains("arm64"));
    let unknown = ElfFile {
        machine: 4711,
        ..ElfFile::kernel()
    };
    assert!(fault_of(&unknown).contains("4711"));
    let mut big_endian = ElfFile::kernel().bytes();
    big_endian[5] = 2;
    let fault = KernelImage::probe(&file(&big_endian)).unwrap_err();
    assert!(matches!(fault, KernelError::WrongMachine { .. }), "{fault}");
}

/// Cut anywhere before the segment's end, the kernel is refused and nothing panics.
#[test]
fn a_truncated_kernel_is_refused_wherever_it_is_cut() {
    let whole = ElfFile::kernel()
        .with_note(b"Xen", 18, &[0, 0, 0x10, 0])
        .bytes();
    for len in (1..64).chain([64, 100, 119, 175, 176, 0x1000, 0x10ff, whole.len() - 1]) {
        let fault = KernelImage::probe(&file(&whole[..len])).unwrap_err();
        let expected = match len {
            1..4 => matches!(fault, KernelError::NotAKernel { .. }),
            _ => matches!(fault, KernelError::Truncated { .. }),
        };
        assert!(expected, "cut to {len} bytes: {fault}");
    }
}

#[test]
fn segments_with_impossible_numbers_are_refused() {
    let cases = [
        (load(0x20_0000, 0x200, 0x100), "more bytes in the file"),
        (load(u64::MAX - 0x10, 0x10, 0x100), "wraps"),
        (load(0x1000, 0x10, 0x10), "boot structures"),
        (load(0x2_0fff, 0x10, 0x10), "boot structures"),
        (load(0x10_0100, 0x10, 0x10), "overlaps another segment"),
        (load(0x10_0000, 0x100, 0x100), "overlaps another segment"),
        (load(0x20_0000, 0x10_0000, 0x10_0000), "truncated"),
        (load(0x20_0000, u64::MAX, u64::MAX), "wraps"),
    ];
    for (segment, fault) in cases {
        let found = fault_of(&with_segment(segment));
        assert!(found.contains(fault), "{segment:?}: {found}");
    }
    let mut far = load(0x20_0000, 0x10, 0x10);
    far.offset = u64::MAX;
    assert!(fault_of(&with_segment(far)).contains("past every file's end"));
}

/// As linkers write them when a kernel's zeroed memory is a segment of its own.
#[test]
fn a_segment_of_nothing_but_zeros_may_name_any_offset() {
    let mut zeros = load(0x20_0000, 0, 0x1000);
    for offset in [0x7000, u64::MAX] {
        zeros.offset = offset;
        let elf = with_segment(zeros);
        assert_eq!(probe(&elf).unwrap().program.memory_end(), 0x20_1000);
        let memory = crate::memory::allocate(4 << 20).unwrap();
        let file = elf.file();
        let image = KernelImage::probe(&file).unwrap();
        crate::boot::load(&memory, 4 << 20, &image, &file, None).unwrap();
    }
}

#[test]
fn an_entry_outside_the_kernel_is_refused() {
    for entry in [0, 0xf_ffff, 0x10_0200, u64::MAX] {
        let elf = ElfFile {
            entry,
            ..ElfFile::kernel()
        };
        let fault = probe(&elf).unwrap_err();
        assert!(matches!(fault, KernelError::BadEntry { .. }), "{fault}");
    }
    let pvh = ElfFile::kernel().with_note(b"Xen", 18, &[0xff; 8]);
    assert!(fault_of(&pvh).contains("not a 32-bit address"));
    let high = ElfFile {
        entry: 1 << 32,
        program_headers: vec![load(1 << 32, 0x100, 0x100)],
        ..ElfFile::kernel()
    };
    assert!(fault_of(&high).contains("past the first 4 GiB"));
    let short = ElfFile::kernel().with_note(b"Xen", 18, &[1, 2]);
    assert!(fault_of(&short).contains("not a 32-bit address"));
}

#[test]
fn huge_headers_and_notes_are_not_read() {
    let mut many = ElfFile::kernel();
    many.program_headers = vec![many.program_headers[0]; 129];
    assert!(fault_of(&many).contains("more than 128"));
    let mut none = ElfFile::kernel();
    none.program_headers.clear();
    assert!(fault_of(&none).contains("there are none"));
    // A sparse file of 1 TiB that claims to be one note.
    let mut notes = ElfFile::kernel();
    let mut note = load(0, 1 << 40, 1 << 40);
    note.kind = NOTE;
    notes.program_headers.push(note);
    let file = notes.file();
    file.set_len(1 << 41).unwrap();
    let fault = KernelImage::probe(&file).unwrap_err().to_string();
    assert!(fault.contains("larger than 64 KiB"), "{fault}");
}

/// The format knows 4 and 8; linkers write all kinds of numbers.
#[test]
fn notes_are_read_whatever_alignment_their_segment_claims() {
    for align in [0, 1, 4, 16, 0x1000, u64::MAX] {
        let mut elf = ElfFile::kernel().with_note(b"Xen", 18, &[0, 0, 0x10, 0]);
        elf.program_headers[1].align = align;
        assert_eq!(
            probe(&elf).unwrap().abi(),
            BootAbi::Pvh,
            "alignment {align}"
        );
    }
}

#[test]
fn a_note_that_runs_over_its_segment_is_an_error() {
    let mut elf = ElfFile::kernel().with_note(b"Xen", 18, &[0, 0, 0x10, 0]);
    let size_of_desc = 0x1000 + 4;
    elf.content[size_of_desc] = 0xff;
    assert!(fault_of(&elf).contains("notes cannot be read"));
}

#[test]
fn names_are_as_documented() {
    for (abi, name) in [
        (BootAbi::Linux64, "linux64"),
        (BootAbi::BzImage, "bzimage"),
        (BootAbi::Pvh, "pvh"),
        (BootAbi::Multiboot1, "multiboot1"),
    ] {
        assert_eq!(abi.to_string(), name);
        assert_eq!(serde_json::to_value(abi).unwrap(), name);
    }
}
