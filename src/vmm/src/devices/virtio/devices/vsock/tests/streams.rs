//! Streams as they should be: both ways, and as fast as their readers.

use std::io::{ErrorKind, Read, Write};

use super::*;
use crate::devices::virtio::devices::vsock::connection;

#[test]
fn the_device_says_who_the_guest_is() {
    let guest = Guest::new();
    let device = &guest.driver.device;
    assert_eq!((device.id(), device.features()), (19, 1));
    assert_eq!(device.config(), [3, 0, 0, 0, 0, 0, 0, 0]);
    assert_eq!(device.queue_sizes().len(), 3);
}

#[test]
fn the_guest_connects_with_who_listens_beside_it() {
    let mut guest = Guest::with_room(8);
    let listener = guest.listen(52);
    guest.send(packet(op::REQUEST, (52, 1000)), b"");
    let (response, _) = guest.expect(op::RESPONSE, (52, 1000));
    assert_eq!(
        (response.buf_alloc, response.fwd_cnt),
        (connection::BUF_ALLOC, 0)
    );
    let (mut socket, _) = listener.accept().unwrap();
    guest.send(packet(op::RW, (52, 1000)), b"from the guest");
    assert_eq!(read(&socket, 100), b"from the guest");
    socket.write_all(b"from the host").unwrap();
    let (header, data) = guest.expect(op::RW, (52, 1000));
    assert_eq!(data, b"from the host");
    assert_eq!(header.fwd_cnt, 14, "it has taken what was said");
    assert_eq!(guest.next(), None);
}

#[test]
fn somebody_connects_with_a_port_of_the_guests() {
    let mut guest = Guest::with_room(8);
    // It does not wait for the answer with what it has to say.
    let caller = guest.call("CONNECT 1234\nhello");
    let ports = (1 << 30, 1234);
    guest.expect(op::REQUEST, ports);
    assert_eq!(guest.next(), None, "nothing before it has accepted");
    let room = |op, buf_alloc, fwd_cnt| Header {
        buf_alloc,
        fwd_cnt,
        ..packet(op, ports)
    };
    guest.send(room(op::RESPONSE, 3, 0), b"");
    assert_eq!(read(&caller, 100), b"OK 1073741824\n");
    assert_eq!(guest.expect(op::RW, ports).1, b"hel");
    guest.expect(op::CREDIT_REQUEST, ports);
    assert_eq!(guest.next(), None, "it was asked, and has not answered");
    guest.send(room(op::CREDIT_UPDATE, 3, 2), b"");
    assert_eq!(guest.expect(op::RW, ports).1, b"lo");
    guest.expect(op::CREDIT_REQUEST, ports);
    guest.send(packet(op::RW, ports), b"bye");
    assert_eq!(read(&caller, 100), b"bye");
    // The next one has another port.
    let _caller = guest.call("connect 1234\r\n");
    guest.expect(op::REQUEST, (1 << 30 | 1, 1234));
}

#[test]
fn a_caller_may_take_its_time_for_the_line() {
    let mut guest = Guest::with_room(8);
    let mut caller = guest.call("CONN");
    for part in ["EC", "T 4294967", "294"] {
        assert_eq!(guest.next(), None);
        caller.write_all(part.as_bytes()).unwrap();
    }
    assert_eq!(guest.next(), None);
    caller.write_all(b"\n").unwrap();
    guest.expect(op::REQUEST, (1 << 30, 4_294_967_294));
}

#[test]
fn who_says_something_else_is_sent_away() {
    let mut guest = Guest::with_room(8);
    for line in [
        "\n",
        "CONNECT\n",
        "CONNECT \n",
        "CONNECT x\n",
        "CONNECT -1\n",
        "CONNECT 4294967295\n", // any port
        "CONNECT 4294967296\n",
        "CONNECT 1 2\n",
        "HELLO 1\n",
        "\u{ff} 1\n",
        "CONNECT                        1\n", // longer than any line
        "CONNECT 1                                                              ",
    ] {
        let mut caller = guest.call(line);
        assert_eq!(guest.next(), None);
        assert_eq!(guest.next(), None);
        // A reset, where it has said more than was read.
        let result = caller.read(&mut [0; 10]);
        let is_reset = |e: &std::io::Error| e.kind() == ErrorKind::ConnectionReset;
        assert!(
            matches!(&result, Ok(0)) || result.is_err_and(|e| is_reset(&e)),
            "{line:?}"
        );
    }
    drop(guest.call(""));
    assert_eq!(guest.next(), None, "who says nothing");
}

#[test]
fn whoever_does_not_read_stops_nobody_else() {
    let mut guest = Guest::with_room(60);
    let (slow, other) = (guest.listen(1), guest.listen(2));
    let mut slow = guest.connect(&slow, 1);
    let other = guest.connect(&other, 2);
    let data: Vec<u8> = (0..16 << 10).map(|n| (n % 251) as u8).collect();
    // What the guest has sent, and what it knows to have been taken.
    let (mut sent, mut taken) = (0, 0);
    while sent + data.len() as u32 - taken <= connection::BUF_ALLOC {
        guest.send(packet(op::RW, (1, 1000)), &data);
        sent += data.len() as u32;
        while let Some((header, _)) = guest.next() {
            assert_eq!(header.op, op::CREDIT_UPDATE);
            taken = header.fwd_cnt;
            guest.give(1, 1000);
        }
        assert!(sent < 100 << 20, "nothing is kept back");
    }
    guest.send(packet(op::CREDIT_REQUEST, (1, 1000)), b"");
    let (header, _) = guest.expect(op::CREDIT_UPDATE, (1, 1000));
    assert!(sent - header.fwd_cnt > 0, "something waits");
    guest.send(packet(op::RW, (2, 1000)), b"as ever");
    assert_eq!(read(&other, 100), b"as ever");

    // All that was said arrives, and then there is credit again.
    let mut received = vec![0; sent as usize];
    let mut seen = 0;
    while seen < received.len() {
        seen += slow.read(&mut received[seen..]).unwrap();
        guest.look();
    }
    assert!(received.chunks(data.len()).all(|chunk| chunk == data));
    guest.send(packet(op::CREDIT_REQUEST, (1, 1000)), b"");
    let last = std::iter::from_fn(|| guest.next()).last().unwrap().0;
    assert_eq!((last.op, last.fwd_cnt), (op::CREDIT_UPDATE, sent));
}

#[test]
fn all_get_their_turn() {
    let mut guest = Guest::with_room(2);
    let (one, other) = (guest.listen(1), guest.listen(2));
    let mut one = guest.connect(&one, 1);
    let mut other = guest.connect(&other, 2);
    one.write_all(&[1; 10_000]).unwrap();
    other.write_all(&[2; 10_000]).unwrap();
    assert_eq!(guest.next(), None, "no room");
    let mut seen = Vec::new();
    for _ in 0..8 {
        guest.give(1, 100);
        seen.push(guest.next().unwrap().1[0]);
    }
    assert_eq!(seen, [1, 2, 1, 2, 1, 2, 1, 2]);
}
