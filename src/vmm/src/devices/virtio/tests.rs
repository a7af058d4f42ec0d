//! The entropy device behind its transport, with a driver that keeps the rules and others that
//! do not.

use vm_memory::{Bytes, GuestAddress};

use super::testing::*;
use crate::boot::testing::Random;
use crate::memory::MIN_MEMORY;

#[test]
fn the_device_says_what_it_is() {
    let driver = Driver::new();
    assert_eq!(
        [0x00, 0x04, 0x08].map(|at| driver.read(at)),
        [0x7472_6976, 2, 4]
    );
    assert_eq!(driver.read(0x34), 64, "QueueNumMax");
    driver.write(QUEUE_SEL, 1);
    assert_eq!(driver.read(0x34), 0, "there is one queue");
    driver.write(DEVICE_FEATURES_SEL, 1);
    assert_eq!(driver.read(0x10), 1, "VERSION_1");
    driver.write(DEVICE_FEATURES_SEL, 2);
    assert_eq!(driver.read(0x10), 0);
    assert_eq!(driver.read(0x100), 0, "no configuration");
    let mut byte = [0xaa];
    driver.device.read(0, &mut byte);
    assert_eq!(byte, [0], "registers are read whole");
}

#[test]
fn buffers_are_filled_and_said_to_be_used() {
    let mut driver = Driver::ready();
    driver.describe(0, BUFFER, 64, WRITE | NEXT, 3);
    driver.describe(3, BUFFER + 0x100, 32, WRITE, 0);
    driver.offer(0);
    assert_eq!(driver.used(), (1, 0, 96));
    assert_eq!(
        (driver.read(INTERRUPT_STATUS), driver.irq.read().unwrap()),
        (1, 1)
    );
    driver.write(INTERRUPT_ACK, 1);
    assert_eq!(driver.read(INTERRUPT_STATUS), 0);
    let mut random = [0; 0x120];
    driver
        .memory
        .read_slice(&mut random, GuestAddress(BUFFER))
        .unwrap();
    assert_ne!(random[..64], [0; 64]);
    assert_eq!(random[64..0x100], [0; 0xc0], "between the pieces");
    assert_ne!(random[0x100..], [0; 32]);
    // More than the ring's size, one after the other.
    for count in 2..20 {
        driver.describe(0, BUFFER, 8, WRITE, 0);
        driver.offer(0);
        assert_eq!(driver.used(), (count, 0, 8));
    }
}

#[test]
fn a_driver_that_wants_no_interrupt_gets_none() {
    let mut driver = Driver::ready();
    driver.describe(0, BUFFER, 8, WRITE, 0);
    let flags = GuestAddress(AVAILABLE);
    driver.memory.write_obj(1u16, flags).unwrap();
    driver.offer(0);
    assert_eq!(
        (driver.used().0, driver.read(INTERRUPT_STATUS)),
        (1, 0),
        "VIRTQ_AVAIL_F_NO_INTERRUPT"
    );
    driver.memory.write_obj(0u16, flags).unwrap();
    driver.offer(0);
    assert_eq!((driver.used().0, driver.read(INTERRUPT_STATUS)), (2, 1));
}

#[test]
fn a_driver_can_say_when_it_wants_the_next_interrupt() {
    let mut driver = Driver::with_features(EVENT_IDX);
    driver.describe(0, BUFFER, 8, WRITE, 0);
    let used_event = GuestAddress(AVAILABLE + 4 + 2 * u64::from(SIZE));
    let avail_event = GuestAddress(USED + 4 + 8 * u64::from(SIZE));
    driver.memory.write_obj(2u16, used_event).unwrap();
    for (count, interrupts) in [(1, 0), (2, 0), (3, 1), (4, 1)] {
        driver.offer(0);
        let seen = (driver.used().0, driver.read(INTERRUPT_STATUS));
        assert_eq!(seen, (count, interrupts));
        let next: u16 = driver.memory.read_obj(avail_event).unwrap();
        assert_eq!(next, count, "when the device wants to be notified");
    }
}

#[test]
fn a_table_of_descriptors_in_a_buffer_is_followed() {
    let mut driver = Driver::with_features(INDIRECT_DESC);
    let table = [
        (BUFFER + 0x100, WRITE | NEXT, 1),
        (BUFFER + 0x200, WRITE, 0u16),
    ];
    for (at, (gpa, flags, next)) in (0u64..).zip(table) {
        let at = BUFFER + 16 * at;
        driver.memory.write_obj(gpa, GuestAddress(at)).unwrap();
        driver.memory.write_obj(8u32, GuestAddress(at + 8)).unwrap();
        driver
            .memory
            .write_obj(flags, GuestAddress(at + 12))
            .unwrap();
        driver
            .memory
            .write_obj(next, GuestAddress(at + 14))
            .unwrap();
    }
    driver.describe(0, BUFFER, 32, INDIRECT, 0);
    driver.offer(0);
    assert_eq!(driver.used(), (1, 0, 16));
}

#[test]
fn a_driver_must_negotiate_before_it_configures_queues() {
    let driver = Driver::new();
    driver.write(STATUS, FOUND);
    driver.set_up([DESCRIPTORS, AVAILABLE, USED]);
    assert_eq!(driver.read(QUEUE_READY), 0, "before FEATURES_OK");
    driver.write(STATUS, FOUND | FEATURES_OK);
    assert_eq!(driver.read(STATUS), FOUND, "without VERSION_1");
    driver.write(STATUS, FOUND | DRIVER_OK);
    assert_eq!(driver.read(STATUS), FOUND, "without FEATURES_OK");
    driver.write(DRIVER_FEATURES_SEL, 1);
    driver.write(DRIVER_FEATURES, 1 | 2);
    driver.write(STATUS, FOUND | FEATURES_OK);
    assert_eq!(driver.read(STATUS), FOUND, "with more than was offered");
    driver.write(STATUS, 0);
    driver.negotiate();
    driver.write(STATUS, FEATURES_OK);
    assert_eq!(
        driver.read(STATUS),
        FOUND | FEATURES_OK,
        "no bit is taken back"
    );
}

#[test]
fn the_set_up_is_frozen_while_the_device_runs() {
    let mut driver = Driver::ready();
    driver.set_up([0xffff_f000, 0xffff_f000, 0xffff_f000]);
    assert_eq!(driver.read(QUEUE_READY), 1);
    driver.describe(0, BUFFER, 8, WRITE, 0);
    driver.offer(0);
    assert_eq!(driver.used(), (1, 0, 8), "by the old addresses");
    driver.write(STATUS, 0);
    assert_eq!((driver.read(STATUS), driver.read(QUEUE_READY)), (0, 0));
    driver.offer(0);
    assert_eq!(driver.used().0, 1, "not served after a reset");
}

#[test]
fn a_queue_that_is_taken_back_is_left_alone() {
    let mut driver = Driver::ready();
    driver.describe(0, BUFFER, 8, WRITE, 0);
    driver.write(QUEUE_READY, 0);
    assert_eq!(driver.read(QUEUE_READY), 0);
    driver.offer(0);
    assert_eq!(driver.used().0, 0);
    driver.set_up([DESCRIPTORS, AVAILABLE, USED]);
    assert_eq!(driver.read(QUEUE_READY), 0, "not without a reset");
    driver.write(STATUS, 0);
    driver.come_up(0);
    driver.offer(0);
    assert_eq!(driver.used().0, 2, "what was offered before, too");
}

#[test]
fn a_queue_that_is_not_all_memory_breaks_the_device() {
    let past = MIN_MEMORY - 16;
    for addresses in [
        [past, AVAILABLE, USED],
        [DESCRIPTORS, MIN_MEMORY - 4, USED],
        [DESCRIPTORS, AVAILABLE, past],
        [0xd000_0000, AVAILABLE, USED],
        [u64::MAX - 15, AVAILABLE, USED],
        [DESCRIPTORS, u64::MAX - 1, USED],
    ] {
        let driver = Driver::new();
        driver.negotiate();
        driver.set_up(addresses);
        driver.write(STATUS, FOUND | FEATURES_OK | DRIVER_OK);
        assert!(driver.needs_reset(), "{addresses:x?}");
        assert_eq!(
            driver.read(INTERRUPT_STATUS),
            2,
            "a change of configuration"
        );
    }
}

/// One descriptor: address, length, flags, and the next one's index.
type Descriptor = (u64, u32, u16, u16);

#[test]
fn a_bad_chain_breaks_the_device_and_nothing_else() {
    let cases: [(&str, u16, &[Descriptor]); 11] = [
        ("a loop of one", 0, &[(BUFFER, 8, WRITE | NEXT, 0)]),
        (
            "a loop of two",
            0,
            &[(BUFFER, 8, WRITE | NEXT, 1), (BUFFER, 8, WRITE | NEXT, 0)],
        ),
        ("a head past the table", 8, &[(BUFFER, 8, WRITE, 0)]),
        (
            "an index past the table",
            0,
            &[(BUFFER, 8, WRITE | NEXT, 99)],
        ),
        ("to be read", 0, &[(BUFFER, 8, 0, 0)]),
        (
            "to be read, then written",
            0,
            &[(BUFFER, 8, NEXT, 1), (BUFFER, 8, WRITE, 0)],
        ),
        (
            "written before it is read",
            0,
            &[(BUFFER, 8, WRITE | NEXT, 1), (BUFFER, 8, 0, 0)],
        ),
        ("across memory's end", 0, &[(MIN_MEMORY - 4, 8, WRITE, 0)]),
        (
            "around the address space",
            0,
            &[(u64::MAX - 4, 8, WRITE, 0)],
        ),
        ("of 2^32 - 1 bytes", 0, &[(BUFFER, u32::MAX, WRITE, 0)]),
        (
            "too large, piece by piece",
            0,
            &[(BUFFER, 0xffff, WRITE | NEXT, 1), (BUFFER, 2, WRITE, 0)],
        ),
    ];
    for (what, head, descriptors) in cases {
        let mut driver = Driver::ready();
        for (index, (gpa, len, flags, next)) in (0..).zip(descriptors) {
            driver.describe(index, *gpa, *len, *flags, *next);
        }
        driver.offer(head);
        assert!(driver.needs_reset(), "{what}");
        assert_eq!(driver.used().0, 0, "{what}");
        driver.write(STATUS, 0);
        driver.negotiate();
        assert!(!driver.needs_reset(), "{what}, after a reset");
    }
}

#[test]
fn more_buffers_than_the_ring_holds_break_the_device() {
    let mut driver = Driver::ready();
    driver.describe(0, BUFFER, 8, WRITE, 0);
    driver.available = SIZE;
    driver.offer(0);
    assert!(driver.needs_reset());
}

/// Whatever is written where, the device answers, and memory outside of its queue and buffers
/// stays as it is.
#[test]
fn no_order_of_accesses_does_harm() {
    let mut random = Random::new();
    for _ in 0..200 {
        let mut driver = Driver::ready();
        for _ in 0..100 {
            let index = random.below(10) as u16;
            let anywhere = random.number();
            let gpa = random.pick(&[BUFFER, MIN_MEMORY - 8, DESCRIPTORS, USED, anywhere]);
            let len = random.pick(&[0, 1, 64, 0x1_0001, u32::MAX]);
            let flags = random.below(8) as u16 & !random.pick(&[INDIRECT, 0]);
            match random.below(4) {
                0 => driver.describe(index, gpa, len, flags, random.below(10) as u16),
                1 => driver.offer(index),
                2 => drop(driver.read(random.below(0x110) as u64)),
                _ => driver.write(random.below(0x110) as u64, random.number() as u32),
            }
        }
    }
}
