//! Thousands of corrupt kernels: whatever a file says, it is loaded within its bounds or
//! refused, and nothing panics.

use std::time::{Duration, Instant};

use super::testing::{
    ElfFile, Random, boot_params, bzimage, file, load, load_guest, multiboot_header,
};
use super::{BootAbi, KernelImage};
use crate::arch::layout::BOOT_AREA_END;

const ROUNDS: usize = 5000;
const MIB: u64 = 1 << 20;

/// Numbers at which arithmetic on sizes and addresses tends to go wrong.
const EDGES: [u64; 16] = [
    0,
    1,
    4,
    0x7f,
    0xff,
    0x1000,
    0x2_0fff,
    0x2_1000,
    0x9_fc00,
    0x10_0000,
    0x7fff_ffff,
    0xc000_0000,
    0xffff_ffff,
    0x1_0000_0000,
    1 << 63,
    u64::MAX,
];

/// A good kernel of each kind, with the ABI that it boots by.
fn kernels() -> [(BootAbi, Vec<u8>); 7] {
    let pvh = |elf: ElfFile| elf.with_note(b"Xen", 18, &[0, 0, 0x10, 0]).bytes();
    let mut linux = ElfFile::kernel();
    linux.program_headers.push(load(0x18_0000, 0x80, 0x4_0000));
    let mut flat = vec![0x90; 0x40];
    let addresses = [0x10_0040, 0x10_0000, 0, 0x10_1000, 0x10_0004];
    flat.extend(multiboot_header(1 << 16, addresses));
    let mut multiboot = ElfFile::kernel32();
    let header = multiboot_header(3, [0; 5]);
    multiboot.content[..header.len()].copy_from_slice(&header);
    [
        (BootAbi::Linux64, linux.bytes()),
        (BootAbi::Pvh, pvh(ElfFile::kernel())),
        (BootAbi::Pvh, pvh(ElfFile::kernel32())),
        (BootAbi::Multiboot1, flat),
        (BootAbi::Multiboot1, multiboot.bytes()),
        (BootAbi::BzImage, bzimage()),
        (BootAbi::Solo5, ElfFile::solo5(&[]).bytes()),
    ]
}

/// Writes over one to four numbers, most of them in the headers, and cuts one file in eight.
fn corrupt(bytes: &mut Vec<u8>, random: &mut Random) {
    for _ in 0..1 + random.below(4) {
        let value = match random.below(3) {
            0 => random.number(),
            _ => random.pick(&EDGES),
        };
        let width = random.pick(&[1, 2, 4, 8]);
        let at = match random.below(4) {
            // The notes lie at the end, all other headers at the beginning.
            0 => bytes.len() - 1 - random.below(24),
            _ if bytes.len() == bzimage().len() => 0x1f1 + random.below(0x77),
            _ => random.below(200.min(bytes.len())),
        };
        let room = width.min(bytes.len() - at);
        bytes[at..at + room].copy_from_slice(&value.to_le_bytes()[..room]);
    }
    if random.below(8) == 0 {
        bytes.truncate(random.below(bytes.len()) + 1);
    }
}

/// What [`KernelImage::probe`] promises of every image.
fn assert_within_bounds(image: &KernelImage, file_size: u64) {
    for segment in &image.program.segments {
        assert!(segment.gpa >= BOOT_AREA_END, "{segment:?}");
        if segment.file_size > 0 {
            let end = segment.offset + segment.file_size;
            assert!(end <= file_size, "{segment:?}");
        }
        assert!(segment.file_size <= segment.memory_size, "{segment:?}");
        assert!(
            segment.memory_end() <= image.program.memory_end(),
            "{segment:?}"
        );
    }
}

#[test]
fn corrupt_kernels_never_panic_and_never_escape() {
    let kernels = kernels();
    let initrd = file(b"initrd");
    let mut random = Random::new();
    let (mut loaded, mut refused) = ([0; 7], [0; 7]);
    let mut slowest = Duration::ZERO;
    for round in 0..ROUNDS {
        let kind = round % kernels.len();
        let mut bytes = kernels[kind].1.clone();
        corrupt(&mut bytes, &mut random);
        let kernel = file(&bytes);
        let size = random.pick(&[2 * MIB, 3 * MIB - 4096, 16 * MIB]);
        let takes_initrd = kernels[kind].0 != BootAbi::Solo5;
        let initrd = (takes_initrd && random.below(2) == 0).then_some(&initrd);
        let begin = Instant::now();
        let probed = KernelImage::probe(&kernel);
        let entry = match &probed {
            Ok(image) => {
                let guest = image.allocate(size).unwrap();
                load_guest(&guest, size, image, (&kernel, initrd), &boot_params("a b"))
                    .map_err(|fault| fault.to_string())
            }
            Err(fault) => Err(fault.to_string()),
        };
        slowest = slowest.max(begin.elapsed());
        if let Ok(image) = &probed {
            assert_within_bounds(image, bytes.len() as u64);
            for memory in EDGES {
                let _ = image.check_fits(random.pick(&EDGES), memory);
            }
        }
        match entry {
            Ok(entry) => {
                assert_eq!(entry.rip, probed.unwrap().program.entry);
                loaded[kind] += 1;
            }
            Err(fault) => {
                assert!(!fault.contains('\n'), "{fault}");
                refused[kind] += 1;
            }
        }
    }
    // Else the corruption is too weak, or so strong that only the first check is tested.
    assert!(loaded.iter().all(|&n| n > 50), "loaded {loaded:?}");
    assert!(refused.iter().all(|&n| n > 50), "refused {refused:?}");
    assert!(slowest < Duration::from_secs(2), "{slowest:?} for one file");
}

#[test]
fn the_kernels_are_good_before_they_are_corrupted() {
    for (abi, bytes) in kernels() {
        assert_eq!(KernelImage::probe(&file(&bytes)).unwrap().abi(), abi);
    }
}
