//! The entropy device as a function of the PCI bus, with drivers of both interfaces.

use super::testing::*;
use crate::boot::testing::Random;
use crate::devices::pci::bus::{ADDRESS, DATA};
use crate::devices::pci::config::Space;
use crate::devices::virtio::devices::rng::Rng;
use crate::devices::virtio::testing::{
    AVAILABLE, DESCRIPTORS, DRIVER_OK, EVENT_IDX, FEATURES_OK, FOUND, INDIRECT_DESC, NEEDS_RESET,
    USED,
};
use crate::devices::virtio::transport::interface::Interface;
use crate::memory::MIN_MEMORY;

/// Where a legacy driver has its queue of 64 entries: one page after the other.
const PFN: u64 = 0x10;
const LEGACY: [u64; 3] = [0x1_0000, 0x1_0400, 0x1_1000];

/// Registers of the legacy interface.
const LEGACY_STATUS: u64 = 18;
const LEGACY_ISR: u64 = 19;

fn come_up_legacy(driver: &Driver) {
    for status in [0, 1, 2] {
        driver.output(LEGACY_STATUS, status, 1);
    }
    assert_eq!(driver.input(0, 4) as u32, INDIRECT_DESC | EVENT_IDX);
    driver.output(4, u64::from(u32::MAX), 4);
    assert_eq!(
        driver.input(4, 4) as u32,
        INDIRECT_DESC | EVENT_IDX,
        "no others"
    );
    driver.output(4, 0, 4);
    driver.output(14, 0, 2);
    assert_eq!((driver.input(12, 2), driver.input(8, 4)), (64, 0));
    driver.output(8, PFN, 4);
    assert_eq!(driver.input(8, 4), PFN);
    // Each bit alone.
    driver.output(LEGACY_STATUS, 4, 1);
    assert_eq!(driver.input(LEGACY_STATUS, 1) & 7, 7);
}

fn offer_legacy(driver: &mut Driver) -> u16 {
    driver.offer(64, LEGACY, |driver| driver.output(16, 0, 2))
}

#[test]
fn it_says_what_it_is() {
    let driver = Driver::new();
    assert_eq!(driver.config(0x00), 0x1005_1af4);
    assert_eq!(
        driver.config(0x08),
        0xff00_0000,
        "revision 0: both interfaces"
    );
    assert_eq!(driver.config(0x2c), 0x0004_1af4);
    assert_eq!(driver.config(0x3c), 0x0000_010a, "INTA, line 10");
    assert_eq!(driver.config(0x04), 0x0010_0007);
    let (mut at, mut found) = (driver.config(0x34) & 0xff, Vec::new());
    while at != 0 {
        let head = driver.config(at).to_le_bytes();
        let place = (driver.config(at + 4) & 0xff, driver.config(at + 8));
        found.push((head[0], head[2], head[3], place));
        at = head[1].into();
    }
    let vendor = |size, kind, offset| (9, size, kind, (1, offset));
    assert_eq!(
        found[0],
        (0x11, 1, 0, (0x01, 0x5001)),
        "MSI-X of two messages"
    );
    assert_eq!(
        found[1..],
        [
            vendor(16, 1, 0),
            vendor(16, 3, 0x1000),
            vendor(16, 4, 0x2000),
            vendor(20, 2, 0x3000),
            vendor(20, 5, 0)
        ]
    );
}

#[test]
fn without_the_legacy_interface_it_has_its_modern_identity() {
    let driver = Driver::of(Interface::Modern, Box::new(Rng));
    assert_eq!(driver.config(0x00), 0x1044_1af4);
    assert_eq!(driver.config(0x08), 0xff00_0001, "revision 1");
    assert_eq!(driver.config(0x2c), 0x0040_1af4);
}

#[test]
fn the_modern_interface_serves() {
    let mut driver = Driver::new();
    driver.come_up(0);
    assert_eq!(driver.status(), FOUND | FEATURES_OK | DRIVER_OK);
    assert_eq!(driver.offer_modern(), 1);
    assert_eq!(driver.levels.try_recv(), Ok(true));
    assert_eq!(driver.config(0x04) >> 16, 0x18, "it interrupts");
    assert_eq!([driver.read(ISR, 1), driver.read(ISR, 1)], [1, 0]);
    assert_eq!(driver.levels.try_recv(), Ok(false));
    driver.set_config_bytes(5, &[4]);
    assert_eq!(driver.offer_modern(), 2);
    assert!(driver.levels.try_recv().is_err(), "the pin is silent");
    assert_eq!(driver.config(0x04) >> 16, 0x18);
    driver.set_config_bytes(5, &[0]);
    assert_eq!(driver.levels.try_recv(), Ok(true), "and heard again");
    driver.set_status(0);
    assert_eq!(
        (driver.levels.try_recv(), driver.read(ISR, 1)),
        (Ok(false), 0)
    );
}

#[test]
fn the_legacy_interface_serves() {
    let mut driver = Driver::new();
    come_up_legacy(&driver);
    for count in 1..100 {
        assert_eq!(offer_legacy(&mut driver), count);
        assert_eq!([0, 1].map(|_| driver.input(LEGACY_ISR, 1)), [1, 0]);
    }
    driver.output(8, 0x20, 4);
    assert_eq!(driver.input(8, 4), PFN, "frozen");
    driver.output(LEGACY_STATUS, 0, 1);
    assert_eq!((driver.input(8, 4), driver.input(LEGACY_STATUS, 1)), (0, 0));
    assert_eq!(offer_legacy(&mut driver), 99, "after a reset");
}

#[test]
fn messages_take_the_place_of_the_pin() {
    let mut driver = Driver::new();
    driver.set_config_bytes(0x42, &[0, 0x80]);
    for (vector, data) in [(0, 0x41), (1, 0x42)] {
        driver.write(TABLE + 16 * vector, 0xfee0_0000, 8);
        driver.write(TABLE + 16 * vector + 8, data, 8);
    }
    driver.negotiate(0);
    for (field, vector) in [(CONFIG_VECTOR, 0), (QUEUE_VECTOR, 1)] {
        assert_eq!(driver.read(field, 2), 0xffff);
        driver.write(field, 2, 2);
        assert_eq!(driver.read(field, 2), 0xffff, "there are two");
        driver.write(field, vector, 2);
        assert_eq!(driver.read(field, 2), vector);
    }
    driver.set_up([DESCRIPTORS, AVAILABLE, USED]);
    driver.set_status(FOUND | FEATURES_OK | DRIVER_OK);
    assert_eq!(driver.offer_modern(), 1);
    assert_eq!(driver.messages.try_recv(), Ok((0xfee0_0000, 0x42)));
    driver.write(TABLE + 16 + 12, 1, 4);
    assert_eq!(driver.offer_modern(), 2);
    assert!(driver.messages.try_recv().is_err(), "masked");
    assert_eq!(driver.read(PENDING, 8), 2);
    driver.write(TABLE + 16 + 12, 0, 4);
    assert_eq!(driver.messages.try_recv(), Ok((0xfee0_0000, 0x42)));
    // A ring that is none: the configuration's message.
    driver.available = 100;
    driver.offer_modern();
    assert_eq!(driver.status() & NEEDS_RESET, NEEDS_RESET);
    assert_eq!(driver.messages.try_recv(), Ok((0xfee0_0000, 0x41)));
    assert!(driver.levels.try_recv().is_err());
    driver.set_status(0);
    assert_eq!(driver.read(QUEUE_VECTOR, 2), 0xffff, "forgotten");
}

#[test]
fn messages_move_the_legacy_configuration() {
    let driver = Driver::new();
    assert_eq!(driver.input(20, 4), 0, "the device's own");
    driver.set_config_bytes(0x42, &[0, 0x80]);
    assert_eq!(driver.input(20, 4), 0xffff_ffff, "vectors");
    driver.output(22, 1, 2);
    assert_eq!(driver.input(22, 2), 1);
    assert_eq!(driver.input(18, 8), 0x1_ffff_0000, "across the fields");
}

#[test]
fn registers_go_where_the_driver_moves_them() {
    let mut driver = Driver::new();
    driver.come_up(0);
    driver.set_config(0x14, 0xffff_ffff);
    assert_eq!(driver.config(0x14), 0xffff_8000);
    driver.set_config(0x14, 0xe080_0000);
    assert_eq!(driver.read(DEVICE_STATUS, 1), 0xff, "no longer here");
    driver.bar = 0xe080_0000;
    assert_eq!(driver.offer_modern(), 1);
    driver.set_config_bytes(4, &[1]);
    assert_eq!(driver.read(DEVICE_STATUS, 1), 0xff, "nowhere");
    driver.set_config(0x10, 0x1234_d100);
    assert_eq!(driver.config(0x10), 0x1234_d101);
    driver.set_config(0x10, 0xd100);
    driver.ports = 0xd100;
    assert_eq!(driver.input(LEGACY_STATUS, 1), 0xf);
}

#[test]
fn the_configuration_space_has_a_window() {
    let driver = Driver::new();
    // The last capability: bar, offset, length, data.
    let window = 0x4c + 3 * 16 + 20;
    let set = |bar, offset, len| {
        driver.set_config_bytes(window + 4, &[bar]);
        driver.set_config(window + 8, offset);
        driver.set_config(window + 12, len);
    };
    set(1, DEVICE_STATUS as u32, 1);
    driver.set_config_bytes(window + 16, &[3]);
    assert_eq!((driver.status(), driver.config(window + 16) & 0xff), (3, 3));
    set(0, 0, 4);
    assert_eq!(driver.config(window + 16), INDIRECT_DESC | EVENT_IDX);
    // Not there, across the end, not whole, not as long as it says: just four bytes.
    driver.set_config(window + 16, 0x1234);
    for (bar, offset, len) in [
        (2, 0, 4),
        (1, 0x8000, 4),
        (1, u32::MAX - 3, 4),
        (1, 2, 4),
        (1, 0, 2),
    ] {
        set(bar, offset, len);
        driver.set_config(window + 16, 0x5678);
        assert_eq!(
            driver.config(window + 16),
            0x5678,
            "{bar} {offset:#x} {len}"
        );
    }
}

#[test]
fn a_queue_is_frozen_and_checked() {
    let mut driver = Driver::new();
    driver.come_up(0);
    driver.set_up([0x5_0000; 3]);
    driver.write(QUEUE_SIZE, 4, 2);
    driver.write(QUEUE_ENABLE, 0, 2);
    assert_eq!(
        (driver.read(QUEUE_SIZE, 2), driver.read(32, 8)),
        (8, DESCRIPTORS)
    );
    assert_eq!(driver.offer_modern(), 1);
    for (addresses, size) in [
        ([MIN_MEMORY - 16, AVAILABLE, USED], 8),
        ([DESCRIPTORS, AVAILABLE, u64::MAX - 3], 8),
        ([DESCRIPTORS, 0xe000_0000, USED], 8),
        ([DESCRIPTORS + 1, AVAILABLE, USED], 8),
        ([DESCRIPTORS, AVAILABLE, USED], 0),
        ([DESCRIPTORS, AVAILABLE, USED], 7),
        ([DESCRIPTORS, AVAILABLE, USED], 128),
    ] {
        driver.negotiate(0);
        driver.set_up(addresses);
        driver.write(QUEUE_ENABLE, 0, 2);
        assert_eq!(driver.read(QUEUE_ENABLE, 2), 1, "only a reset undoes that");
        driver.negotiate(0);
        driver.write(QUEUE_SIZE, size, 2);
        for (field, address) in QUEUE_ADDRESSES.into_iter().zip(addresses) {
            driver.write(field, address, 8);
        }
        driver.write(QUEUE_ENABLE, 1, 2);
        driver.set_status(FOUND | FEATURES_OK | DRIVER_OK);
        let broken = driver.status() & NEEDS_RESET;
        assert_eq!(broken, NEEDS_RESET, "{addresses:x?} {size}");
    }
    // By the legacy interface: at memory's end, and where a page's number leads to no place.
    for pfn in [MIN_MEMORY >> 12, u64::from(u32::MAX)] {
        come_up_legacy(&driver);
        driver.output(LEGACY_STATUS, 0, 1);
        driver.output(8, pfn, 4);
        driver.output(LEGACY_STATUS, 7, 1);
        assert_eq!(driver.input(LEGACY_STATUS, 1) & 0x40, 0x40, "{pfn:#x}");
    }
}

#[test]
fn features_that_were_not_offered_are_refused() {
    let driver = Driver::new();
    driver.set_status(FOUND);
    for (half, features) in [(0, 0), (1, 3), (7, 0xffff)] {
        driver.write(DRIVER_FEATURE_SELECT, half, 4);
        driver.write(DRIVER_FEATURE, features, 4);
    }
    driver.set_status(FOUND | FEATURES_OK);
    assert_eq!(driver.status(), FOUND);
    driver.write(DEVICE_FEATURE_SELECT, 1, 4);
    assert_eq!(driver.read(DEVICE_FEATURE, 4), 1, "VERSION_1");
    driver.write(DEVICE_FEATURE_SELECT, 2, 4);
    assert_eq!(driver.read(DEVICE_FEATURE, 4), 0);
}

/// Whatever is written where and how wide, the machine answers.
#[test]
fn no_order_of_accesses_does_harm() {
    let mut random = Random::new();
    for _ in 0..100 {
        let mut driver = Driver::new();
        driver.come_up(0);
        for _ in 0..300 {
            let len = random.pick(&[1, 2, 4, 8]);
            let offset = match random.below(3) {
                0 => random.below(0x40),
                1 => 0x1000 * random.below(8) + random.below(0x40),
                _ => random.below(0x1_0000),
            } as u64;
            let some = random.number();
            let value = random.pick(&[0, 1, 0xffff, u64::MAX, some]);
            match random.below(8) {
                0 => drop(driver.read(offset, len)),
                1 => driver.write(offset, value, len),
                2 => drop(driver.input(offset % 0x110, len)),
                3 => driver.output(offset % 0x110, value, len),
                4 => driver.set_config_bytes(offset as u32, &value.to_le_bytes()[..len.min(4)]),
                5 => drop(driver.config(offset as u32)),
                6 => {
                    driver
                        .bus
                        .write(ADDRESS + (offset % 4) as u16, &vec![1; len]);
                    driver
                        .bus
                        .read(DATA + (offset % 4) as u16, &mut vec![0; len]);
                }
                _ => drop(driver.read_at(Space::Memory, value, len)),
            }
            if random.below(50) == 0 {
                driver.offer_modern();
            }
        }
    }
}
