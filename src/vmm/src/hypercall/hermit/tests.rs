//! Calls that a guest makes wrong, and others that no guest makes by accident.

use std::fs::File;
use std::os::fd::OwnedFd;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;

use vm_memory::{Bytes, GuestAddress};

use super::args::ProgramArgs;
use super::files::Files;
use super::*;
use crate::console::Output;
use crate::exit::Crash;
use crate::exit::GuestExit;
use crate::hypercall::fault::HypercallFault;
use crate::memory;

/// Guest memory of 2 MiB, calls of either interface, and a root with a file `file`.
struct Guest {
    memory: GuestMemory,
    calls: Hermit,
    root: tempfile::TempDir,
}

/// A vCPU whose virtual addresses are 1 MiB below what they mean, up to the second MiB.
struct Shifted {
    rdi: u64,
}

const SHIFT: u64 = 1 << 20;

impl Cpu for Shifted {
    fn rdi(&self) -> Result<u64, HypercallFault> {
        Ok(self.rdi)
    }

    fn translate(&self, gva: u64) -> Option<u64> {
        // Every second page lies elsewhere.
        let odd = gva & 0x1000;
        (gva < SHIFT).then_some(gva + SHIFT - odd * 2)
    }
}

fn guest(interface: Interface) -> Guest {
    let root = tempfile::tempdir().unwrap();
    std::fs::write(root.path().join("file"), "content").unwrap();
    let dir = OwnedFd::from(File::open(root.path()).unwrap());
    Guest {
        memory: memory::allocate(2 << 20).unwrap(),
        calls: Hermit::new(interface, Some(Root(dir)), "app"),
        root,
    }
}

impl Guest {
    fn put(&self, gpa: u64, bytes: &[u8]) {
        self.memory.write_slice(bytes, GuestAddress(gpa)).unwrap();
    }

    fn put_words(&self, gpa: u64, words: &[u64]) {
        for (i, word) in (0..).zip(words) {
            self.put(gpa + 8 * i, &word.to_le_bytes());
        }
    }

    fn int(&self, gpa: u64) -> i32 {
        self.memory.read_obj(GuestAddress(gpa)).unwrap()
    }

    /// Makes a call whose structure lies at `gpa`.
    fn call(&mut self, port: u16, gpa: u64) -> Option<Called> {
        let data = (gpa as u32).to_le_bytes();
        let cpu = Shifted { rdi: gpa };
        self.calls.write(port, &data, &self.memory, &cpu)
    }

    #[track_caller]
    fn fault(&mut self, port: u16, gpa: u64) -> String {
        match self.call(port, gpa) {
            Some(Called::Ended(GuestExit::Crashed(crash @ Crash::Hypercall { .. }))) => {
                crash.to_string()
            }
            other => panic!("{other:?}"),
        }
    }

    /// Opens `file`.
    fn open(&mut self, port: u16) -> i32 {
        self.put(0x100, b"/file\0");
        self.put_words(0x200, &[0x100, 2, 0]);
        assert_eq!(self.call(port, 0x200), Some(Called::Done));
        self.int(0x210)
    }
}

/// A vCPU on which every virtual address means the last page.
struct Endless;

impl Cpu for Endless {
    fn rdi(&self) -> Result<u64, HypercallFault> {
        Ok(0)
    }

    fn translate(&self, gva: u64) -> Option<u64> {
        Some(END - 0x1000 + gva % 0x1000)
    }
}

const END: u64 = 2 << 20;

/// One page mapped everywhere is a buffer of any length.
#[test]
fn a_guest_that_is_to_stop_moves_no_more() {
    let mut guest = guest(Interface::V1);
    let file = File::options()
        .write(true)
        .open(guest.root.path().join("file"));
    file.unwrap().set_len(1 << 40).unwrap();
    let fd = guest.open(0x440);
    let said = tempfile::tempfile().unwrap();
    let stop = Arc::new(AtomicBool::new(true));
    let output = Output::new(Some(said.try_clone().unwrap()), stop);
    guest.calls.connect(output, None);
    for (port, fd) in [(0x400, 1), (0x400, fd), (0x500, fd)] {
        // Packed: fd, address, length.
        guest.put(0x200, &fd.to_le_bytes());
        guest.put(0x204, &0_u64.to_le_bytes());
        guest.put(0x20c, &u64::MAX.to_le_bytes());
        let structure = 0x200_u32.to_le_bytes();
        let memory = &guest.memory;
        let called = guest.calls.write(port, &structure, memory, &Endless);
        assert_eq!(called, Some(Called::Done), "port {port:#x}, fd {fd}");
    }
    assert!(said.metadata().unwrap().len() <= 64 << 10);
}

#[test]
fn structures_and_buffers_lie_in_memory_or_the_guest_ends() {
    for port in [
        0x400, 0x440, 0x480, 0x500, 0x540, 0x580, 0x740, 0x780, 0x840, 0x880,
    ] {
        let fault = guest(Interface::V1).fault(port, END - 3);
        assert!(
            fault.contains("not in the guest's memory"),
            "{port:#x}: {fault}"
        );
    }
    for port in (0x1100..=0x1190).step_by(0x10).chain([0x1030]) {
        for gpa in [END - 3, u64::MAX, u64::MAX - 64] {
            let fault = guest(Interface::V2).fault(port, gpa);
            assert!(
                fault.contains("not in the guest's memory"),
                "{port:#x}: {fault}"
            );
        }
    }
}

#[test]
fn a_path_that_does_not_end_is_an_error_or_the_guests_end() {
    let mut guest = guest(Interface::V2);
    guest.put(0x1000, &[b'a'; 5000]);
    guest.put_words(0x200, &[0x1000, 0, 0]);
    assert_eq!(guest.call(0x1110, 0x200), Some(Called::Done));
    assert_eq!(guest.int(0x210), -22);
    guest.put(END - 16, &[b'a'; 16]);
    guest.put_words(0x200, &[END - 16, 0, 0]);
    assert!(guest.fault(0x1110, 0x200).contains("hypercall open"));
}

/// Interface 1 names buffers by virtual addresses, whose pages lie anywhere.
#[test]
fn a_buffer_is_followed_page_by_page() {
    let mut guest = guest(Interface::V1);
    let fd = guest.open(0x440);
    assert_eq!(fd, 3);
    // Five bytes, the last three of which lie on another page.
    let gva: u64 = 0x1_0ffe;
    let call = [
        &fd.to_le_bytes()[..],
        &gva.to_le_bytes(),
        &5u64.to_le_bytes(),
        &[0; 8],
    ]
    .concat();
    guest.put(0x300, &call);
    assert_eq!(guest.call(0x500, 0x300), Some(Called::Done));
    assert_eq!(guest.int(0x314), 5);
    let bytes = |gpa| {
        let mut bytes = [0; 3];
        guest
            .memory
            .read_slice(&mut bytes, GuestAddress(gpa))
            .unwrap();
        bytes
    };
    assert_eq!(&bytes(SHIFT + 0x1_0ffe)[..2], b"co");
    assert_eq!(&bytes(SHIFT + 0x1_1000 - 0x2000), b"nte");
    let far = [
        &fd.to_le_bytes()[..],
        &SHIFT.to_le_bytes(),
        &1u64.to_le_bytes(),
        &[0; 8],
    ]
    .concat();
    guest.put(0x300, &far);
    assert!(guest.fault(0x500, 0x300).contains("is not mapped"));
}

#[test]
fn ports_that_are_no_calls_are_left_to_devices() {
    for (interface, port) in [
        (Interface::V1, 0x3f8),
        (Interface::V1, 0x1100),
        (Interface::V2, 0x3f8),
        (Interface::V2, 0x400),
        (Interface::V2, 0x1101),
    ] {
        assert_eq!(guest(interface).call(port, 0), None, "{port:#x}");
    }
    let mut first = guest(Interface::V1);
    let byte = first
        .calls
        .write(0x400, &[1], &first.memory, &Shifted { rdi: 0 });
    assert_eq!(byte, None, "a call is a write of 32 bits");
}

#[test]
fn the_exit_code_is_a_programs() {
    for (code, status) in [(0u32, 0), (7, 7), (256, 0), (u32::MAX, 255)] {
        let mut first = guest(Interface::V1);
        first.put(0x200, &code.to_le_bytes());
        let exit = Some(Called::Ended(GuestExit::Code(status)));
        assert_eq!(first.call(0x540, 0x200), exit);
        assert_eq!(guest(Interface::V2).call(0x1010, code.into()), exit);
    }
}

#[test]
fn words_without_room_end_the_guest() {
    let mut guest = guest(Interface::V1);
    let many = vec!["x"; 129].join(" ");
    guest.calls.program_args = ProgramArgs::of(&many);
    assert!(guest.fault(0x740, 0x200).contains("129 words"));
    guest.calls.program_args = ProgramArgs::of("app -- x");
    guest.put_words(0x200, &[0x400, 0]);
    guest.put_words(0x400, &[0x500, END]);
    assert!(guest.fault(0x780, 0x200).contains("hypercall cmdval"));
}

#[test]
fn without_a_root_there_are_no_files() {
    let mut guest = guest(Interface::V2);
    guest.calls.files = Files::new(None);
    assert_eq!(guest.open(0x1110), -2);
    // And no descriptor that was never given.
    for fd in [3, 66, i32::MAX, i32::MIN] {
        guest.put(0x200, &fd.to_le_bytes());
        guest.call(0x1120, 0x200);
        assert_eq!(guest.int(0x204), -9);
    }
}
