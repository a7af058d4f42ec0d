//! bzImages around code that is no Linux (Documentation/arch/x86/boot.rst).

use object::LittleEndian;
use object::elf::FileHeader64;
use object::read::elf::{FileHeader, ProgramHeader};

/// The 64-bit entry, from where the kernel is loaded.
const ENTRY: u64 = 0x200;
/// The real-mode part: the boot sector and one more.
const SETUP: usize = 0x400;

/// A bzImage of protocol 2.15 whose 64-bit entry is the first byte of `code`, at
/// guest-physical `entry`.
pub fn around(entry: u64, code: &[u8]) -> Vec<u8> {
    let mut kernel = vec![0xf4; ENTRY as usize];
    kernel.extend(code);
    kernel.resize(kernel.len().next_multiple_of(16), 0);
    with_kernel(entry - ENTRY, &kernel, kernel.len())
}

/// A bzImage that has the segments of `elf`, an ELF64 executable, at their places, and jumps
/// to its entry.
pub fn of_elf(elf: &[u8]) -> Vec<u8> {
    const JUMP_SIZE: u64 = 5;
    let endian = LittleEndian;
    let header = FileHeader64::<LittleEndian>::parse(elf).unwrap();
    let segments = header.program_headers(endian, elf).unwrap();
    let segments = segments
        .iter()
        .filter(|segment| segment.p_type(endian) == object::elf::PT_LOAD);
    let load = segments.clone().map(|s| s.p_paddr(endian)).min().unwrap();
    // The page below is for the jump.
    let load = load - 0x1000;
    let mut kernel = vec![0; 0x1000];
    let mut end = 0;
    for segment in segments {
        let at = (segment.p_paddr(endian) - load) as usize;
        let data = segment.data(endian, elf).unwrap();
        kernel.resize(kernel.len().max(at + data.len()), 0);
        kernel[at..at + data.len()].copy_from_slice(data);
        end = end.max(at + segment.p_memsz(endian) as usize);
    }
    let distance = header.e_entry(endian) - (load + ENTRY + JUMP_SIZE);
    let at = ENTRY as usize;
    kernel[at] = 0xe9; // jmp rel32
    kernel[at + 1..at + 5].copy_from_slice(&(distance as u32).to_le_bytes());
    kernel.resize(kernel.len().next_multiple_of(16), 0);
    with_kernel(load, &kernel, end.max(kernel.len()))
}

fn with_kernel(load: u64, kernel: &[u8], init_size: usize) -> Vec<u8> {
    let mut image = vec![0; SETUP];
    let mut put = |at: usize, field: &[u8]| image[at..at + field.len()].copy_from_slice(field);
    put(0x1f1, &[(SETUP / 512 - 1) as u8]); // setup_sects
    put(0x1f4, &(kernel.len() as u32 / 16).to_le_bytes()); // syssize
    put(0x1fe, &[0x55, 0xaa, 0xeb, 0x66]);
    put(0x202, b"HdrS");
    put(0x206, &0x20fu16.to_le_bytes());
    put(0x22c, &0x7fff_ffffu32.to_le_bytes()); // initrd_addr_max
    put(0x236, &1u16.to_le_bytes()); // xloadflags: a 64-bit entry
    put(0x238, &2047u32.to_le_bytes()); // cmdline_size
    put(0x258, &load.to_le_bytes()); // pref_address
    put(0x260, &(init_size as u32).to_le_bytes());
    image.extend(kernel);
    image
}
