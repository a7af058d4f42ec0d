//! The monitor through its public interface: tiny guests, assembled by hand, on the
//! host's /dev/kvm. The same bytes mean the same in 32-bit and in 64-bit mode, so each
//! guest is entered by every ABI.

use std::fs::File;
use std::io::{Read, Write};
use std::os::fd::OwnedFd;
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use runu::vmm::{
    BootAbi, Console, Crash, Files, GuestExit, KernelImage, MIN_MEMORY, Machine, MachineConfig,
};
use vmm_sys_util::signal::{Killable, SIGRTMAX, SIGRTMIN, block_signal};

const ABIS: [BootAbi; 3] = [BootAbi::Linux64, BootAbi::Pvh, BootAbi::Multiboot1];
const LOAD_ADDRESS: u32 = 0x10_0000;
const MEMORY: u64 = MIN_MEMORY;

/// Prints the command line, then exits with 7.
const PRINT_CMDLINE: &[u8] = &[
    0xbe, 0x00, 0x00, 0x02, 0x00, // mov esi, 0x20000
    0x66, 0xba, 0xf8, 0x03, // mov dx, 0x3f8
    0xac, // 9: lodsb
    0x84, 0xc0, // test al, al
    0x74, 0x03, // jz 17
    0xee, // out dx, al
    0xeb, 0xf8, // jmp 9
    0x66, 0xba, 0x01, 0x05, // 17: mov dx, 0x501
    0xb0, 0x07, // mov al, 7
    0xee, // out dx, al
    0xf4, // hlt
];

/// Sends back what comes in on COM1 up to and with a line feed, by polling, then exits
/// with 0.
const ECHO_LINE: &[u8] = &[
    0x66, 0xba, 0xfd, 0x03, // 0: mov dx, 0x3fd
    0xec, // in al, dx
    0xa8, 0x01, // test al, 1
    0x74, 0xf7, // jz 0
    0x66, 0xba, 0xf8, 0x03, // mov dx, 0x3f8
    0xec, // in al, dx
    0xee, // out dx, al
    0x3c, 0x0a, // cmp al, 10
    0x75, 0xed, // jne 0
    0x66, 0xba, 0x01, 0x05, // mov dx, 0x501
    0xb0, 0x00, // mov al, 0
    0xee, // out dx, al
    0xf4, // hlt
];

/// Sends one dot, then spins.
const DOT_AND_SPIN: &[u8] = &[
    0x66, 0xba, 0xf8, 0x03, // mov dx, 0x3f8
    0xb0, b'.', // mov al, '.'
    0xee, // out dx, al
    0xeb, 0xfe, // jmp $
];

/// Sends dots for ever.
const DOTS: &[u8] = &[
    0x66, 0xba, 0xf8, 0x03, // mov dx, 0x3f8
    0xb0, b'.', // mov al, '.'
    0xee, // out dx, al
    0xeb, 0xfd, // jmp to the out
];

/// cli; hlt
const HALT: &[u8] = &[0xfa, 0xf4];
/// ud2, without an interrupt table.
const TRIPLE_FAULT: &[u8] = &[0x0f, 0x0b];
/// mov al, 0xfe; out 0x64, al
const RESET: &[u8] = &[0xb0, 0xfe, 0xe6, 0x64, 0xf4];

#[test]
fn every_abi_is_recognised_and_gets_its_command_line_through() {
    for abi in ABIS {
        let kernel = kernel(abi, PRINT_CMDLINE);
        assert_eq!(KernelImage::probe(&kernel).unwrap().abi, abi);
        let Some(guest) = Guest::start(kernel, "guest a=b -- c") else {
            return;
        };
        assert_eq!(
            guest.finish(),
            ("guest a=b -- c".to_owned(), GuestExit::Code(7)),
            "{abi}"
        );
    }
}

#[test]
fn input_longer_than_the_fifo_arrives_whole() {
    for abi in ABIS {
        let Some(mut guest) = Guest::start(kernel(abi, ECHO_LINE), "") else {
            return;
        };
        let line = format!("{}\n", "0123456789".repeat(50));
        guest.input.write_all(line.as_bytes()).unwrap();
        assert_eq!(guest.finish(), (line, GuestExit::Code(0)), "{abi}");
    }
}

#[test]
fn ends_without_a_code_are_told_apart() {
    for (code, exit) in [
        (HALT, GuestExit::Crashed(Crash::Halted { rip: 0x10_0002 })),
        (
            TRIPLE_FAULT,
            GuestExit::Crashed(Crash::TripleFault {
                rip: Some(0x10_0000),
            }),
        ),
        (RESET, GuestExit::Reset),
    ] {
        for abi in ABIS {
            let Some(guest) = Guest::start(kernel(abi, code), "") else {
                return;
            };
            let (said, mut ended) = guest.finish();
            if let GuestExit::Crashed(Crash::TripleFault { rip }) = &mut ended {
                // An AMD vCPU is reset before anyone can see where it was.
                rip.get_or_insert(0x10_0000);
            }
            assert_eq!((said, ended), (String::new(), exit.clone()), "{abi}");
        }
    }
}

#[test]
fn a_signal_ends_a_spinning_guest_at_once() {
    let Some(mut guest) = Guest::start(kernel(BootAbi::Pvh, DOT_AND_SPIN), "") else {
        return;
    };
    // Once there is output the signal is no longer delivered but read.
    guest.output.read_exact(&mut [0]).unwrap();
    let sent = Instant::now();
    guest.machine.kill(SIGRTMIN() + 3).unwrap();
    let (_, exit) = guest.finish();
    assert_eq!(exit, GuestExit::Signalled(SIGRTMIN() + 3));
    assert!(
        sent.elapsed() < Duration::from_secs(2),
        "{:?}",
        sent.elapsed()
    );
}

/// A signal mask outlives execve: whoever calls may have blocked the very signal by which
/// the vCPU is made to stop.
#[test]
fn a_guest_can_be_ended_whatever_signals_the_caller_blocked() {
    let blocked = std::thread::spawn(|| {
        block_signal(SIGRTMAX()).unwrap();
        Guest::start(kernel(BootAbi::Pvh, DOT_AND_SPIN), "")
    });
    let Some(mut guest) = blocked.join().unwrap() else {
        return;
    };
    guest.output.read_exact(&mut [0]).unwrap();
    guest.machine.kill(SIGRTMIN() + 3).unwrap();
    assert_eq!(guest.finish().1, GuestExit::Signalled(SIGRTMIN() + 3));
}

#[test]
fn a_signal_ends_a_guest_whose_output_nobody_reads() {
    let Some(guest) = Guest::start(kernel(BootAbi::Pvh, DOTS), "") else {
        return;
    };
    // Long enough to fill the pipe; if not, the guest still writes, and the test holds.
    std::thread::sleep(Duration::from_millis(1500));
    guest.machine.kill(SIGRTMIN() + 3).unwrap();
    let exit = guest.machine.join().unwrap();
    assert_eq!(exit, GuestExit::Signalled(SIGRTMIN() + 3));
}

/// A guest that runs in a thread of this process, with pipes for its console.
struct Guest {
    input: File,
    output: File,
    machine: JoinHandle<GuestExit>,
}

impl Guest {
    /// `None`, with the reason printed, where there is no /dev/kvm.
    fn start(kernel: File, cmdline: &str) -> Option<Guest> {
        let kvm = match File::options().read(true).write(true).open("/dev/kvm") {
            Ok(kvm) => kvm,
            Err(e) => {
                println!("SKIPPED: /dev/kvm cannot be opened: {e}");
                return None;
            }
        };
        let config = MachineConfig {
            memory: MEMORY,
            cmdline: cmdline.to_owned(),
        };
        let files = Files {
            kvm,
            kernel,
            initrd: None,
        };
        let (guest_input, input) = pipe();
        let (output, guest_output) = pipe();
        let console = Console {
            input: Some(guest_input),
            output: Some(guest_output),
        };
        let machine =
            std::thread::spawn(move || Machine::new(&config, files).unwrap().run_on(console));
        Some(Guest {
            input,
            output,
            machine,
        })
    }

    /// All output that is left, and how the guest ended.
    fn finish(mut self) -> (String, GuestExit) {
        let mut text = String::new();
        self.output.read_to_string(&mut text).unwrap();
        (text, self.machine.join().unwrap())
    }
}

fn pipe() -> (File, File) {
    let (reader, writer) = std::io::pipe().unwrap();
    (
        File::from(OwnedFd::from(reader)),
        File::from(OwnedFd::from(writer)),
    )
}

/// A kernel of the given ABI whose first instruction is the first byte of `code`.
fn kernel(abi: BootAbi, code: &[u8]) -> File {
    let bytes = match abi {
        BootAbi::Linux64 => elf64(code, &[]),
        BootAbi::Pvh => elf64(code, &pvh_note()),
        BootAbi::Multiboot1 => flat_multiboot(code),
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
