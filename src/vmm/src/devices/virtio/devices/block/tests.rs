//! The block device over a file.

use std::fs::File;
use std::io::Write;
use std::os::unix::fs::FileExt;

use virtio_bindings::virtio_blk::*;

use super::{Block, FLUSH};
use crate::boot::testing::Random;
use crate::config::BlockDevice;
use crate::devices::virtio::device::VirtioDevice;
use crate::devices::virtio::test_driver::{
    BUFFERS, Driver, END, INDIRECT, NEXT, WRITE, bad_chains,
};
use crate::error::Error;

const HEADER: u64 = BUFFERS;
const STATUS: u64 = BUFFERS + 0x100;
const DATA: u64 = BUFFERS + 0x1000;

const SECTORS: u64 = 64;

fn bytes(len: usize) -> Vec<u8> {
    let mut random = Random::new();
    (0..len).map(|_| random.number() as u8).collect()
}

/// A file of 64 sectors, and a driver of a disk that is this file.
fn disk(read_only: bool) -> (File, Driver<Block>) {
    let mut file = tempfile::tempfile().unwrap();
    file.write_all(&bytes(512 * SECTORS as usize)).unwrap();
    let block = open(file.try_clone().unwrap(), read_only).unwrap();
    (file, Driver::new(block, FLUSH))
}

fn open(image: File, read_only: bool) -> Result<Block, Error> {
    Block::new(BlockDevice {
        name: "storage".to_owned(),
        image,
        read_only,
    })
}

impl Driver<Block> {
    /// Asks for `data` of the device, or by it (WRITE); gives the status and the length used.
    fn ask(&mut self, kind: u32, sector: u64, data: &[(u64, u32, u16)]) -> (u8, u32) {
        let words = [kind, 0, sector as u32, (sector >> 32) as u32];
        self.put(HEADER, words.map(u32::to_le_bytes).as_flattened());
        self.put(STATUS, &[0xaa]);
        let chain = [&[(HEADER, 16, 0)], data, &[(STATUS, 1, WRITE)]].concat();
        let head = self.offer(0, &chain);
        self.process_queue(0).unwrap();
        let used = self.used(0);
        assert_eq!((used.len(), used[0].0), (1, head.into()));
        (self.get(STATUS, 1)[0], used[0].1)
    }
}

#[test]
fn it_says_what_it_is() {
    let (_, driver) = disk(false);
    let device = &driver.device;
    assert_eq!((device.id(), device.queue_sizes()), (2, &[256][..]));
    let word = |at: usize| u32::from_le_bytes(device.config()[at..at + 4].try_into().unwrap());
    assert_eq!((device.config().len(), word(0), word(4)), (60, 64, 0));
    assert_eq!((word(8), word(12), word(20)), (1 << 20, 254, 512));
    assert_eq!((word(36), word(40), word(44)), (1 << 21, 1, 1));
    assert_eq!((word(48), word(52), word(56)), (1 << 16, 1, 1));
    let bit = |device: &Block, bit: u32| device.features() >> bit & 1 == 1;
    assert!(!bit(device, VIRTIO_BLK_F_RO) && bit(device, VIRTIO_BLK_F_DISCARD));
    let (_, driver) = disk(true);
    let device = &driver.device;
    assert!(bit(device, VIRTIO_BLK_F_RO) && !bit(device, VIRTIO_BLK_F_DISCARD));
}

#[test]
fn a_file_that_is_no_disk_is_refused() {
    let sized = |size| {
        let file = tempfile::tempfile().unwrap();
        file.set_len(size).unwrap();
        file
    };
    for (what, file) in [
        ("is empty", sized(0)),
        ("has 1000 bytes", sized(1000)),
        ("neither", File::open("/").unwrap()),
        ("neither", File::open("/dev/null").unwrap()),
    ] {
        let fault = open(file, true).err().unwrap().to_string();
        assert!(fault.contains("storage") && fault.contains(what), "{fault}");
    }
}

#[test]
fn sectors_are_read_and_written_in_any_buffers() {
    let (file, mut driver) = disk(false);
    let data = bytes(2048);
    driver.put(DATA, &data);
    assert_eq!(
        driver.ask(
            VIRTIO_BLK_T_OUT,
            3,
            &[(DATA, 1000, 0), (DATA + 1000, 1048, 0)]
        ),
        (0, 1)
    );
    let mut found = vec![0; 2048];
    file.read_exact_at(&mut found, 3 * 512).unwrap();
    assert_eq!(found, data);
    let into = DATA + 0x1000;
    let buffers = [
        (into, 1, WRITE),
        (into + 1, 0, WRITE),
        (into + 1, 2047, WRITE),
    ];
    assert_eq!(driver.ask(VIRTIO_BLK_T_IN, 3, &buffers), (0, 2049));
    assert_eq!(driver.get(into, 2048), data);
    // The whole disk, to its last sector.
    let whole = [(DATA, 512 * SECTORS as u32, WRITE)];
    assert_eq!(driver.ask(VIRTIO_BLK_T_IN, 0, &whole).0, 0);
    assert_eq!(driver.ask(VIRTIO_BLK_T_OUT, 63, &[(DATA, 512, 0)]), (0, 1));
}

#[test]
fn header_and_status_may_lie_beside_data() {
    let (_, mut driver) = disk(false);
    driver.put(DATA, &[0; 16]);
    driver.offer(
        0,
        &[(DATA, 7, 0), (DATA + 7, 9, 0), (DATA + 0x200, 513, WRITE)],
    );
    driver.process_queue(0).unwrap();
    assert_eq!(driver.used(0), [(0, 513)]);
    assert_eq!(driver.get(DATA + 0x200, 512), bytes(512));
    driver.put(DATA, &[1]);
    driver.put(DATA + 16, &[7; 512]);
    driver.offer(0, &[(DATA, 528, 0), (STATUS, 1, WRITE)]);
    driver.process_queue(0).unwrap();
    assert_eq!(driver.used(0), [(3, 1)]);
    driver.ask(VIRTIO_BLK_T_IN, 0, &[(DATA, 512, WRITE)]);
    assert_eq!(driver.get(DATA, 512), [7; 512]);
}

#[test]
fn what_is_not_on_the_disk_is_an_error() {
    let (file, mut driver) = disk(false);
    let before = bytes(512 * SECTORS as usize);
    for (sector, len) in [
        (63, 1024),
        (64, 512),
        (0, 513),
        (1 << 55, 512),
        (u64::MAX, 512),
        (u64::MAX / 512 + 1, 512),
    ] {
        let read = driver.ask(VIRTIO_BLK_T_IN, sector, &[(DATA, len, WRITE)]);
        assert_eq!(read, (1, 0), "{sector}, {len}");
        let write = driver.ask(VIRTIO_BLK_T_OUT, sector, &[(DATA, len, 0)]);
        assert_eq!(write, (1, 1), "{sector}, {len}");
    }
    let mut found = vec![0; before.len()];
    file.read_exact_at(&mut found, 0).unwrap();
    assert_eq!(found, before);
    assert_eq!(file.metadata().unwrap().len(), before.len() as u64);
    // Somebody cuts the file.
    file.set_len(512).unwrap();
    let read = driver.ask(VIRTIO_BLK_T_IN, 0, &[(DATA, 1024, WRITE)]);
    assert_eq!(read, (1, 0));
}

#[test]
fn a_host_without_room_is_an_error() {
    let full = File::options().write(true).open("/dev/full").unwrap();
    let (_, mut driver) = disk(false);
    driver.device.disk.image = full;
    let write = driver.ask(VIRTIO_BLK_T_OUT, 0, &[(DATA, 512, 0)]);
    assert_eq!(write, (1, 1));
}

#[test]
fn a_read_only_disk_stays_as_it_is() {
    let (file, mut driver) = disk(true);
    driver.put(DATA, &[0; 512]);
    assert_eq!(driver.ask(VIRTIO_BLK_T_OUT, 0, &[(DATA, 512, 0)]).0, 1);
    driver.put(DATA + 8, &[1]);
    for kind in [VIRTIO_BLK_T_DISCARD, VIRTIO_BLK_T_WRITE_ZEROES] {
        assert_eq!(driver.ask(kind, 0, &[(DATA, 16, 0)]).0, 1);
    }
    let mut found = [0; 512];
    file.read_exact_at(&mut found, 0).unwrap();
    assert_eq!(found[..], bytes(512));
}

#[test]
fn it_has_a_name_and_can_be_flushed() {
    let (_, mut driver) = disk(false);
    let name = driver.ask(VIRTIO_BLK_T_GET_ID, 0, &[(DATA, 20, WRITE)]);
    assert_eq!(name, (0, 21));
    assert_eq!(driver.get(DATA, 20), *b"storage\0\0\0\0\0\0\0\0\0\0\0\0\0");
    assert_eq!(driver.ask(VIRTIO_BLK_T_FLUSH, 0, &[]), (0, 1));
    assert_eq!(driver.ask(VIRTIO_BLK_T_SCSI_CMD, 0, &[]), (2, 0x1));
    assert_eq!(driver.ask(77, 0, &[(DATA, 512, WRITE)]), (2, 0));
    // Without flushes.
    driver.reset(1 << 32);
    assert!(driver.device.writes_through);
    assert_eq!(driver.ask(VIRTIO_BLK_T_OUT, 0, &[(DATA, 512, 0)]).0, 0);
}

#[test]
fn ranges_are_discarded_and_zeroed() {
    let (file, mut driver) = disk(false);
    let range = |sector: u64, sectors: u32, flags: u32| {
        let numbers = [sectors.to_le_bytes(), flags.to_le_bytes()];
        [&sector.to_le_bytes()[..], numbers.as_flattened()].concat()
    };
    for (kind, flags, sector) in [
        (VIRTIO_BLK_T_DISCARD, 0, 8),
        (VIRTIO_BLK_T_WRITE_ZEROES, 0, 20),
        (VIRTIO_BLK_T_WRITE_ZEROES, 1, 30),
    ] {
        driver.put(DATA, &range(sector, 3, flags));
        let asked = driver.ask(kind, 0, &[(DATA, 16, 0)]);
        assert_eq!(asked, (0, 1), "{kind}");
        let mut found = [0; 5 * 512];
        file.read_exact_at(&mut found, (sector - 1) * 512).unwrap();
        assert_eq!(found[512..2048], [0; 3 * 512], "{kind}");
        assert_ne!(found[..512], [0; 512]);
        assert_ne!(found[2048..], [0; 512]);
    }
    assert_eq!(file.metadata().unwrap().len(), 512 * SECTORS);
    for (range, len, code) in [
        (range(63, 2, 0), 16, 1),
        (range(u64::MAX, 1, 0), 16, 1),
        (range(0, u32::MAX, 0), 16, 1),
        (range(0, 0, 0), 16, 1),
        (range(0, 1, 2), 16, 2),
        (range(0, 1, 0), 15, 1),
        (range(0, 1, 0), 32, 1),
    ] {
        driver.put(DATA, &range);
        for kind in [VIRTIO_BLK_T_DISCARD, VIRTIO_BLK_T_WRITE_ZEROES] {
            let asked = driver.ask(kind, 0, &[(DATA, len, 0)]);
            assert_eq!(asked.0, code, "{range:?} {len}");
        }
    }
}

#[test]
fn zeros_are_written_where_the_host_has_no_other_way() {
    let (file, driver) = disk(false);
    let everything = (0, 512 * SECTORS);
    assert!(driver.device.write_zeros(everything).is_ok());
    let mut found = vec![0xff; 512 * SECTORS as usize];
    file.read_exact_at(&mut found, 0).unwrap();
    assert_eq!(found, vec![0; 512 * SECTORS as usize]);
}

#[test]
fn a_bad_chain_breaks_the_device() {
    for flags in [0, WRITE] {
        for (what, entries) in bad_chains(flags) {
            let (_, mut driver) = disk(false);
            for (index, entry) in (0..).zip(entries) {
                driver.describe(0, index, entry);
            }
            driver.make_available(0, 0);
            assert!(driver.process_queue(0).is_err(), "{flags}: {what}");
            assert_eq!(driver.used(0), [], "{flags}: {what}");
            driver.reset(FLUSH | 1 << 32);
            let read = driver.ask(VIRTIO_BLK_T_IN, 0, &[(DATA, 512, WRITE)]);
            assert_eq!(read, (0, 513), "{flags}: {what}, after a reset");
        }
    }
}

#[test]
fn a_bad_piece_behind_a_good_header_breaks_it_too() {
    for (what, piece) in [
        ("across memory's end", (END - 256, 512, WRITE | NEXT, 2)),
        ("of 2^32 - 1 bytes", (DATA, u32::MAX, WRITE | NEXT, 2)),
        ("before a piece to be read", (DATA, 512, WRITE | NEXT, 0)),
        ("a table in a chain", (DATA, 15, INDIRECT | NEXT, 2)),
    ] {
        let (_, mut driver) = disk(false);
        driver.describe(0, 0, (HEADER, 16, NEXT, 1));
        driver.describe(0, 1, piece);
        driver.describe(0, 2, (STATUS, 1, WRITE, 0));
        driver.make_available(0, 0);
        assert!(driver.process_queue(0).is_err(), "{what}");
        assert_eq!(driver.get(STATUS, 1), [0], "{what}");
    }
}
