//! The console device, with a pipe at the other end of its output.

use std::fs::File;
use std::io::{self, Read};
use std::os::fd::OwnedFd;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;

use nix::libc::EFD_NONBLOCK;
use vmm_sys_util::eventfd::EventFd;

use super::super::direct::{BUFFERS, Driver, WRITE, bad_chains};
use super::super::{Device, Used};
use super::{Console, INPUT_CAPACITY, Port, RECEIVE, SIZE, TRANSMIT};
use crate::vmm::console::Output;
use crate::vmm::terminal::Size;

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
    assert_eq!(driver.serve(TRANSMIT), Ok(Used::queue(TRANSMIT)));
    assert_eq!(driver.used(TRANSMIT), [(0, 0), (2, 0)]);
    let mut said = [0; 9001];
    fixture.said.read_exact(&mut said).unwrap();
    assert_eq!(said, [b'a'; 9001]);
}

#[test]
fn input_is_for_a_guest_that_has_said_something() {
    let mut fixture = fixture();
    assert!(!fixture.port.is_driven());
    let driver = &mut fixture.driver;
    driver.offer(RECEIVE, &[(BUFFERS, 100, WRITE)]);
    driver.serve(RECEIVE).unwrap();
    assert!(!fixture.port.is_driven(), "for Linux gives buffers anyway");
    driver.offer(TRANSMIT, &[(BUFFERS, 1, 0)]);
    driver.serve(TRANSMIT).unwrap();
    assert!(fixture.port.is_driven());
    assert_eq!(fixture.space.read().unwrap(), 1, "the event loop knows");
    driver.reset(SIZE);
    assert!(!fixture.port.is_driven());
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
    assert_eq!(driver.ready(), Ok(Used::queue(RECEIVE)));
    assert_eq!(driver.used(RECEIVE), [(0, 5)]);
    driver.offer(RECEIVE, &[(BUFFERS + 5, 100, WRITE)]);
    assert_eq!(driver.serve(RECEIVE), Ok(Used::queue(RECEIVE)));
    assert_eq!(driver.used(RECEIVE), [(2, 6)]);
    assert_eq!(driver.get(BUFFERS, 11), b"hello world");
    assert_eq!(driver.ready(), Ok(Used::NONE));

    // More than there is room for.
    let input = vec![7; INPUT_CAPACITY + 10];
    assert_eq!(port.offer(&input), INPUT_CAPACITY);
    assert_eq!(port.offer(&input), 0);
    assert!(space.read().is_err(), "no room yet");
    driver.offer(RECEIVE, &[(BUFFERS, 8192, WRITE)]);
    driver.ready().unwrap();
    assert_eq!(driver.used(RECEIVE), [(3, INPUT_CAPACITY as u32)]);
    assert_eq!(space.read().unwrap(), 1, "room again");
    assert_eq!(port.offer(&input[INPUT_CAPACITY..]), 10);
}

#[test]
fn a_new_size_is_told() {
    let Fixture {
        mut driver, port, ..
    } = fixture();
    assert_eq!(driver.ready(), Ok(Used::NONE), "there is no terminal");
    let size = |columns, rows| Size { columns, rows };
    port.resize(size(80, 24));
    assert_eq!(driver.ready(), Ok(Used::CONFIG));
    assert_eq!(driver.device.config()[..4], [80, 0, 24, 0]);
    port.resize(size(80, 24));
    assert_eq!(driver.ready(), Ok(Used::NONE), "the same");
    port.resize(size(300, 70));
    driver.reset(SIZE);
    assert_eq!(driver.ready(), Ok(Used::CONFIG), "a new driver");
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
            assert!(driver.serve(queue).is_err(), "{queue}: {what}");
            assert_eq!(driver.used(queue), [], "{queue}: {what}");
            driver.reset(SIZE);
            driver.offer(queue, &[(BUFFERS, 5, flags)]);
            driver.serve(queue).unwrap();
            assert_eq!(driver.used(queue).len(), 1, "{queue}: {what}, reset");
        }
    }
}
