//! How a stream ends: by one of the two, by both, by force.

use std::io::{Read, Write};
use std::net::Shutdown;

use super::*;
use crate::devices::virtio::devices::vsock::header::{NO_RECEIVE, NO_SEND};

const PORTS: (u32, u32) = (1, 1000);

fn shutdown(flags: u32) -> Header {
    Header {
        flags,
        ..packet(op::SHUTDOWN, PORTS)
    }
}

fn connected() -> (Guest, UnixStream) {
    let mut guest = Guest::with_room(60);
    let listener = guest.listen(1);
    let socket = guest.connect(&listener, 1);
    (guest, socket)
}

#[track_caller]
fn is_at_its_end(socket: &UnixStream) {
    assert_eq!(read(socket, 100), b"");
}

#[test]
fn the_guest_has_said_all_and_still_listens() {
    let (mut guest, mut socket) = connected();
    guest.send(packet(op::RW, PORTS), b"question");
    guest.send(shutdown(NO_SEND), b"");
    let mut question = String::new();
    socket.read_to_string(&mut question).unwrap();
    assert_eq!(question, "question");
    socket.write_all(b"answer").unwrap();
    assert_eq!(guest.expect(op::RW, PORTS).1, b"answer");
    drop(socket);
    let (header, _) = guest.expect(op::SHUTDOWN, PORTS);
    assert_eq!(header.flags, NO_SEND | NO_RECEIVE);
    guest.send(packet(op::RST, PORTS), b"");
    assert_eq!(guest.next(), None, "nobody answers a reset");
    guest.send(packet(op::RW, PORTS), b"");
    guest.expect(op::RST, PORTS);
}

#[test]
fn the_guest_closes() {
    let (mut guest, socket) = connected();
    guest.send(packet(op::RW, PORTS), b"bye");
    guest.send(shutdown(NO_SEND | NO_RECEIVE), b"");
    guest.expect(op::RST, PORTS);
    assert_eq!(read(&socket, 100), b"bye");
    is_at_its_end(&socket);
    // The same ports serve again.
    let listener = guest.path("vsock_1");
    std::fs::remove_file(listener).unwrap();
    let listener = guest.listen(1);
    guest.connect(&listener, 1);
}

#[test]
fn what_was_said_arrives_after_the_guest_has_closed() {
    let (mut guest, mut socket) = connected();
    let data = vec![7; 16 << 10];
    let mut sent = 0;
    // Until something waits.
    loop {
        guest.send(packet(op::RW, PORTS), &data);
        sent += data.len();
        guest.send(packet(op::CREDIT_REQUEST, PORTS), b"");
        guest.give(1, 1000);
        let last = std::iter::from_fn(|| guest.next()).last().unwrap().0;
        if (last.fwd_cnt as usize) < sent {
            break;
        }
    }
    guest.send(shutdown(NO_SEND | NO_RECEIVE), b"");
    assert_eq!(guest.next(), None, "not before it has arrived");
    let mut received = vec![0; sent];
    let mut seen = 0;
    while seen < sent {
        seen += socket.read(&mut received[seen..]).unwrap();
        guest.look();
    }
    guest.expect(op::RST, PORTS);
    is_at_its_end(&socket);
}

#[test]
fn the_guest_listens_no_more() {
    let (mut guest, mut socket) = connected();
    guest.send(shutdown(NO_RECEIVE), b"");
    assert!(socket.write_all(b"x").is_err(), "who writes knows");
    guest.send(packet(op::RW, PORTS), b"still here");
    assert_eq!(read(&socket, 100), b"still here");
    guest.send(shutdown(NO_SEND), b"");
    guest.expect(op::RST, PORTS);
}

#[test]
fn the_host_has_said_all_and_still_listens() {
    let (mut guest, mut socket) = connected();
    socket.write_all(b"question").unwrap();
    socket.shutdown(Shutdown::Write).unwrap();
    assert_eq!(guest.expect(op::RW, PORTS).1, b"question");
    assert_eq!(guest.expect(op::SHUTDOWN, PORTS).0.flags, NO_SEND);
    guest.send(packet(op::RW, PORTS), b"answer");
    assert_eq!(read(&socket, 100), b"answer");
    drop(socket);
    let flags = guest.expect(op::SHUTDOWN, PORTS).0.flags;
    assert_eq!(flags, NO_SEND | NO_RECEIVE);
    // What it says now is for nobody, and it is not reset for that.
    guest.send(packet(op::RW, PORTS), b"too late");
    assert_eq!(guest.next(), None);
}

#[test]
fn the_host_has_said_something_before_it_closed() {
    let (mut guest, mut socket) = connected();
    socket.write_all(&[1; 1500]).unwrap();
    drop(socket);
    assert_eq!(guest.expect(op::RW, PORTS).1.len(), 1000);
    assert_eq!(guest.expect(op::RW, PORTS).1.len(), 500);
    let flags = guest.expect(op::SHUTDOWN, PORTS).0.flags;
    assert_eq!(flags, NO_SEND | NO_RECEIVE);
    assert_eq!(guest.next(), None);
}

#[test]
fn nobody_listens() {
    let mut guest = Guest::with_room(8);
    guest.send(packet(op::REQUEST, PORTS), b"");
    guest.expect(op::RST, PORTS);
    // A socket that was left, something else, and a name that is too long.
    drop(guest.listen(1));
    std::fs::write(guest.path("vsock_2"), "").unwrap();
    for ports in [PORTS, (2, 1)] {
        guest.send(packet(op::REQUEST, ports), b"");
        guest.expect(op::RST, ports);
    }
}

#[test]
fn a_caller_is_refused_or_goes_before_it_is_answered() {
    let mut guest = Guest::with_room(8);
    let caller = guest.call("CONNECT 5\n");
    guest.expect(op::REQUEST, (1 << 30, 5));
    guest.send(packet(op::RST, (1 << 30, 5)), b"");
    is_at_its_end(&caller);

    drop(guest.call("CONNECT 5\n"));
    let ports = (1 << 30 | 1, 5);
    // It had gone before it was heard.
    guest.expect(op::REQUEST, ports);
    guest.expect(op::RST, ports);
    let caller = guest.call("CONNECT 5\n");
    let ports = (1 << 30 | 2, 5);
    guest.expect(op::REQUEST, ports);
    drop(caller);
    guest.expect(op::RST, ports);
    guest.send(packet(op::RESPONSE, ports), b"");
    guest.expect(op::RST, ports);
}

#[test]
fn a_reset_of_the_device_ends_all() {
    let (mut guest, socket) = connected();
    let asking = guest.call("CONNECT 5\n");
    guest.expect(op::REQUEST, (1 << 30, 5));
    let saying = guest.call("CONN");
    assert_eq!(guest.next(), None);
    guest.driver.reset(STREAMS);
    guest.given.clear();
    for socket in [socket, asking, saying] {
        assert_eq!((&socket).read(&mut [0; 10]).ok(), Some(0));
    }
    assert_eq!(
        guest.next(),
        None,
        "nor is the room for a packet remembered"
    );
    guest.give(1, 100);
    guest.send(packet(op::RW, PORTS), b"");
    guest.expect(op::RST, PORTS);
}
