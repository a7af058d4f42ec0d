//! The calls over a memory of 2 MiB, without a processor.

use std::fs::File;
use std::io::{Read, Seek, SeekFrom, Write};
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixDatagram;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::time::{Duration, Instant};

use vm_memory::{Bytes, GuestAddress};

use super::*;
use crate::boot::solo5::manifest::{Device, Kind, Manifest};
use crate::boot::testing::Random;
use crate::config::{BlockDevice, NetDevice};
use crate::memory;

const SIZE: u64 = 2 << 20;
/// Where the structure of the call lies, and the data that it points to.
const ARGS: u64 = 0x1000;
const DATA: u64 = 0x2000;
/// Handles.
const DISK: u64 = 1;
const NET: u64 = 2;

struct Guest {
    memory: GuestMemory,
    solo5: Solo5,
    disk: File,
    wire: UnixDatagram,
}

fn guest(disk: &[u8], read_only: bool) -> Guest {
    let device = |kind, name: &str| Device {
        kind,
        name: name.to_owned(),
        attached: None,
    };
    let mut manifest = Manifest {
        devices: vec![device(Kind::Block, "disk"), device(Kind::Net, "net")],
    };
    let mut image = tempfile::tempfile().unwrap();
    image.write_all(disk).unwrap();
    let block = BlockDevice {
        name: "disk".to_owned(),
        image: image.try_clone().unwrap(),
        read_only,
    };
    let (ours, wire) = UnixDatagram::pair().unwrap();
    let net = NetDevice {
        name: "net".to_owned(),
        packets: OwnedFd::from(ours),
        mac: [2, 0, 0, 0, 0, 1],
        mtu: 1500,
    };
    let devices = Devices::attach(&mut manifest, vec![block], vec![net]).unwrap();
    Guest {
        memory: memory::allocate(SIZE).unwrap(),
        solo5: Solo5::new(devices),
        disk: image,
        wire,
    }
}

impl Guest {
    /// Makes call `n` with a structure of these words; gives what came of it.
    fn call(&mut self, n: u16, words: &[u64]) -> Called {
        for (i, word) in (0..).zip(words) {
            self.memory
                .write_obj(*word, GuestAddress(ARGS + 8 * i))
                .unwrap();
        }
        let gpa = (ARGS as u32).to_le_bytes();
        self.solo5.write(SOLO5_HYPERCALLS + n, &gpa, &self.memory)
    }

    /// Makes a call that must be carried out; gives the i32 at `at`.
    #[track_caller]
    fn returned(&mut self, n: usize, words: &[u64], at: u64) -> i32 {
        assert_eq!(self.call(n as u16, words), Called::Done);
        self.memory.read_obj(GuestAddress(ARGS + at)).unwrap()
    }

    /// Makes a call that must end the guest; gives the fault.
    #[track_caller]
    fn fault(&mut self, n: usize, words: &[u64]) -> String {
        match self.call(n as u16, words) {
            Called::Ended(GuestExit::Crashed(crash)) => crash.to_string(),
            other => panic!("{other:?}"),
        }
    }

    fn word(&self, gpa: u64) -> u64 {
        self.memory.read_obj(GuestAddress(gpa)).unwrap()
    }

    fn data(&self, len: usize) -> Vec<u8> {
        let mut data = vec![0; len];
        self.memory
            .read_slice(&mut data, GuestAddress(DATA))
            .unwrap();
        data
    }

    fn put(&self, data: &[u8]) {
        self.memory.write_slice(data, GuestAddress(DATA)).unwrap();
    }
}

#[test]
fn what_is_put_is_one_write() {
    let mut guest = guest(&[0; 512], false);
    let (mut reader, writer) = std::io::pipe().unwrap();
    let output = Output::new(Some(File::from(OwnedFd::from(writer))), Default::default());
    guest.solo5.connect(output);
    guest.put(b"hello");
    assert_eq!(guest.call(2, &[DATA, 5]), Called::Done);
    assert_eq!(guest.call(2, &[DATA, 0]), Called::Done);
    let mut text = [0; 64];
    assert_eq!(reader.read(&mut text).unwrap(), 5);
    assert_eq!(&text[..5], b"hello");
}

/// A call may name all of the guest's memory; whoever stops the guest does not wait for that.
#[test]
fn a_guest_that_is_to_stop_moves_no_more() {
    let mut guest = guest(&[7; 1 << 20], false);
    let stop = Arc::new(AtomicBool::new(true));
    let mut said = tempfile::tempfile().unwrap();
    let output = Output::new(Some(said.try_clone().unwrap()), stop);
    guest.solo5.connect(output);
    guest.call(2, &[0, SIZE]);
    let len = said.seek(SeekFrom::End(0)).unwrap();
    assert!(len <= 64 << 10, "one part at most: {len}");
    guest.call(5, &[DISK, 0, DATA, 1 << 20, 99]);
    assert_eq!(guest.data(1 << 20), vec![0; 1 << 20]);
    guest.call(4, &[DISK, 0, DATA, 1 << 20, 99]);
    let mut disk = Vec::new();
    { &guest.disk }.rewind().unwrap();
    { &guest.disk }.read_to_end(&mut disk).unwrap();
    assert!(disk.iter().all(|&byte| byte == 7));
}

#[test]
fn walltime_is_the_hosts() {
    let mut guest = guest(&[0; 512], false);
    assert_eq!(guest.call(1, &[0]), Called::Done);
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap();
    let told = Duration::from_nanos(guest.word(ARGS));
    assert!(now >= told && now - told < Duration::from_secs(60));
}

#[test]
fn blocks_are_written_and_read_within_the_disk() {
    let mut guest = guest(&[7; 1536], false);
    guest.put(&[9; 512]);
    assert_eq!(guest.returned(4, &[DISK, 512, DATA, 512, 99], 32), 0);
    guest.put(&[0; 1536]);
    assert_eq!(guest.returned(5, &[DISK, 0, DATA, 1536, 99], 32), 0);
    let expected = [[7; 512], [9; 512], [7; 512]].concat();
    assert_eq!(guest.data(1536), expected);
    // Past the end, in whole or in part; misaligned; lengths that wrap; other handles.
    for (handle, offset, len) in [
        (DISK, 1536, 512),
        (DISK, 1024, 1024),
        (DISK, 1, 512),
        (DISK, 512, 100),
        (DISK, u64::MAX - 511, 512),
        (DISK, 1 << 63, 512),
        (0, 0, 512),
        (NET, 0, 512),
        (3, 0, 512),
        (u64::MAX, 0, 512),
    ] {
        for call in [4, 5] {
            let words = [handle, offset, DATA, len, 99];
            let returned = guest.returned(call, &words, 32);
            assert_eq!(returned, 2, "call {call} of {words:?}");
        }
    }
    let mut disk = Vec::new();
    { &guest.disk }.read_to_end(&mut disk).unwrap();
    assert_eq!(guest.disk.metadata().unwrap().len(), 1536, "never longer");
}

#[test]
fn a_read_only_disk_takes_no_writes_and_a_shrunk_one_is_an_error() {
    let mut guest = guest(&[7; 1024], true);
    assert_eq!(guest.returned(4, &[DISK, 0, DATA, 512, 99], 32), 2);
    assert_eq!(guest.returned(5, &[DISK, 0, DATA, 512, 99], 32), 0);
    guest.disk.set_len(512).unwrap();
    assert_eq!(guest.returned(5, &[DISK, 512, DATA, 512, 99], 32), 3);
}

#[test]
fn packets_come_and_go_whole() {
    let mut guest = guest(&[0; 512], false);
    assert_eq!(guest.returned(7, &[NET, DATA, 1514, 99], 24), 1, "again");
    guest.put(b"a packet");
    assert_eq!(guest.returned(6, &[NET, DATA, 8, 99], 24), 0);
    let mut packet = [0; 64];
    assert_eq!(guest.wire.recv(&mut packet).unwrap(), 8);
    assert_eq!(&packet[..8], b"a packet");
    guest.wire.send(b"an answer").unwrap();
    assert_eq!(guest.returned(7, &[NET, DATA, 1514, 99], 24), 0);
    assert_eq!(
        (guest.word(ARGS + 16), guest.data(9)),
        (9, b"an answer".to_vec())
    );
    assert_eq!(guest.returned(6, &[DISK, DATA, 8, 99], 24), 2);
    assert_eq!(guest.returned(6, &[NET, DATA, 1 << 17, 99], 24), 2);
}

#[test]
fn packets_that_nobody_takes_are_lost_and_never_block() {
    let mut guest = guest(&[0; 512], false);
    for _ in 0..2000 {
        assert_eq!(guest.returned(6, &[NET, DATA, 1514, 99], 24), 0);
    }
}

#[test]
fn poll_waits_for_time_or_for_a_packet() {
    let mut guest = guest(&[0; 512], false);
    let begin = Instant::now();
    assert_eq!(guest.returned(3, &[20_000_000, 99, 99], 16), 0);
    assert!(begin.elapsed() >= Duration::from_millis(20));
    assert_eq!(guest.word(ARGS + 8), 0);
    guest.wire.send(b"x").unwrap();
    // For ever, if nothing came.
    assert_eq!(guest.returned(3, &[u64::MAX, 99, 99], 16), 1);
    assert_eq!(guest.word(ARGS + 8), 1 << NET);
}

#[test]
fn halt_gives_the_status() {
    let mut guest = guest(&[0; 512], false);
    for (status, exit) in [
        (0, GuestExit::Code(0)),
        (7, GuestExit::Code(7)),
        (254, GuestExit::Code(254)),
        (
            255,
            GuestExit::Crashed(Crash::GuestReported { by: "solo5_abort" }),
        ),
        (u64::from(u32::MAX), GuestExit::Code(255)),
    ] {
        assert_eq!(guest.call(8, &[0, status]), Called::Ended(exit));
    }
}

#[test]
fn pointers_out_of_memory_end_the_guest_and_name_the_call() {
    let mut guest = guest(&[0; 1024], false);
    let fault = guest.fault(PUTS, &[SIZE - 4, 5]);
    assert_eq!(
        fault,
        "the guest crashed: hypercall puts: 5 bytes at 0x1ffffc are not in the guest's memory"
    );
    for (gpa, len) in [
        (u64::MAX, 2),
        (u64::MAX - 511, 512),
        (0, u64::MAX),
        (SIZE, 512),
    ] {
        guest.fault(PUTS, &[gpa, len]);
        guest.fault(NET_WRITE, &[NET, gpa, len]);
        guest.fault(NET_READ, &[NET, gpa, len]);
    }
    assert!(
        guest
            .fault(BLOCK_READ, &[DISK, 0, SIZE, 512])
            .contains("block_read")
    );
    assert!(
        guest
            .fault(BLOCK_WRITE, &[DISK, 0, SIZE, 512])
            .contains("block_write")
    );
    for n in 1..=8 {
        // The structure itself.
        let gpa = (SIZE as u32 - 4).to_le_bytes();
        let called = guest.solo5.write(SOLO5_HYPERCALLS + n, &gpa, &guest.memory);
        assert!(matches!(called, Called::Ended(_)), "call {n}");
    }
}

#[test]
fn every_other_access_ends_the_guest() {
    let mut guest = guest(&[0; 512], false);
    for port in [0x500, 0x509, 0x510, 0x600, 0x3f8, 0x4ff, 0] {
        let called = guest.solo5.write(port, &[0; 4], &guest.memory);
        let Called::Ended(GuestExit::Crashed(crash)) = called else {
            panic!("port {port:#x}");
        };
        assert!(crash.to_string().contains(&format!("{port:#x}")), "{crash}");
    }
    for data in [&[0][..], &[0; 2], &[0; 8]] {
        let called = guest.solo5.write(0x502, data, &guest.memory);
        assert!(matches!(called, Called::Ended(_)), "{data:?}");
    }
}

/// Whatever the guest writes, nothing here panics, and the disk keeps its size.
#[test]
fn nothing_that_a_guest_says_can_hurt() {
    let mut guest = guest(&[0; 4096], false);
    let mut random = Random::new();
    const EDGES: [u64; 10] = [0, 1, 2, 3, 512, 4096, SIZE - 1, SIZE, 1 << 63, u64::MAX];
    for _ in 0..50_000 {
        let words = [0; 5].map(|_| match random.below(4) {
            0 => random.number(),
            1 => random.number() % SIZE,
            _ => random.pick(&EDGES),
        });
        let call = random.pick(&[1, 2, 4, 5, 6, 7, 8]);
        guest.call(call, &words);
    }
    assert_eq!(guest.disk.metadata().unwrap().len(), 4096);
}
