//! The network device over sockets and over taps.

use std::os::fd::OwnedFd;
use std::os::unix::net::UnixDatagram;

use virtio_bindings::virtio_net::{VIRTIO_NET_F_CSUM, VIRTIO_NET_F_MRG_RXBUF};

use super::{Net, RECEIVE, TRANSMIT};
use crate::boot::testing::Random;
use crate::config::NetDevice;
use crate::devices::virtio::device::{Notifications, VirtioDevice};
use crate::devices::virtio::test_driver::{BUFFERS, Driver, WRITE, bad_chains};

const MERGE: u64 = 1 << VIRTIO_NET_F_MRG_RXBUF;
const MAC: [u8; 6] = [2, 0, 0, 1, 2, 3];

fn device(packets: OwnedFd) -> Net {
    Net::new(NetDevice {
        name: "eth0".to_owned(),
        packets,
        mac: MAC,
        mtu: 1500,
    })
    .unwrap()
}

/// A device and the other end of its network.
fn pair() -> (Net, UnixDatagram) {
    let (one, other) = UnixDatagram::pair().unwrap();
    other.set_nonblocking(true).unwrap();
    (device(one.into()), other)
}

fn bytes(len: usize) -> Vec<u8> {
    let mut random = Random::new();
    (0..len).map(|_| random.number() as u8).collect()
}

#[test]
fn it_says_what_it_is() {
    let (net, _other) = pair();
    assert_eq!(net.id(), 1);
    assert_eq!(net.config(), [&MAC[..], &[1, 0, 0, 0, 220, 5]].concat());
    assert_eq!(net.features() >> 15 & 1, 1, "several buffers for a packet");
    assert_eq!(
        net.features() & 1 << VIRTIO_NET_F_CSUM,
        0,
        "a socket wants whole packets"
    );
}

#[test]
fn packets_go_out_without_their_header() {
    let (net, other) = pair();
    let mut driver = Driver::new(net, 0);
    let packet = bytes(1514);
    driver.put(BUFFERS, &[0; 12]);
    driver.put(BUFFERS + 12, &packet);
    // In one piece, with the header alone, in the middle of the header.
    for buffers in [
        vec![(BUFFERS, 1526, 0)],
        vec![(BUFFERS, 12, 0), (BUFFERS + 12, 1514, 0)],
        vec![
            (BUFFERS, 5, 0),
            (BUFFERS + 5, 1000, 0),
            (BUFFERS + 1005, 521, 0),
        ],
    ] {
        let head = driver.offer(TRANSMIT, &buffers);
        assert_eq!(
            driver.process_queue(TRANSMIT),
            Ok(Notifications::queue(TRANSMIT))
        );
        assert_eq!(driver.used(TRANSMIT), [(head.into(), 0)]);
        let mut received = [0; 2000];
        assert_eq!(other.recv(&mut received).unwrap(), 1514);
        assert_eq!(received[..1514], packet);
    }
}

#[test]
fn a_legacy_header_is_shorter() {
    let (net, other) = pair();
    let mut driver = Driver::legacy(net, 0);
    driver.put(BUFFERS, &[0; 10]);
    driver.put(BUFFERS + 10, b"packet");
    driver.offer(TRANSMIT, &[(BUFFERS, 16, 0)]);
    driver.process_queue(TRANSMIT).unwrap();
    let mut received = [0; 100];
    assert_eq!(other.recv(&mut received).unwrap(), 6);
    other.send(b"answer").unwrap();
    driver.put(BUFFERS, &[0xaa; 32]);
    driver.offer(RECEIVE, &[(BUFFERS, 10, WRITE), (BUFFERS + 10, 22, WRITE)]);
    driver.process_queue(RECEIVE).unwrap();
    assert_eq!(driver.used(RECEIVE), [(0, 16)]);
    assert_eq!(driver.get(BUFFERS, 17), b"\0\0\0\0\0\0\0\0\0\0answer\xaa");
}

#[test]
fn packets_come_into_the_buffers_in_order() {
    let (net, other) = pair();
    let mut driver = Driver::new(net, 0);
    assert!(driver.device.event_source().is_none(), "no buffers");
    let heads: Vec<u32> = (0..3)
        .map(|i| driver.offer(RECEIVE, &[(BUFFERS + 0x1000 * i, 2000, WRITE)]))
        .map(u32::from)
        .collect();
    assert_eq!(driver.process_queue(RECEIVE), Ok(Notifications::NONE));
    assert!(driver.device.event_source().is_some());
    for (i, head) in (0..).zip(heads) {
        let packet = bytes(60 + 700 * i as usize);
        other.send(&packet).unwrap();
        assert_eq!(driver.process_event(), Ok(Notifications::queue(RECEIVE)));
        assert_eq!(driver.used(RECEIVE), [(head, 12 + packet.len() as u32)]);
        let header = [0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1, 0];
        assert_eq!(driver.get(BUFFERS + 0x1000 * i, 12), header);
        assert_eq!(driver.get(BUFFERS + 0x1000 * i + 12, packet.len()), packet);
    }
    assert!(
        driver.device.event_source().is_none(),
        "no buffers any more"
    );
}

#[test]
fn a_packet_takes_several_buffers() {
    let (net, other) = pair();
    let mut driver = Driver::new(net, MERGE);
    for i in 0..20 {
        driver.offer(RECEIVE, &[(BUFFERS + 0x1000 * i, 600, WRITE)]);
    }
    driver.process_queue(RECEIVE).unwrap();
    let packet = bytes(1500);
    other.send(&packet).unwrap();
    assert_eq!(driver.process_event(), Ok(Notifications::queue(RECEIVE)));
    assert_eq!(driver.used(RECEIVE), [(0, 600), (1, 600), (2, 312)]);
    assert_eq!(driver.get(BUFFERS + 10, 2), [3, 0], "number of buffers");
    let received = [
        driver.get(BUFFERS + 12, 588),
        driver.get(BUFFERS + 0x1000, 600),
        driver.get(BUFFERS + 0x2000, 312),
    ]
    .concat();
    assert_eq!(received, packet);
    other.send(b"small").unwrap();
    driver.process_event().unwrap();
    assert_eq!(driver.used(RECEIVE), [(3, 17)]);
    assert_eq!(driver.get(BUFFERS + 0x3000 + 10, 2), [1, 0]);
}

#[test]
fn what_is_too_large_is_lost_and_the_next_one_comes() {
    for features in [0, MERGE] {
        let (net, other) = pair();
        let mut driver = Driver::new(net, features);
        driver.offer(RECEIVE, &[(BUFFERS, 112, WRITE)]);
        driver.process_queue(RECEIVE).unwrap();
        other.send(&bytes(101)).unwrap();
        other.send(&bytes(100)).unwrap();
        driver.process_event().unwrap();
        assert_eq!(driver.used(RECEIVE), [(0, 112)]);
        assert_eq!(driver.get(BUFFERS + 12, 100), bytes(100));
    }
}

#[test]
fn both_queues_full_freeze_nothing() {
    let (net, other) = pair();
    let mut driver = Driver::new(net, MERGE);
    // Nobody reads: what the socket does not take is lost, and the buffers come back.
    for _ in 0..10 {
        for _ in 0..64 {
            driver.offer(TRANSMIT, &[(BUFFERS, 1000, 0)]);
        }
        driver.process_queue(TRANSMIT).unwrap();
        assert_eq!(driver.used(TRANSMIT).len(), 64);
    }
    // More packets than buffers.
    let mut sent = 0;
    while other.send(b"packet").is_ok() {
        sent += 1;
    }
    for round in 0..sent {
        driver.offer(RECEIVE, &[(BUFFERS, 2000, WRITE)]);
        driver.process_queue(RECEIVE).unwrap();
        assert_eq!(driver.used(RECEIVE).len(), 1, "{round} of {sent}");
        assert!(driver.device.event_source().is_none());
    }
    let mut buffer = [0; 2000];
    while other.recv(&mut buffer).is_ok() {}
    driver.offer(TRANSMIT, &[(BUFFERS, 1000, 0)]);
    driver.process_queue(TRANSMIT).unwrap();
    assert_eq!(other.recv(&mut buffer).unwrap(), 988);
}

#[test]
fn a_driver_with_room_for_many_packets_is_waited_for() {
    let (net, other) = pair();
    let mut driver = Driver::new(net, MERGE);
    // 64 buffers of 100 bytes; a packet may have 1534.
    for i in 0..64 {
        driver.offer(RECEIVE, &[(BUFFERS + 0x100 * i, 100, WRITE)]);
    }
    driver.process_queue(RECEIVE).unwrap();
    for _ in 0..60 {
        other.send(b"small").unwrap();
        driver.process_event().unwrap();
    }
    assert_eq!(driver.used(RECEIVE).len(), 49, "1500 bytes are left");
    assert!(driver.device.event_source().is_none());
    driver.offer(RECEIVE, &[(BUFFERS, 100, WRITE)]);
    driver.process_queue(RECEIVE).unwrap();
    assert_eq!(driver.used(RECEIVE).len(), 1);
}

#[test]
fn a_reset_forgets_the_buffers() {
    let (net, other) = pair();
    let mut driver = Driver::new(net, 0);
    driver.offer(RECEIVE, &[(BUFFERS, 2000, WRITE)]);
    driver.process_queue(RECEIVE).unwrap();
    driver.reset(1 << 32);
    other.send(b"packet").unwrap();
    assert!(driver.device.event_source().is_none());
    driver.process_event().unwrap();
    assert_eq!(driver.get(BUFFERS, 12), [0; 12]);
    driver.offer(RECEIVE, &[(BUFFERS, 2000, WRITE)]);
    driver.process_queue(RECEIVE).unwrap();
    assert_eq!(driver.used(RECEIVE), [(0, 18)]);
}

#[test]
fn the_end_of_the_network_is_a_link_that_is_down() {
    use nix::sys::socket::{AddressFamily, SockFlag, SockType, socketpair};
    let (one, other) = socketpair(
        AddressFamily::Unix,
        SockType::SeqPacket,
        None,
        SockFlag::empty(),
    )
    .unwrap();
    let mut driver = Driver::new(device(one), 0);
    driver.offer(RECEIVE, &[(BUFFERS, 2000, WRITE)]);
    driver.process_queue(RECEIVE).unwrap();
    drop(other);
    assert_eq!(driver.process_event(), Ok(Notifications::CONFIG));
    assert_eq!(driver.device.config()[6], 0);
    assert!(driver.device.event_source().is_none());
    driver.offer(TRANSMIT, &[(BUFFERS, 1000, 0)]);
    driver.process_queue(TRANSMIT).unwrap();
    assert_eq!(driver.used(TRANSMIT).len(), 1);
}

#[test]
fn a_bad_chain_breaks_the_device() {
    for (queue, flags) in [(RECEIVE, WRITE), (TRANSMIT, 0)] {
        for (what, entries) in bad_chains(flags) {
            let (net, other) = pair();
            other.send(&[0; 60]).unwrap();
            let mut driver = Driver::new(net, 0);
            for (index, entry) in (0..).zip(entries) {
                driver.describe(queue, index, entry);
            }
            driver.make_available(queue, 0);
            assert!(driver.process_queue(queue).is_err(), "{queue}: {what}");
            assert_eq!(driver.used(queue), [], "{queue}: {what}");
            driver.reset(1 << 32);
            driver.put(BUFFERS, &[0; 12]);
            driver.offer(queue, &[(BUFFERS, 100, flags)]);
            driver.process_queue(queue).unwrap();
            assert_eq!(
                driver.used(queue).len(),
                1,
                "{queue}: {what}, after a reset"
            );
        }
    }
}

#[test]
fn a_header_that_was_not_negotiated_is_not_passed_on() {
    let (net, other) = pair();
    let mut driver = Driver::new(net, 0);
    for (flags, kind) in [(1, 0), (0, 1), (0, 4), (0, 3), (0, 0x80), (0, 77)] {
        driver.put(BUFFERS, &[flags, kind]);
        driver.offer(TRANSMIT, &[(BUFFERS, 100, 0)]);
        driver.process_queue(TRANSMIT).unwrap();
        assert_eq!(driver.used(TRANSMIT).len(), 1);
        assert!(other.recv(&mut [0; 100]).is_err(), "{flags} {kind}");
    }
}
