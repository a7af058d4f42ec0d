//! The socket device, with a driver for tests on one side and Unix sockets on the other.

mod bounds;
mod ends;
mod streams;

use std::collections::{HashMap, VecDeque};
use std::io::{Read, Write};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::PathBuf;
use std::time::Duration;

use nix::poll::{PollFd, PollTimeout, poll};

use super::header::{self, GUEST, HOST, Header, STREAM, op};
use super::{RECEIVE, STREAMS, TRANSMIT, Vsock};
use crate::config;
use crate::devices::virtio::device::VirtioDevice;
use crate::devices::virtio::test_driver::{BUFFERS, Driver, WRITE};

/// Where the buffers for packets to the guest lie: behind those of its own.
const ROOM: u64 = BUFFERS + 0x2_0000;
const STRIDE: u64 = 0x1000;

struct Guest {
    driver: Driver<Vsock>,
    dir: tempfile::TempDir,
    /// Buffers that were given for packets, by their heads.
    given: HashMap<u32, u64>,
    packets: VecDeque<(Header, Vec<u8>)>,
}

impl Guest {
    fn new() -> Guest {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("vsock");
        let listener = UnixListener::bind(&path).unwrap();
        let vsock = Vsock::new(config::Vsock { listener, path }).unwrap();
        Guest {
            driver: Driver::new(vsock, STREAMS),
            dir,
            given: HashMap::new(),
            packets: VecDeque::new(),
        }
    }

    /// With buffers for so many packets of up to 1000 bytes.
    fn with_room(count: usize) -> Guest {
        let mut guest = Guest::new();
        guest.give(count, 1000);
        guest
    }

    fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    /// Somebody who listens where the guest's connections with `port` go.
    fn listen(&self, port: u32) -> UnixListener {
        UnixListener::bind(self.path(&format!("vsock_{port}"))).unwrap()
    }

    /// Somebody who connects and says `line`.
    fn call(&self, line: &str) -> UnixStream {
        let mut caller = UnixStream::connect(self.path("vsock")).unwrap();
        let timeout = Some(Duration::from_secs(10));
        caller.set_read_timeout(timeout).unwrap();
        caller.write_all(line.as_bytes()).unwrap();
        caller
    }

    /// Gives buffers for so many packets, each with room for `len` bytes of data.
    fn give(&mut self, count: usize, len: u32) {
        for _ in 0..count {
            let size = header::SIZE as u32 + len;
            // The head is known when it is offered: all of a size lie at places of their own.
            let gpa = ROOM + STRIDE * (self.given.len() as u64);
            let head = self.driver.offer(RECEIVE, &[(gpa, size, WRITE)]);
            self.given.insert(head.into(), gpa);
        }
        self.driver.process_queue(RECEIVE).unwrap();
    }

    /// Sends a packet.
    fn send(&mut self, header: Header, data: &[u8]) {
        let len = data.len() as u32;
        let bytes = [&Header { len, ..header }.bytes(), data].concat();
        self.driver.put(BUFFERS, &bytes);
        let size = bytes.len() as u32;
        // In two iovecs, the header among both.
        let buffers = [(BUFFERS, 20, 0), (BUFFERS + 20, size - 20, 0)];
        self.driver.offer(TRANSMIT, &buffers);
        self.driver.process_queue(TRANSMIT).unwrap();
        assert_eq!(self.driver.used(TRANSMIT).len(), 1, "{header:?}");
    }

    /// Lets the device look at its sockets for as long as there is something to see, as its thread
    /// does.
    fn look(&mut self) {
        for _ in 0..1000 {
            let source = self.driver.device.event_source().unwrap();
            let mut fds = [PollFd::new(source.fd, source.events)];
            if poll(&mut fds, PollTimeout::ZERO) == Ok(0) {
                return;
            }
            self.driver.process_event().unwrap();
        }
        panic!("the device's thread would never rest");
    }

    /// The next packet, once the device has looked at its sockets.
    fn next(&mut self) -> Option<(Header, Vec<u8>)> {
        self.look();
        for (head, len) in self.driver.used(RECEIVE) {
            let bytes = self.driver.get(self.given[&head], len as usize);
            let (head, data) = bytes.split_at(header::SIZE);
            let header = Header::read(head.try_into().unwrap());
            assert_eq!(header.len as usize, data.len());
            self.packets.push_back((header, data.to_vec()));
        }
        self.packets.pop_front()
    }

    /// The next packet is this one, of a connection with those ports of the host's and the guest's.
    #[track_caller]
    fn expect(&mut self, op: u16, ports: (u32, u32)) -> (Header, Vec<u8>) {
        let (header, data) = self.next().expect("a packet");
        let cids = (header.src_cid, header.dst_cid);
        assert_eq!((cids, header.kind), ((HOST, GUEST), STREAM));
        assert_eq!(
            (header.op, header.src_port, header.dst_port),
            (op, ports.0, ports.1)
        );
        (header, data)
    }

    /// Connects port 1000 with a listener at `port` of the host's.
    #[track_caller]
    fn connect(&mut self, listener: &UnixListener, port: u32) -> UnixStream {
        self.send(packet(op::REQUEST, (port, 1000)), b"");
        self.expect(op::RESPONSE, (port, 1000));
        listener.accept().unwrap().0
    }
}

/// A packet of the guest's with so much room for answers.
fn packet(op: u16, (host, guest): (u32, u32)) -> Header {
    Header {
        src_cid: GUEST,
        dst_cid: HOST,
        src_port: guest,
        dst_port: host,
        kind: STREAM,
        op,
        buf_alloc: 1 << 20,
        ..Header::default()
    }
}

/// What there is to read, without waiting, up to so many bytes.
fn read(mut socket: &UnixStream, max: usize) -> Vec<u8> {
    let mut bytes = vec![0; max];
    let len = socket.read(&mut bytes).unwrap();
    bytes.truncate(len);
    bytes
}
