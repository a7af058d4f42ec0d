//! All streams of a guest's: which packet is for which, and which of them is next.

use std::collections::{BTreeMap, VecDeque};
use std::io;
use std::ops::Bound;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, RawFd};
use std::os::unix::net::UnixStream;
use std::path::PathBuf;

use nix::sys::epoll::{Epoll, EpollEvent, EpollFlags, EpollTimeout};

use super::connection::{Connection, Reset};
use super::header::{GUEST, HOST, Header, NO_PORT, Ports, STREAM, op};
use super::host::{self, HostListener};
use crate::config::Vsock;
use crate::devices::virtio::device::NeedsReset;
use crate::devices::virtio::queue::iovec::GuestIovec;
use crate::memory::GuestMemory;

/// The most connections at a time.
pub(super) const MAX: usize = 128;
/// How many replies may wait for the guest to have buffers for them. Beyond that none of its
/// packets is processed (virtio 1.2, section 5.10.6.1).
const MAX_REPLIES: usize = 128;
/// From here on are the host's ports of connections that it requests.
const FIRST_PORT: u32 = 1 << 30;
/// How many sockets are looked at in a turn.
const TURN: usize = 64;
/// The listener's token; the connections have those of their ports.
const LISTENER: u64 = u64::MAX;

/// The streams, and where new ones come from.
pub(super) struct Muxer {
    listener: HostListener,
    path: PathBuf,
    connections: BTreeMap<Ports, Connection>,
    /// RST packets for the guest.
    replies: VecDeque<Header>,
    /// Whose packet was the last one.
    last: Ports,
    /// The last of the host's ports that was given away.
    last_port: u32,
    epoll: Epoll,
}

impl Muxer {
    /// # Errors
    /// Those of epoll_create(2) and epoll_ctl(2).
    pub(super) fn new(vsock: Vsock) -> io::Result<Muxer> {
        let listener = HostListener::new(vsock.listener)?;
        let epoll = host::epoll()?;
        epoll.add(&listener, EpollEvent::new(EpollFlags::EPOLLIN, LISTENER))?;
        Ok(Muxer {
            listener,
            path: vsock.path,
            connections: BTreeMap::new(),
            replies: VecDeque::new(),
            last: Ports { host: 0, guest: 0 },
            last_port: FIRST_PORT - 1,
            epoll,
        })
    }

    /// Whether the guest is to take replies before its packets are processed.
    pub(super) fn is_congested(&self) -> bool {
        self.replies.len() >= MAX_REPLIES
    }

    /// Takes in a packet of the guest's, of which `data` is the rest.
    pub(super) fn process_packet(&mut self, header: &Header, data: &[u8]) {
        let ports = header.ports();
        let is_known = (header.src_cid, header.dst_cid, header.kind) == (GUEST, HOST, STREAM);
        let result = match (is_known, header.op, self.connections.get_mut(&ports)) {
            (true, op::RST, _) => {
                self.connections.remove(&ports);
                return;
            }
            // There is no reply to a reset.
            (false, op::RST, _) => return,
            (true, op::REQUEST, None) => self.accept(header),
            (true, _, Some(connection)) => connection.process_packet(header, data),
            _ => Err(Reset),
        };
        if result == Err(Reset) {
            if is_known {
                self.connections.remove(&ports);
            }
            self.replies.push_back(header.reset());
        }
    }

    /// Connects the guest with a socket of the host's.
    fn accept(&mut self, request: &Header) -> Result<(), Reset> {
        let ports = request.ports();
        if self.connections.len() >= MAX || ports.guest == NO_PORT {
            return Err(Reset);
        }
        let socket = host::connect_to(&self.path, ports.host).map_err(|_| Reset)?;
        self.add(ports, Connection::from_guest(request, socket))
    }

    /// Requests a connection with the guest's `port` for a process of the host's, or closes its
    /// socket.
    fn connect_guest(&mut self, socket: UnixStream, port: u32) {
        if self.connections.len() < MAX {
            let ports = self.free_port(port);
            let _ = self.add(ports, Connection::to_guest(ports, socket));
        }
    }

    /// With the next one of the host's ports that has no connection with that port.
    fn free_port(&mut self, guest: u32) -> Ports {
        loop {
            let next = self.last_port.wrapping_add(1);
            // NO_PORT is among those that are passed over.
            self.last_port = if next < NO_PORT {
                next.max(FIRST_PORT)
            } else {
                FIRST_PORT
            };
            let ports = Ports {
                host: self.last_port,
                guest,
            };
            // There are more ports than connections.
            if !self.connections.contains_key(&ports) {
                return ports;
            }
        }
    }

    fn add(&mut self, ports: Ports, connection: Connection) -> Result<(), Reset> {
        let events = EpollFlags::EPOLLIN
            | EpollFlags::EPOLLOUT
            | EpollFlags::EPOLLRDHUP
            | EpollFlags::EPOLLET;
        let event = EpollEvent::new(events, ports.token());
        self.epoll.add(&connection, event).map_err(|_| Reset)?;
        self.connections.insert(ports, connection);
        Ok(())
    }

    /// Processes the events of the sockets that are ready.
    pub(super) fn process_event(&mut self) {
        let mut events = [EpollEvent::empty(); TURN];
        // It fails for a signal only, and is called again.
        let count = self.epoll.wait(&mut events, EpollTimeout::ZERO);
        for event in &events[..count.unwrap_or(0)] {
            if event.data() == LISTENER {
                for (socket, port) in self.listener.process_event() {
                    self.connect_guest(socket, port);
                }
                continue;
            }
            let ports = Ports::of_token(event.data());
            let connection = self.connections.get_mut(&ports);
            let result = connection.map_or(Ok(()), |connection| {
                connection.process_event(event.events())
            });
            if result == Err(Reset) {
                self.connections.remove(&ports);
                self.replies.push_back(Header::to_guest(ports, op::RST));
            }
        }
    }

    /// Whether [`Muxer::next`] may have a packet.
    pub(super) fn has_packet(&self) -> bool {
        !self.replies.is_empty() || self.next_in_turn().is_some()
    }

    /// The next packet for the guest, whose data this has put into `room`; `None` where there is
    /// none after all.
    ///
    /// # Errors
    /// [`NeedsReset`] where no memory is.
    pub(super) fn next(
        &mut self,
        room: &[GuestIovec],
        memory: &GuestMemory,
    ) -> Result<Option<Header>, NeedsReset> {
        if let Some(reply) = self.replies.pop_front() {
            return Ok(Some(reply));
        }
        let Some(ports) = self.next_in_turn() else {
            return Ok(None);
        };
        self.last = ports;
        let connection = self.connections.get_mut(&ports);
        connection.map_or(Ok(None), |connection| connection.next(room, memory))
    }

    /// The connection whose turn it is, of those that have a packet.
    fn next_in_turn(&self) -> Option<Ports> {
        let behind = (Bound::Excluded(self.last), Bound::Unbounded);
        let behind = self.connections.range(behind);
        let mut all = behind.chain(self.connections.range(..=self.last));
        let next = all.find(|(_, connection)| connection.has_packet());
        next.map(|(ports, _)| *ports)
    }

    /// Ends all connections, and those that were about to become some.
    pub(super) fn reset(&mut self) {
        self.connections.clear();
        self.replies.clear();
        self.listener.clear();
    }

    /// Those that it begins with.
    pub(super) fn descriptors(&self) -> Vec<RawFd> {
        let [listener, epoll] = self.listener.descriptors();
        vec![listener, epoll, self.epoll.0.as_raw_fd()]
    }
}

impl AsFd for Muxer {
    /// Readable when [`Muxer::process_event`] has something to do.
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.epoll.0.as_fd()
    }
}
