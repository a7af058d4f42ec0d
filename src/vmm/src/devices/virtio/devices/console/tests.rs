//! The console device, with a pipe at the other end of its output.

use std::fs::File;
use std::io::{self, Read, Write};
use std::os::fd::OwnedFd;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use nix::fcntl::{FcntlArg, fcntl};
use nix::libc::EFD_NONBLOCK;
use vm_memory::{Bytes, GuestAddress};
use vmm_sys_util::eventfd::EventFd;

use super::{Console, INPUT_CAPACITY, Port, RECEIVE, SIZE, TRANSMIT};
use crate::console::Output;
use crate::devices::virtio::device::{Notifications, VirtioDevice};
use crate::devices::virtio::test_driver::{BUFFERS, Driver, WRITE, bad_chains};
use crate::devices::virtio::testing::{
    self, DRIVER_OK, FEATURES_OK, FOUND, QUEUE_ADDRESSES, QUEUE_NOTIFY, QUEUE_NUM, QUEUE_READY,
    QUEUE_SEL, STATUS,
};
use crate::devices::virtio::worker::Workers;
use crate::signals;
use crate::terminal::Size;

struct Fixture {
    driver: Driver<Console>,
    port: Port,
    space: EventFd,
    said: File,
}

fn fixture() -> Fixture {
    let space = EventFd::new(EFD_NONBLOCK).unwrap();
    let port = Port::new().unwrap();
    let (reader, writer) = io::pipe().unwrap();
    let writer = File::from(OwnedFd::from(writer));
    let output = Output::new(Some(writer), Arc::new(AtomicBool::new(false)));
    port.connect(output, space.try_clone().unwrap());
    Fixture {
        driver: Driver::new(Console::new(port.clone()), SIZE),
        port,
        space,
        said: File::from(OwnedFd::from(reader)),
    }
}

#[test]
fn what_the_guest_says_comes_out() {
    let mut fixture = fixture();
    let driver = &mut fixture.driver;
    assert_eq!((driver.device.id(), driver.device.features()), (3, 1));
    driver.put(BUFFERS, &[b'a'; 10_000]);
    driver.offer(TRANSMIT, &[(BUFFERS, 5000, 0), (BUFFERS, 4000, 0)]);
    driver.offer(TRANSMIT, &[(BUFFERS, 1, 0)]);
    assert_eq!(
        driver.process_queue(TRANSMIT),
        Ok(Notifications::queue(TRANSMIT))
    );
    assert_eq!(driver.used(TRANSMIT), [(0, 0), (2, 0)]);
    let mut said = [0; 9001];
    fixture.said.read_exact(&mut said).unwrap();
    assert_eq!(said, [b'a'; 9001]);
}

#[test]
fn input_is_for_a_guest_that_has_said_something() {
    let mut fixture = fixture();
    assert!(!fixture.port.is_in_use());
    let driver = &mut fixture.driver;
    driver.offer(RECEIVE, &[(BUFFERS, 100, WRITE)]);
    driver.process_queue(RECEIVE).unwrap();
    assert!(!fixture.port.is_in_use(), "for Linux gives buffers anyway");
    driver.offer(TRANSMIT, &[(BUFFERS, 1, 0)]);
    driver.process_queue(TRANSMIT).unwrap();
    assert!(fixture.port.is_in_use());
    assert_eq!(fixture.space.read().unwrap(), 1, "the event loop knows");
    driver.reset(SIZE);
    assert!(!fixture.port.is_in_use());
    assert_eq!(fixture.space.read().unwrap(), 1);
}

#[test]
fn input_fills_the_buffers_in_order_and_waits_for_more() {
    let Fixture {
        mut driver,
        port,
        space,
        ..
    } = fixture();
    assert_eq!(port.offer(b"hello world"), 11);
    driver.offer(RECEIVE, &[(BUFFERS, 3, WRITE), (BUFFERS + 3, 2, WRITE)]);
    assert_eq!(driver.process_event(), Ok(Notifications::queue(RECEIVE)));
    assert_eq!(driver.used(RECEIVE), [(0, 5)]);
    driver.offer(RECEIVE, &[(BUFFERS + 5, 100, WRITE)]);
    assert_eq!(
        driver.process_queue(RECEIVE),
        Ok(Notifications::queue(RECEIVE))
    );
    assert_eq!(driver.used(RECEIVE), [(2, 6)]);
    assert_eq!(driver.get(BUFFERS, 11), b"hello world");
    assert_eq!(driver.process_event(), Ok(Notifications::NONE));

    // More than there is room for.
    let input = vec![7; INPUT_CAPACITY + 10];
    assert_eq!(port.offer(&input), INPUT_CAPACITY);
    assert_eq!(port.offer(&input), 0);
    assert!(space.read().is_err(), "no room yet");
    driver.offer(RECEIVE, &[(BUFFERS, 8192, WRITE)]);
    driver.process_event().unwrap();
    assert_eq!(driver.used(RECEIVE), [(3, INPUT_CAPACITY as u32)]);
    assert_eq!(space.read().unwrap(), 1, "room again");
    assert_eq!(port.offer(&input[INPUT_CAPACITY..]), 10);
}

#[test]
fn a_new_size_is_told() {
    let Fixture {
        mut driver, port, ..
    } = fixture();
    assert_eq!(
        driver.process_event(),
        Ok(Notifications::NONE),
        "there is no terminal"
    );
    let size = |columns, rows| Size { columns, rows };
    port.resize(size(80, 24));
    assert_eq!(driver.process_event(), Ok(Notifications::CONFIG));
    assert_eq!(driver.device.config()[..4], [80, 0, 24, 0]);
    port.resize(size(80, 24));
    assert_eq!(driver.process_event(), Ok(Notifications::NONE), "the same");
    port.resize(size(300, 70));
    driver.reset(SIZE);
    assert_eq!(
        driver.process_event(),
        Ok(Notifications::CONFIG),
        "a new driver"
    );
    assert_eq!(driver.device.config()[..4], [44, 1, 70, 0]);
}

#[test]
fn a_bad_chain_breaks_the_device() {
    for (queue, flags) in [(RECEIVE, WRITE), (TRANSMIT, 0)] {
        for (what, entries) in bad_chains(flags) {
            // No output is as good as any.
            if (queue, what) == (TRANSMIT, "empty") {
                continue;
            }
            let Fixture {
                mut driver, port, ..
            } = fixture();
            port.offer(b"input");
            for (index, entry) in (0..).zip(entries) {
                driver.describe(queue, index, entry);
            }
            driver.make_available(queue, 0);
            assert!(driver.process_queue(queue).is_err(), "{queue}: {what}");
            assert_eq!(driver.used(queue), [], "{queue}: {what}");
            driver.reset(SIZE);
            driver.offer(queue, &[(BUFFERS, 5, flags)]);
            driver.process_queue(queue).unwrap();
            assert_eq!(driver.used(queue).len(), 1, "{queue}: {what}, reset");
        }
    }
}

/// Resets the device and comes up to DRIVER_OK with the queue for output, whose only buffer says
/// `words`.
fn say(driver: &mut testing::Driver, words: &str) {
    driver.write(STATUS, 0);
    let zeros = [0; 0x3000];
    let at = GuestAddress(testing::DESCRIPTORS);
    driver.memory.write_slice(&zeros, at).unwrap();
    driver.available = 0;
    driver.negotiate();
    let rings = [testing::DESCRIPTORS, testing::AVAILABLE, testing::USED];
    driver.write(QUEUE_SEL, TRANSMIT as u32);
    driver.write(QUEUE_NUM, testing::SIZE.into());
    for (register, gpa) in QUEUE_ADDRESSES.into_iter().zip(rings) {
        driver.write(register, gpa as u32);
    }
    driver.write(QUEUE_READY, 1);
    driver.write(STATUS, FOUND | FEATURES_OK | DRIVER_OK);
    let at = GuestAddress(testing::BUFFER);
    driver.memory.write_slice(words.as_bytes(), at).unwrap();
    driver.describe(0, testing::BUFFER, words.len() as u32, 0, 0);
    driver.offer(0);
    driver.write(QUEUE_NOTIFY, TRANSMIT as u32);
}

/// What was said before a reset is written out, however late.
#[test]
fn neither_a_reset_nor_the_end_waits_for_a_slow_reader() {
    const PAGE: usize = 4096;
    const SOON: Duration = Duration::from_secs(5);
    // A kick must not end this process.
    let _signals = signals::take_over().unwrap();
    let (mut reader, writer) = io::pipe().unwrap();
    let mut writer = File::from(OwnedFd::from(writer));
    fcntl(&writer, FcntlArg::F_SETPIPE_SZ(PAGE as i32)).unwrap();
    writer.write_all(&[b'.'; PAGE]).unwrap();
    let stop = Arc::new(AtomicBool::new(false));
    let port = Port::new().unwrap();
    let output = Output::new(Some(writer), stop.clone());
    port.connect(output, EventFd::new(EFD_NONBLOCK).unwrap());
    let mut driver = testing::Driver::with(Box::new(Console::new(port)));
    driver.has_thread = true;
    let workers = Workers::start(vec![driver.device.active_device()]).unwrap();
    let pause = || std::thread::sleep(Duration::from_millis(50));

    say(&mut driver, "first");
    pause();
    assert_eq!(driver.used().0, 0, "the reader is slow");
    let begin = Instant::now();
    say(&mut driver, "second");
    assert!(begin.elapsed() < SOON);
    let mut said = [0; PAGE + 11];
    reader.read_exact(&mut said).unwrap();
    assert_eq!(&said[PAGE..], b"firstsecond");

    let long = "x".repeat(2 * PAGE);
    say(&mut driver, &long);
    pause();
    stop.store(true, Ordering::Relaxed);
    let begin = Instant::now();
    drop(workers);
    assert!(begin.elapsed() < SOON);
}
