//! Kernels of a few hundred bytes, good and bad, for decisions that start
//! nothing. Layout: ELF header, program headers, then the segments' bytes
//! (System V ABI, "Object Files").

const MACHINE_X86_64: u16 = 62;
const MACHINE_AARCH64: u16 = 183;
const PT_LOAD: u32 = 1;
const PT_NOTE: u32 = 4;

/// The start of the code, guest-physical.
const BASE: u64 = 0x20_0000;

/// The bytes of the kernel that a fixture names, such as `elf:pvh`.
pub fn kernel(kind: &str) -> Vec<u8> {
    match kind {
        "linux64" => elf64(MACHINE_X86_64, None, 64, 64),
        "pvh" => elf64(
            MACHINE_X86_64,
            Some(note(b"Xen\0", 18, &(BASE as u32).to_le_bytes())),
            64,
            64,
        ),
        "solo5" => solo5(1, &[]),
        "solo5-spt" => solo5(2, &[]),
        "solo5-disk" => solo5(1, &[("disk", BLOCK)]),
        "solo5-disks" => solo5(1, &[("system", BLOCK), ("data", BLOCK)]),
        "solo5-net" => solo5(1, &[("service", NET)]),
        "solo5-nets" => solo5(1, &[("front", NET), ("back", NET)]),
        "multiboot1" => multiboot1(),
        "unikraft" => {
            let info = [
                library(&[record(1, b"libposix_environ\0")]),
                library(&[record(7, b"0.16.3~e453b74\0")]),
            ];
            let environ = ".uk_libparam_params_libposix_environ";
            let sections = [(".uk_libinfo", &info.concat()[..]), (environ, &[0; 8])];
            with_sections(elf64(MACHINE_X86_64, None, 64, 64), &sections)
        }
        "unikraft-without-parameters" => {
            let kernel = elf64(MACHINE_X86_64, None, 64, 64);
            with_sections(kernel, &[(".uk_bootinfo", &[])])
        }
        "vmlinux" => {
            let kernel = elf64(MACHINE_X86_64, None, 64, 64);
            with_sections(kernel, &[(".init.text", &[]), (".altinstructions", &[])])
        }
        "aarch64" => elf64(MACHINE_AARCH64, None, 64, 64),
        "truncated" => {
            let mut bytes = elf64(MACHINE_X86_64, None, 64, 64);
            bytes.truncate(bytes.len() - 32);
            bytes
        }
        // Its bss takes 1 GiB.
        "huge" => elf64(MACHINE_X86_64, None, 64, 1 << 30),
        "script" => b"#!/bin/sh\necho not a kernel\n".to_vec(),
        "empty" => Vec::new(),
        other => match other.strip_prefix("gzip-") {
            Some(kind) => super::gzip(&kernel(kind)),
            None => panic!("no kernel of the kind {other}"),
        },
    }
}

/// An ELF64 executable of one loaded segment and perhaps a note.
fn elf64(machine: u16, note: Option<Vec<u8>>, file_size: u64, memory_size: u64) -> Vec<u8> {
    let headers = 1 + u64::from(note.is_some() as u8);
    let code_at = 64 + 56 * headers;
    let mut out = header(machine, headers as u16);
    program_header(&mut out, PT_LOAD, code_at, BASE, file_size, memory_size);
    if let Some(note) = &note {
        let size = note.len() as u64;
        program_header(
            &mut out,
            PT_NOTE,
            code_at + file_size,
            BASE + file_size,
            size,
            size,
        );
    }
    out.resize((code_at + file_size) as usize, 0xf4);
    out.extend(note.unwrap_or_default());
    out
}

/// The types of a Solo5 manifest's entries (Solo5, include/mft_abi.h).
const BLOCK: u32 = 1;
const NET: u32 = 2;
const RESERVED_FIRST: u32 = 1 << 30;

/// A Solo5 kernel for the target of this number (hvt: 1) that declares these devices.
fn solo5(target: u32, devices: &[(&str, u32)]) -> Vec<u8> {
    let words = |words: &[u32]| -> Vec<u8> { words.iter().flat_map(|w| w.to_le_bytes()).collect() };
    let abi = words(&[target, 2, 0, 0]);
    let mut manifest = words(&[0, 1, devices.len() as u32 + 1]);
    for (name, kind) in [("", RESERVED_FIRST)].iter().chain(devices) {
        let mut entry = name.as_bytes().to_vec();
        entry.resize(68, 0);
        entry.extend(kind.to_le_bytes());
        entry.resize(104, 0);
        manifest.extend(entry);
    }
    let notes = [
        note(b"Solo5\0", u32::from_le_bytes(*b"ABI1"), &abi),
        note(b"Solo5\0", u32::from_le_bytes(*b"MFT1"), &manifest),
    ];
    elf64(MACHINE_X86_64, Some(notes.concat()), 64, 64)
}

/// A Multiboot1 kernel with address fields, flat (Multiboot 0.6.96, 3.1.1 to 3.1.3).
fn multiboot1() -> Vec<u8> {
    const MAGIC: u32 = 0x1bad_b002;
    const ADDRESS_FIELDS: u32 = 1 << 16;
    let base = BASE as u32;
    let checksum = 0u32.wrapping_sub(MAGIC).wrapping_sub(ADDRESS_FIELDS);
    // header_addr, load_addr, load_end_addr, bss_end_addr, entry_addr.
    let words = [
        MAGIC,
        ADDRESS_FIELDS,
        checksum,
        base,
        base,
        base + 64,
        base + 64,
        base + 32,
    ];
    let mut out: Vec<u8> = words.iter().flat_map(|word| word.to_le_bytes()).collect();
    out.resize(64, 0xf4);
    out
}

fn header(machine: u16, program_headers: u16) -> Vec<u8> {
    let mut out = b"\x7fELF\x02\x01\x01".to_vec();
    out.resize(16, 0);
    out.extend(2u16.to_le_bytes()); // ET_EXEC
    out.extend(machine.to_le_bytes());
    out.extend(1u32.to_le_bytes());
    out.extend(BASE.to_le_bytes()); // entry
    out.extend(64u64.to_le_bytes()); // program headers follow
    out.extend(0u64.to_le_bytes());
    out.extend(0u32.to_le_bytes());
    for half in [64u16, 56, program_headers, 64, 0, 0] {
        out.extend(half.to_le_bytes());
    }
    out
}

fn program_header(out: &mut Vec<u8>, kind: u32, at: u64, address: u64, file: u64, memory: u64) {
    out.extend(kind.to_le_bytes());
    out.extend(5u32.to_le_bytes()); // readable, executable
    for field in [at, address, address, file, memory, 4] {
        out.extend(field.to_le_bytes());
    }
}

/// Appends sections and their headers, and names both in the ELF header.
fn with_sections(mut out: Vec<u8>, sections: &[(&str, &[u8])]) -> Vec<u8> {
    let mut names = vec![0];
    // Name, offset and size of each; the first is no section, the last are the names.
    let mut headers = vec![(0, 0, 0)];
    for (name, content) in sections {
        headers.push((names.len(), out.len(), content.len()));
        names.extend(name.as_bytes());
        names.push(0);
        out.extend(*content);
    }
    headers.push((0, out.len(), names.len()));
    out.extend(names);
    let at = out.len() as u64;
    for (name, offset, size) in &headers {
        let mut header = [0; 64];
        header[..4].copy_from_slice(&(*name as u32).to_le_bytes());
        header[24..32].copy_from_slice(&(*offset as u64).to_le_bytes());
        header[32..40].copy_from_slice(&(*size as u64).to_le_bytes());
        out.extend(header);
    }
    out[40..48].copy_from_slice(&at.to_le_bytes());
    out[60..62].copy_from_slice(&(headers.len() as u16).to_le_bytes());
    out[62..64].copy_from_slice(&(headers.len() as u16 - 1).to_le_bytes());
    out
}

/// A library in Unikraft's metadata, and a record of one (lib/uklibid's info.h).
fn library(records: &[Vec<u8>]) -> Vec<u8> {
    let records = records.concat();
    let len = 6 + records.len() as u32;
    [&len.to_le_bytes()[..], &1u16.to_le_bytes(), &records].concat()
}

fn record(kind: u16, text: &[u8]) -> Vec<u8> {
    let len = 6 + text.len() as u32;
    [&kind.to_le_bytes()[..], &len.to_le_bytes(), text].concat()
}

/// A note: name and descriptor padded to four bytes.
fn note(name: &[u8], kind: u32, descriptor: &[u8]) -> Vec<u8> {
    let mut out = Vec::new();
    out.extend((name.len() as u32).to_le_bytes());
    out.extend((descriptor.len() as u32).to_le_bytes());
    out.extend(kind.to_le_bytes());
    for part in [name, descriptor] {
        out.extend(part);
        out.resize(out.len().next_multiple_of(4), 0);
    }
    out
}
