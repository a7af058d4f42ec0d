//! Kernel files: what is found of one, whether it fits into a machine, and its loading.
//!
//! Every loader has a fuzzer of its own, which plants into an input what leads to that loader.

use std::fs::File;
use std::io::{Seek, Write};
use std::sync::{LazyLock, Mutex, PoisonError};

use runu::vmm::{self, KernelImage, MachineConfig};

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
        cmdline: "kernel a=b".to_owned(),
    };
    let loaded = vmm::rehearse(&config, &file, initrd.as_ref());
    match vmm::check_fits(&image, initrd_size, memory) {
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

/// Writes `bytes` at `at`, behind zeros if need be.
fn put(kernel: &mut Vec<u8>, at: usize, bytes: &[u8]) {
    let end = at + bytes.len();
    if kernel.len() < end {
        kernel.resize(end, 0);
    }
    kernel[at..end].copy_from_slice(bytes);
}
