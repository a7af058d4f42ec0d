//! Kernel files: what is found of one, whether it fits into a machine, and its loading.
//!
//! Every loader has a fuzzer of its own, which plants into an input what leads to that loader.

use std::fs::File;
use std::io::{Seek, Write};
use std::sync::{LazyLock, Mutex, PoisonError};

use vmm::{self, KernelImage, MachineConfig, Transport};

const MIB: u64 = 1 << 20;

/// Sizes of machines, in bytes: the least, ordinary ones, one with memory past the hole.
const MEMORY: [u64; 4] = [2 * MIB, 8 * MIB, 256 * MIB, 5 << 30];

/// One file for all inputs: making one costs more than a run.
static KERNEL: LazyLock<Mutex<File>> =
    LazyLock::new(|| Mutex::new(tempfile::tempfile().expect("a file")));

/// The first byte chooses the machine and whether there is an initrd, the rest is the kernel.
fn with_first_byte(input: &[u8], plant: fn(&mut Vec<u8>)) {
    let Some((first, rest)) = input.split_first() else {
        return;
    };
    let mut kernel = rest.to_vec();
    plant(&mut kernel);
    try_out(
        &kernel,
        MEMORY[usize::from(first & 3)],
        u64::from(first >> 2) * 8192,
    );
}

/// What was found once is found again; what is said to fit can be loaded.
fn try_out(kernel: &[u8], memory: u64, initrd_size: u64) {
    let mut file = KERNEL.lock().unwrap_or_else(PoisonError::into_inner);
    file.set_len(0).expect("an empty file");
    file.rewind().expect("its beginning");
    file.write_all(kernel).expect("the input, written");
    let image = match KernelImage::probe(&file) {
        Ok(image) => image,
        Err(why) => return one_line(&why.to_string()),
    };
    assert_eq!(KernelImage::probe(&file).expect("the same"), image);
    let initrd = (initrd_size > 0).then(|| initrd(initrd_size));
    let config = MachineConfig {
        memory,
        vcpus: 1 + (initrd_size / 8192 % 4) as u8,
        cmdline: "kernel a=b".to_owned(),
        transport: Transport::default(),
    };
    let loaded = vmm::dry_run(&config, &file, initrd.as_ref());
    match image.check_fits(initrd_size, memory) {
        // How long a line it takes a kernel says itself.
        Ok(()) if matches!(loaded, Err(vmm::Error::CmdlineTooLong { .. })) => {}
        Ok(()) => loaded.expect("what fits is loaded"),
        Err(why) => {
            one_line(&why.to_string());
            assert!(loaded.is_err(), "{why}, and yet it was loaded");
        }
    }
}

fn one_line(why: &str) {
    assert!(!why.contains('\n') && why.len() < 1000, "{why}");
}

fn initrd(size: u64) -> File {
    let file = tempfile::tempfile().expect("a file");
    file.set_len(size).expect("its size");
    file
}

/// Any file.
pub fn any(input: &[u8]) {
    with_first_byte(input, |_| {});
}

/// ELF files, of both classes, with program headers that lie behind the header.
pub fn elf(input: &[u8]) {
    with_first_byte(input, plant_elf);
}

fn plant_elf(kernel: &mut Vec<u8>) {
    let class64 = kernel.first().is_none_or(|byte| byte & 1 == 0);
    let headers = kernel.get(1).map_or(1, |byte| 1 + byte % 6);
    put(kernel, 0, b"\x7fELF");
    put(kernel, 4, &[1 + u8::from(class64), 1, 1]);
    let (machine, header, entry) = if class64 { (62, 64, 56) } else { (3, 52, 32) };
    put(kernel, 18, &[machine, 0]);
    let (phoff, phentsize) = if class64 { (32, 54) } else { (28, 42) };
    put(kernel, phoff, &[header, 0, 0, 0]);
    if class64 {
        put(kernel, phoff + 4, &[0; 4]);
    }
    put(kernel, phentsize, &[entry, 0, headers, 0]);
    let table = usize::from(header) + usize::from(entry) * usize::from(headers);
    if kernel.len() < table {
        kernel.resize(table, 0);
    }
}

/// bzImages (Documentation/arch/x86/boot.rst, "The Real-Mode Kernel Header").
pub fn bzimage(input: &[u8]) {
    with_first_byte(input, |kernel| {
        put(kernel, 0x1fe, &[0x55, 0xaa]);
        put(kernel, 0x202, b"HdrS");
        // Protocol 2.12 or later, with a 64-bit entry.
        put(kernel, 0x207, &[2]);
        kernel[0x206] |= 0xc;
        put(kernel, 0x237, &[0]);
        kernel[0x236] |= 1;
        kernel.truncate(1 << 16);
    });
}

/// Where a planted note segment begins.
const NOTES: usize = 0x200;

/// Solo5's executables: two notes, ABI1 and MFT1 (solo5's elf_abi.h and mft_abi.h).
pub fn solo5(input: &[u8]) {
    with_first_byte(input, |kernel| {
        let entries = kernel.get(2).map_or(1, |byte| byte % 5);
        let size = 4 + 8 + 104 * u32::from(entries);
        plant_notes(kernel, 28 + 20 + size as usize);
        put(
            kernel,
            NOTES,
            &note_header(b"Solo5\0\0\0", 6, 8, 0x3149_4241),
        );
        // For hvt, version 2.
        put(kernel, NOTES + 20, &[1, 0, 0, 0, 2, 0, 0, 0]);
        let manifest = NOTES + 28;
        put(
            kernel,
            manifest,
            &note_header(b"Solo5\0\0\0", 6, size, 0x3154_464d),
        );
        put(kernel, manifest + 24, &[1, 0, 0, 0, entries, 0, 0, 0]);
    });
}

/// Hermit's kernels: its entry note, and perhaps uhyve's interface.
pub fn hermit(input: &[u8]) {
    with_first_byte(input, |kernel| {
        let speaks_uhyve = kernel.get(2).is_none_or(|byte| byte & 3 != 0);
        plant_notes(kernel, if speaks_uhyve { 48 } else { 24 });
        put(kernel, NOTES, &note_header(b"HERMIT\0\0", 7, 1, 0x5a00));
        put(kernel, NOTES + 20, &[4]);
        if speaks_uhyve {
            put(kernel, NOTES + 24, &note_header(b"UHYVEIF\0", 8, 4, 0x5b00));
        }
    });
}

/// A 64-bit ELF file whose second program header is for notes of `size` bytes at [`NOTES`],
/// and perhaps for some bytes more.
fn plant_notes(kernel: &mut Vec<u8>, size: usize) {
    put(kernel, 0, &[0x7e]);
    if kernel.get(1).is_none_or(|byte| byte % 6 == 0) {
        put(kernel, 1, &[1]);
    }
    let more = kernel.get(3).map_or(0, |byte| usize::from(byte >> 5)) * 4;
    plant_elf(kernel);
    let end = NOTES + size + more;
    if kernel.len() < end {
        kernel.resize(end, 0);
    }
    let header = 64 + 56;
    put(kernel, header, &[4, 0, 0, 0]);
    put(kernel, header + 8, &(NOTES as u64).to_le_bytes());
    put(kernel, header + 32, &((size + more) as u64).to_le_bytes());
    put(kernel, header + 48, &[4, 0, 0, 0, 0, 0, 0, 0]);
}

/// The head of an ELF note with a name of 8 bytes, padding included.
fn note_header(name: &[u8; 8], name_size: u32, size: u32, kind: u32) -> Vec<u8> {
    let numbers = [name_size, size, kind].map(u32::to_le_bytes);
    [numbers.as_flattened(), name].concat()
}

/// Writes `bytes` at `at`, behind zeros if need be.
fn put(kernel: &mut Vec<u8>, at: usize, bytes: &[u8]) {
    let end = at + bytes.len();
    if kernel.len() < end {
        kernel.resize(end, 0);
    }
    kernel[at..end].copy_from_slice(bytes);
}
