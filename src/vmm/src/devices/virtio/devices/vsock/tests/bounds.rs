//! What a guest must not do, and how much of anything there can be.

use std::io::ErrorKind;

use super::*;
use crate::devices::virtio::devices::vsock::{connection, muxer};
use crate::devices::virtio::test_driver::bad_chains;

const PORTS: (u32, u32) = (1, 1000);

#[test]
fn a_packet_that_makes_no_sense_is_reset() {
    let mut guest = Guest::with_room(60);
    let listener = guest.listen(1);
    for header in [
        packet(0, PORTS),
        packet(op::RESPONSE, PORTS),
        packet(op::SHUTDOWN, PORTS),
        packet(op::RW, PORTS),
        packet(op::CREDIT_UPDATE, PORTS),
        packet(op::CREDIT_REQUEST, PORTS),
        packet(8, PORTS),
        packet(0xffff, PORTS),
        packet(op::REQUEST, (1, header::NO_PORT)),
    ] {
        guest.send(header, b"data");
        guest.expect(op::RST, (header.dst_port, header.src_port));
    }
    let request = packet(op::REQUEST, PORTS);
    for header in [
        Header {
            src_cid: 4,
            ..request
        },
        Header {
            dst_cid: 3,
            ..request
        },
        Header {
            dst_cid: 1,
            ..request
        },
        Header { kind: 0, ..request },
        Header { kind: 2, ..request },
    ] {
        guest.send(header, b"");
        let (answer, _) = guest.next().unwrap();
        assert_eq!(
            answer,
            Header {
                src_port: 1,
                dst_port: 1000,
                ..header.reset()
            }
        );
        guest.send(
            Header {
                op: op::RST,
                ..header
            },
            b"",
        );
        assert_eq!(guest.next(), None, "nobody answers a reset");
    }
    listener.set_nonblocking(true).unwrap();
    assert!(listener.accept().is_err(), "nobody was connected");
}

#[test]
fn a_connection_is_reset_for_what_it_does_not_allow() {
    let mut guest = Guest::with_room(60);
    let listener = guest.listen(1);
    for (op, flags) in [(op::REQUEST, 0), (op::RESPONSE, 0), (0, 0), (9, 0)] {
        let socket = guest.connect(&listener, 1);
        guest.send(
            Header {
                flags,
                ..packet(op, PORTS)
            },
            b"",
        );
        guest.expect(op::RST, PORTS);
        assert_eq!(read(&socket, 10), b"", "{op}");
    }
    // It says something after it has said that it will not.
    let _socket = guest.connect(&listener, 1);
    let flags = header::NO_SEND;
    guest.send(
        Header {
            flags,
            ..packet(op::SHUTDOWN, PORTS)
        },
        b"",
    );
    guest.send(packet(op::RW, PORTS), b"more");
    guest.expect(op::RST, PORTS);
    // It says something before it has accepted.
    let caller = guest.call("CONNECT 7\n");
    let ports = (1 << 30, 7);
    guest.expect(op::REQUEST, ports);
    guest.send(packet(op::RW, ports), b"early");
    guest.expect(op::RST, ports);
    assert_eq!(read(&caller, 10), b"");
}

#[test]
fn more_than_there_is_credit_for_is_a_reset() {
    let mut guest = Guest::with_room(60);
    let listener = guest.listen(1);
    let _socket = guest.connect(&listener, 1);
    guest.send(
        packet(op::RW, PORTS),
        &vec![0; connection::BUF_ALLOC as usize + 1],
    );
    guest.expect(op::RST, PORTS);
    let _socket = guest.connect(&listener, 1);
    // Nobody reads.
    for _ in 0..1000 {
        guest.send(packet(op::RW, PORTS), &[0; 8192]);
        while let Some((header, _)) = guest.next() {
            guest.give(1, 100);
            if header.op == op::RST {
                return;
            }
        }
    }
    panic!("8 MB were kept");
}

#[test]
fn there_are_so_many_connections_and_no_more() {
    let mut guest = Guest::new();
    let listener = guest.listen(1);
    let max = muxer::MAX as u32;
    let mut sockets = Vec::new();
    for port in 0..max {
        guest.give(1, 100);
        guest.send(packet(op::REQUEST, (1, port)), b"");
        guest.expect(op::RESPONSE, (1, port));
        sockets.push(listener.accept().unwrap());
    }
    guest.give(3, 100);
    guest.send(packet(op::REQUEST, (1, max)), b"");
    guest.expect(op::RST, (1, max));
    let caller = guest.call("CONNECT 5\n");
    assert_eq!(guest.next(), None);
    assert_eq!(read(&caller, 10), b"", "sent away");
    guest.send(packet(op::RST, (1, 7)), b"");
    guest.send(packet(op::REQUEST, (1, max)), b"");
    guest.expect(op::RESPONSE, (1, max));
}

#[test]
fn of_callers_who_say_nothing_the_oldest_goes() {
    let mut guest = Guest::with_room(8);
    let callers: Vec<_> = (0..100).map(|_| guest.call("CONN")).collect();
    assert_eq!(guest.next(), None);
    for (number, caller) in callers.iter().enumerate() {
        caller.set_nonblocking(true).unwrap();
        let result = (&mut &*caller).read(&mut [0; 10]);
        let stays = result.is_err_and(|e| e.kind() == ErrorKind::WouldBlock);
        assert_eq!(stays, number >= 68, "{number}");
    }
    let mut caller = &callers[99];
    caller.write_all(b"ECT 1\n").unwrap();
    guest.expect(op::REQUEST, (1 << 30, 1));
}

#[test]
fn a_guest_that_takes_no_answers_is_not_heard() {
    let mut guest = Guest::new();
    guest.driver.put(BUFFERS, &packet(op::RW, PORTS).bytes());
    let mut heard = 0;
    for _ in 0..6 {
        for _ in 0..32 {
            guest.driver.offer(TRANSMIT, &[(BUFFERS, 44, 0)]);
        }
        guest.driver.process_queue(TRANSMIT).unwrap();
        heard += guest.driver.used(TRANSMIT).len();
    }
    assert_eq!(heard, 128);
    // The rest is heard as soon as it takes some.
    let mut answers = 0;
    while answers < 6 * 32 {
        guest.give(16, 100);
        while guest.next().is_some() {
            answers += 1;
        }
    }
    assert_eq!(heard + guest.driver.used(TRANSMIT).len(), 6 * 32);
}

#[test]
fn a_bad_chain_breaks_the_device() {
    for (queue, flags) in [(RECEIVE, WRITE), (TRANSMIT, 0)] {
        for (what, entries) in bad_chains(flags) {
            let mut guest = Guest::new();
            guest.driver.put(BUFFERS, &packet(op::RW, PORTS).bytes());
            // There is an answer to give.
            guest.driver.offer(TRANSMIT, &[(BUFFERS, 44, 0)]);
            guest.driver.process_queue(TRANSMIT).unwrap();
            guest.driver.used(TRANSMIT);
            for (index, entry) in (0..).zip(entries) {
                guest.driver.describe(queue, index, entry);
            }
            guest.driver.make_available(queue, 0);
            assert!(
                guest.driver.process_queue(queue).is_err(),
                "{queue}: {what}"
            );
            assert_eq!(guest.driver.used(queue), [], "{queue}: {what}");
            guest.driver.reset(STREAMS);
            guest.give(1, 100);
            guest.send(packet(op::RW, PORTS), b"");
            guest.expect(op::RST, PORTS);
        }
    }
}

#[test]
fn a_guest_that_lies_about_lengths_breaks_the_device() {
    for (len, size) in [(1, 44), (u32::MAX, 44), (101, 144), (0, 43), (0, 0)] {
        let mut guest = Guest::with_room(8);
        let header = packet(op::RW, PORTS);
        guest.driver.put(BUFFERS, &Header { len, ..header }.bytes());
        guest.driver.offer(TRANSMIT, &[(BUFFERS, size, 0)]);
        assert!(
            guest.driver.process_queue(TRANSMIT).is_err(),
            "{len} {size}"
        );
    }
    // What is behind the packet is not looked at.
    let mut guest = Guest::with_room(8);
    guest.driver.put(BUFFERS, &packet(op::RW, PORTS).bytes());
    guest.driver.offer(TRANSMIT, &[(BUFFERS, 144, 0)]);
    guest.driver.process_queue(TRANSMIT).unwrap();
    guest.expect(op::RST, PORTS);
}

#[test]
fn a_buffer_without_room_for_data_breaks_the_device() {
    for size in [1, 43, 44] {
        let mut guest = Guest::new();
        guest.send(packet(op::RW, PORTS), b"");
        guest.driver.offer(RECEIVE, &[(ROOM, size, WRITE)]);
        assert!(guest.driver.process_queue(RECEIVE).is_err(), "{size}");
    }
}
