//! The file system device with a back end in a thread, which keeps the rules or does not.

use std::io::{Read, Write};
use std::net::Shutdown;
use std::time::{Duration, Instant};

use vm_memory::{Bytes, GuestAddress};

use super::back_end::{BackEnd, check};
use super::error::BackEndError;
use super::fake_back_end::*;
use crate::devices::virtio::devices::fs::Fs;
use crate::devices::virtio::features::VERSION_1;
use crate::devices::virtio::testing::*;
use crate::devices::virtio::transport::interface::Interface;

/// What a test has time for.
const SOON: Duration = Duration::from_millis(300);

fn connect(failure: Option<(u32, Failure)>) -> (FakeBackEnd, Result<BackEnd, BackEndError>) {
    let (fake, socket) = FakeBackEnd::start(FEATURES, failure);
    (fake, BackEnd::connect_with_timeout(SOON, socket, 2))
}

/// The device behind its transport, with a driver that has negotiated nothing yet.
fn driver(failure: Option<(u32, Failure)>) -> (Driver, FakeBackEnd) {
    let (fake, back_end) = connect(failure);
    let device = Fs::with_back_end(back_end.unwrap(), "fs0".to_owned());
    fake.requests();
    (Driver::with(Box::new(device)), fake)
}

/// Comes up to DRIVER_OK with the first queue, whatever becomes of it.
fn come_up(driver: &Driver) {
    driver.negotiate();
    driver.set_up([DESCRIPTORS, AVAILABLE, USED]);
    driver.write(STATUS, FOUND | FEATURES_OK | DRIVER_OK);
}

#[track_caller]
fn in_time<T>(call: impl FnOnce() -> T) -> T {
    let begin = Instant::now();
    let result = call();
    assert!(begin.elapsed() < 10 * SOON, "{:?}", begin.elapsed());
    result
}

#[test]
fn its_features_are_negotiated() {
    let (fake, back_end) = connect(None);
    back_end.unwrap();
    let order = [
        SET_OWNER,
        GET_FEATURES,
        GET_PROTOCOL_FEATURES,
        SET_PROTOCOL_FEATURES,
        GET_QUEUE_NUM,
    ];
    assert_eq!(fake.requests(), order.map(|request| (request, 0)));
}

#[test]
fn the_driver_finds_a_tag_and_one_queue_for_requests() {
    let (driver, _fake) = driver(None);
    let mut config = [0xaa; 44];
    driver.device.read(0x100, &mut config);
    assert_eq!(&config[..4], b"fs0\0");
    assert_eq!(config[36..], [1, 0, 0, 0, 0, 0, 0, 0]);
    assert_eq!(driver.read(8), 26);
    driver.write(QUEUE_SEL, 1);
    assert_eq!(driver.read(0x34), 1024);
}

#[test]
fn it_gets_the_queues_and_our_thread_keeps_off_them() {
    let (mut driver, fake) = driver(None);
    driver.come_up(0);
    let order = [
        SET_FEATURES,
        SET_MEM_TABLE,
        SET_VRING_NUM,
        SET_VRING_ADDR,
        SET_VRING_BASE,
        SET_VRING_CALL,
        SET_VRING_KICK,
        SET_VRING_ENABLE,
    ];
    assert_eq!(fake.requests(), order.map(|request| (request, 0)));
    let mut kick = fake.seen.lock().unwrap().kicks.remove(&0).unwrap();
    let mut count = [0; 8];
    kick.read_exact(&mut count).unwrap();
    assert_eq!(u64::from_le_bytes(count), 1, "buffers may be there already");
    driver.describe(0, BUFFER, 64, WRITE, 0);
    driver.offer(0);
    driver.offer(0);
    kick.read_exact(&mut count).unwrap();
    assert_eq!(u64::from_le_bytes(count), 2);
    assert_eq!(driver.used().0, 0);
    let flags: u16 = driver.memory.read_obj(GuestAddress(USED)).unwrap();
    assert_eq!(flags, 0, "nobody has asked for fewer notifications");
    assert_eq!(driver.read(INTERRUPT_STATUS), 0);
    let mut call = fake.seen.lock().unwrap().calls.remove(&0).unwrap();
    call.write_all(&1u64.to_ne_bytes()).unwrap();
    driver.write(QUEUE_SEL, 0);
    assert_eq!(driver.read(INTERRUPT_STATUS), 1);
    driver.write(INTERRUPT_ACK, 1);
    driver.write(QUEUE_SEL, 0);
    assert_eq!(driver.read(INTERRUPT_STATUS), 0, "once");
}

#[test]
fn a_reset_takes_them_back_and_the_next_driver_gets_them() {
    let (driver, fake) = driver(None);
    for _ in 0..3 {
        driver.come_up(0);
        fake.requests();
        driver.write(STATUS, 0);
        assert_eq!(fake.requests(), [(GET_VRING_BASE, 0)]);
    }
    driver.come_up(0);
    fake.requests();
    driver.write(QUEUE_SEL, 0);
    driver.write(QUEUE_READY, 0);
    assert_eq!(fake.requests(), [(GET_VRING_BASE, 0)], "one queue alone");
    assert!(!driver.needs_reset());
    driver.write(STATUS, 0);
    assert_eq!(fake.requests(), [], "it has none any more");
}

#[test]
fn one_that_negotiates_badly_is_an_error_and_soon() {
    use Failure::*;
    for (request, failure, words) in [
        (GET_FEATURES, Nothing, "does not answer"),
        (GET_FEATURES, Garbage, "does not speak"),
        (GET_PROTOCOL_FEATURES, Half, "does not speak"),
        (GET_QUEUE_NUM, Wait(2 * SOON), "does not answer"),
        (GET_QUEUE_NUM, Refuse, "serves 1 queues, the device has 2"),
    ] {
        let (fake, back_end) = in_time(|| connect(Some((request, failure))));
        let fault = back_end.err().unwrap().to_string();
        assert!(fault.contains(words), "{failure:?}: {fault}");
        drop(fake);
    }
    let (_fake, socket) = FakeBackEnd::start(FEATURES & !VERSION_1, None);
    let fault = check(&socket).unwrap_err().to_string();
    assert_eq!(fault, "lacks virtio features 0x100000000: use a newer one");
    let (_fake, socket) = FakeBackEnd::start(FEATURES, Some((GET_FEATURES, Half)));
    assert!(check(&socket).is_err());
}

#[test]
fn one_that_is_late_is_waited_for() {
    let late = Failure::Wait(SOON / 4);
    let (driver, fake) = driver(Some((GET_VRING_BASE, late)));
    driver.come_up(0);
    let begin = Instant::now();
    driver.write(STATUS, 0);
    assert!(begin.elapsed() >= SOON / 4, "the ring is back by now");
    driver.come_up(0);
    drop(fake);
}

#[test]
fn one_that_fails_breaks_its_device_and_no_more() {
    use Failure::*;
    for failure in [Nothing, Garbage, Refuse, Half, Wait(2 * SOON)] {
        for request in [SET_FEATURES, SET_MEM_TABLE, SET_VRING_KICK] {
            let (driver, _fake) = driver(Some((request, failure)));
            in_time(|| come_up(&driver));
            assert!(driver.needs_reset(), "{request} {failure:?}");
            assert_eq!(driver.read(INTERRUPT_STATUS), 2, "the driver is told");
            in_time(|| driver.write(STATUS, 0));
            in_time(|| come_up(&driver));
            assert!(driver.needs_reset(), "it gets no second chance");
        }
    }
}

#[test]
fn one_that_keeps_the_rings_gets_no_others() {
    use Failure::*;
    for failure in [Nothing, Garbage, Half] {
        let (driver, _fake) = driver(Some((GET_VRING_BASE, failure)));
        driver.come_up(0);
        in_time(|| driver.write(STATUS, 0));
        assert_eq!(driver.read(STATUS), 0, "a reset is a reset");
        in_time(|| come_up(&driver));
        assert!(driver.needs_reset(), "{failure:?}");
    }
}

#[test]
fn one_that_dies_or_speaks_without_being_asked_breaks_its_device() {
    for dies in [true, false] {
        let (driver, mut fake) = driver(None);
        driver.come_up(0);
        assert!(!driver.needs_reset());
        match dies {
            true => fake.socket.shutdown(Shutdown::Both).unwrap(),
            false => fake.socket.write_all(b"boo").unwrap(),
        }
        driver.write(QUEUE_SEL, 0);
        assert!(driver.needs_reset(), "{dies}");
        in_time(|| driver.write(STATUS, 0));
    }
}

#[test]
fn a_driver_of_the_legacy_interface_breaks_it() {
    let (fake, back_end) = connect(None);
    let device = Fs::with_back_end(back_end.unwrap(), "fs0".to_owned());
    let driver = Driver::over(Interface::Legacy, Box::new(device));
    fake.requests();
    driver.write(STATUS, FOUND | DRIVER_OK);
    assert_eq!(fake.requests(), []);
    assert!(driver.needs_reset());
}
