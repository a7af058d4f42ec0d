//! The socket device under a driver that means harm, with peers of all kinds.

use std::io::{Read, Write};
use std::net::Shutdown;
use std::os::unix::net::{UnixListener, UnixStream};

use nix::poll::{PollFd, PollTimeout, poll};

use super::devices::drive;
use super::input::Input;
use crate::bits::low;
use crate::config;
use crate::devices::virtio::device::VirtioDevice;
use crate::devices::virtio::devices::vsock::Vsock;
use crate::devices::virtio::devices::vsock::header::{GUEST, HOST, Header, STREAM};
use crate::devices::virtio::test_driver::{BUFFERS, Driver};

/// The guest's packets.
const TRANSMIT: usize = 1;
/// How many peers there are at a time.
const MAX: usize = 12;
/// How often the device may be called before it has nothing to do: far more than there can be.
const TIMEOUT: usize = 10_000;

struct HostPeers {
    dir: tempfile::TempDir,
    listeners: [UnixListener; 2],
    streams: Vec<UnixStream>,
}

/// The socket device. Whatever was done, its thread comes to rest.
///
/// # Panics
/// Where something does not hold that must.
pub fn vsock(input: &[u8]) {
    let dir = tempfile::tempdir().expect("a directory");
    let listen = |name: &str| UnixListener::bind(dir.path().join(name)).expect("a socket");
    let listener = listen("vsock");
    let listeners = [listen("vsock_0"), listen("vsock_1")];
    for listener in &listeners {
        listener.set_nonblocking(true).expect("a socket");
    }
    let path = dir.path().join("vsock");
    let vsock = Vsock::new(config::Vsock { listener, path }).expect("a device");
    let mut peers = HostPeers {
        dir,
        listeners,
        streams: Vec::new(),
    };
    let mut driver = drive(vsock, input, |input, driver| match input.u8() {
        0..128 => offer_packet(input, driver),
        what => peers.act(what, input),
    });
    for _ in 0..TIMEOUT {
        let source = driver.device.event_source().expect("a source");
        let mut fds = [PollFd::new(source.fd, source.events)];
        if poll(&mut fds, PollTimeout::ZERO) == Ok(0) {
            return;
        }
        if driver.process_event().is_err() {
            driver.reset(0);
        }
    }
    panic!("the device's thread never rests");
}

/// Offers a packet that is nearly right.
fn offer_packet(input: &mut Input<'_>, driver: &mut Driver<Vsock>) {
    let right = |byte: u8, value: u64| if byte < 240 { value } else { byte.into() };
    let header = Header {
        op: u16::from(input.u8() % 9),
        dst_port: match input.u8() {
            port @ 0..192 => (port % 3).into(),
            port => (1 << 30) + u32::from(port % 8),
        },
        src_port: (input.u8() % 3).into(),
        src_cid: right(input.u8(), GUEST),
        dst_cid: right(input.u8(), HOST),
        kind: match input.u8() {
            0..240 => STREAM,
            kind => kind.into(),
        },
        flags: input.u8().into(),
        buf_alloc: input.u16().into(),
        fwd_cnt: input.u16().into(),
        len: input.u16().into(),
    };
    // Behind a header there is whatever was there before.
    let gpa = BUFFERS + 0x1_0000 * u64::from(input.u8() % 4);
    let bytes = header.bytes();
    driver.put(gpa, &bytes);
    let size = low(bytes.len() as u64) + header.len;
    driver.offer(TRANSMIT, &[(gpa, size, 0)]);
}

impl HostPeers {
    fn act(&mut self, what: u8, input: &mut Input<'_>) {
        let of = input.u8();
        match what {
            ..150 => {
                if let Ok((stream, _)) = self.listeners[usize::from(of % 2)].accept() {
                    self.add(stream);
                }
            }
            150..170 => {
                let path = self.dir.path().join("vsock");
                if self.streams.len() < MAX
                    && let Ok(mut stream) = UnixStream::connect(path)
                {
                    let line = format!("CONNECT {}\nand more", of % 3);
                    let len = usize::from(input.u8()).min(line.len());
                    let _ = stream.write(&line.as_bytes()[..len]);
                    self.add(stream);
                }
            }
            170..=254 if self.streams.is_empty() => {}
            170..=254 => {
                let which = usize::from(of) % self.streams.len();
                let stream = &mut self.streams[which];
                let len = usize::from(input.u16());
                let _ = match what {
                    170..200 => stream.write(&vec![b'n'; len]).map(drop),
                    200..230 => stream.read(&mut vec![0; len]).map(drop),
                    230..238 => stream.shutdown(Shutdown::Write),
                    238..245 => stream.shutdown(Shutdown::Read),
                    _ => {
                        self.streams.remove(which);
                        Ok(())
                    }
                };
            }
            255 => self.streams.clear(),
        }
    }

    fn add(&mut self, stream: UnixStream) {
        if self.streams.len() < MAX && stream.set_nonblocking(true).is_ok() {
            self.streams.push(stream);
        }
    }
}
