//! One stream between a port of the guest's and a Unix socket (virtio 1.2, section 5.10.6).

use std::io::{ErrorKind, Write};
use std::net::Shutdown;
use std::os::fd::{AsFd, BorrowedFd};
use std::os::unix::net::UnixStream;

use nix::sys::epoll::EpollFlags;

use super::header::{Credit, Header, NO_RECEIVE, NO_SEND, Ports, op};
use crate::bits::low;
use crate::devices::virtio::device::NeedsReset;
use crate::devices::virtio::queue::iovec::{self, GuestIovec, Iovecs};
use crate::memory::GuestMemory;

/// How many bytes of the guest's may wait for a Unix socket that takes none: the credit that the
/// guest has.
pub(super) const BUF_ALLOC: u32 = 32 << 10;

/// Events after which there may be something to read, be it the end.
const INPUT: EpollFlags = EpollFlags::EPOLLIN
    .union(EpollFlags::EPOLLRDHUP)
    .union(EpollFlags::EPOLLHUP)
    .union(EpollFlags::EPOLLERR);

/// The guest has broken the rules of the connection, or it is at its end: it is reset.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Reset;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    /// The guest has not answered the REQUEST yet.
    Requested,
    Established,
}

/// A stream, or what is about to become one.
pub(super) struct Connection {
    ports: Ports,
    /// Non-blocking.
    socket: UnixStream,
    state: State,
    /// REQUEST or RESPONSE, until the guest has it.
    opening: Option<u16>,
    /// There may be something to read, for epoll(7) has said so, and no read that there is not.
    is_readable: bool,
    /// The Unix socket's other end sends no more.
    is_peer_done_sending: bool,
    /// It receives no more.
    is_peer_done_receiving: bool,
    /// Flags of the SHUTDOWN that the guest was sent, and of those that it has sent.
    shutdown_sent: u32,
    shutdown_received: u32,
    credit: Credit,
    /// A CREDIT_REQUEST was sent since the guest gave credit.
    is_credit_requested: bool,
    /// What the guest has sent and the socket has not taken yet.
    tx_buffer: Vec<u8>,
    /// How many of its bytes the socket has taken since the beginning, modulo 2^32.
    fwd_cnt: u32,
    /// The last count that the guest was sent.
    fwd_cnt_sent: u32,
    /// The guest has sent a CREDIT_REQUEST.
    is_update_requested: bool,
    /// The socket's other end knows that the guest sends no more.
    is_socket_shut_down: bool,
}

impl Connection {
    /// One that whoever is at the other end of `socket` requests of the guest.
    pub(super) fn to_guest(ports: Ports, socket: UnixStream) -> Connection {
        Connection::new(ports, socket, State::Requested, op::REQUEST)
    }

    /// One that the guest has requested.
    pub(super) fn from_guest(request: &Header, socket: UnixStream) -> Connection {
        let ports = request.ports();
        let mut connection = Connection::new(ports, socket, State::Established, op::RESPONSE);
        connection.credit.update(request);
        connection
    }

    fn new(ports: Ports, socket: UnixStream, state: State, opening: u16) -> Connection {
        Connection {
            ports,
            socket,
            state,
            opening: Some(opening),
            is_readable: false,
            is_peer_done_sending: false,
            is_peer_done_receiving: false,
            shutdown_sent: 0,
            shutdown_received: 0,
            credit: Credit::default(),
            is_credit_requested: false,
            tx_buffer: Vec::new(),
            fwd_cnt: 0,
            fwd_cnt_sent: 0,
            is_update_requested: false,
            is_socket_shut_down: false,
        }
    }

    /// Takes in a packet of the guest's, of which `data` is the rest.
    ///
    /// # Errors
    /// [`Reset`].
    pub(super) fn process_packet(&mut self, header: &Header, data: &[u8]) -> Result<(), Reset> {
        self.credit.update(header);
        self.is_credit_requested &= self.credit.available() == 0;
        match (self.state, header.op) {
            (State::Requested, op::RESPONSE) => return self.establish(),
            (State::Established, op::RW) if self.shutdown_received & NO_SEND == 0 => {
                self.send(data)?
            }
            (State::Established, op::SHUTDOWN) => self.shut_down(header.flags),
            (State::Established, op::CREDIT_UPDATE) => {}
            (State::Established, op::CREDIT_REQUEST) => self.is_update_requested = true,
            _ => return Err(Reset),
        }
        match self.is_over() {
            true => Err(Reset),
            false => Ok(()),
        }
    }

    /// The guest has accepted: the answer to CONNECT is Firecracker's (its docs/vsock.md).
    fn establish(&mut self) -> Result<(), Reset> {
        self.state = State::Established;
        let answer = format!("OK {}\n", self.ports.host);
        // Nothing was sent before: there is room for that much.
        match self.socket.write(answer.as_bytes()) {
            Ok(len) if len == answer.len() => Ok(()),
            _ => Err(Reset),
        }
    }

    fn send(&mut self, data: &[u8]) -> Result<(), Reset> {
        if self.tx_buffer.len() + data.len() > BUF_ALLOC as usize {
            return Err(Reset);
        }
        let done = match self.tx_buffer.is_empty() {
            true => self.write(data),
            false => 0,
        };
        self.tx_buffer.extend(&data[done..]);
        Ok(())
    }

    /// The guest will not receive, or not send, any more.
    fn shut_down(&mut self, flags: u32) {
        self.shutdown_received |= flags & (NO_RECEIVE | NO_SEND);
        if flags & NO_RECEIVE != 0 {
            // Who is at the other end may have gone.
            let _ = self.socket.shutdown(Shutdown::Read);
        }
        self.flush();
    }

    /// The socket has become ready for these.
    ///
    /// # Errors
    /// [`Reset`].
    pub(super) fn process_event(&mut self, events: EpollFlags) -> Result<(), Reset> {
        if events.intersects(EpollFlags::EPOLLHUP | EpollFlags::EPOLLERR) {
            if self.state == State::Requested {
                return Err(Reset);
            }
            self.is_peer_done_receiving = true;
            self.is_peer_done_sending |= self.shutdown_received & NO_RECEIVE != 0;
        }
        self.is_readable |= !self.is_peer_done_sending && events.intersects(INPUT);
        self.flush();
        match self.is_over() {
            true => Err(Reset),
            false => Ok(()),
        }
    }

    /// Writes what the socket takes of what waits.
    fn flush(&mut self) {
        let mut waiting = std::mem::take(&mut self.tx_buffer);
        let done = self.write(&waiting);
        if done < waiting.len() {
            waiting.drain(..done);
            self.tx_buffer = waiting;
        } else if self.shutdown_received & NO_SEND != 0 && !self.is_socket_shut_down {
            self.is_socket_shut_down = true;
            let _ = self.socket.shutdown(Shutdown::Write);
        }
    }

    /// Writes as much as the socket takes, and gives how much that was. What nobody will read is
    /// taken and dropped.
    fn write(&mut self, bytes: &[u8]) -> usize {
        let mut done = 0;
        while done < bytes.len() && !self.is_peer_done_receiving {
            match self.socket.write(&bytes[done..]) {
                Ok(len @ 1..) => done += len,
                Err(e) if e.kind() == ErrorKind::Interrupted => {}
                Err(e) if e.kind() == ErrorKind::WouldBlock => break,
                Ok(0) | Err(_) => self.is_peer_done_receiving = true,
            }
        }
        if self.is_peer_done_receiving {
            done = bytes.len();
        }
        // It counts modulo 2^32.
        self.fwd_cnt = self.fwd_cnt.wrapping_add(low(done as u64));
        done
    }

    /// Whether the guest has shut down both directions, and the socket has all that it sent.
    fn is_over(&self) -> bool {
        self.shutdown_received == NO_RECEIVE | NO_SEND && self.tx_buffer.is_empty()
    }

    /// Whether [`Connection::next`] has a packet, unless it finds nothing to read.
    pub(super) fn has_packet(&self) -> bool {
        let is_open = self.state == State::Established;
        self.opening.is_some() || is_open && (self.may_read() || self.control_packet().is_some())
    }

    fn may_read(&self) -> bool {
        self.is_readable && self.shutdown_received & NO_RECEIVE == 0 && self.credit.available() > 0
    }

    /// The next packet beside data: its operation, and its flags.
    fn control_packet(&self) -> Option<(u16, u32)> {
        let flags = self.shutdown_flags();
        let is_stopped = self.is_readable && self.credit.available() == 0;
        if self.shutdown_sent != flags {
            Some((op::SHUTDOWN, flags))
        } else if is_stopped
            && !self.is_credit_requested
            && self.shutdown_received & NO_RECEIVE == 0
        {
            Some((op::CREDIT_REQUEST, 0))
        } else if self.is_update_requested
            || self.fwd_cnt.wrapping_sub(self.fwd_cnt_sent) >= BUF_ALLOC / 2
        {
            Some((op::CREDIT_UPDATE, 0))
        } else {
            None
        }
    }

    fn shutdown_flags(&self) -> u32 {
        let flag = |is_set, flag| if is_set { flag } else { 0 };
        flag(self.is_peer_done_sending, NO_SEND) | flag(self.is_peer_done_receiving, NO_RECEIVE)
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
        if let Some(opening) = self.opening.take() {
            return Ok(Some(self.packet(opening)));
        }
        if self.may_read()
            && let Some(len) = self.read(room, memory)?
        {
            let header = self.packet(op::RW);
            return Ok(Some(Header { len, ..header }));
        }
        let Some((op, flags)) = self.control_packet() else {
            return Ok(None);
        };
        match op {
            op::SHUTDOWN => self.shutdown_sent = flags,
            op::CREDIT_REQUEST => self.is_credit_requested = true,
            _ => self.is_update_requested = false,
        }
        let header = self.packet(op);
        Ok(Some(Header { flags, ..header }))
    }

    /// A packet without data; each carries the credit.
    fn packet(&mut self, op: u16) -> Header {
        self.fwd_cnt_sent = self.fwd_cnt;
        Header {
            buf_alloc: BUF_ALLOC,
            fwd_cnt: self.fwd_cnt,
            ..Header::to_guest(self.ports, op)
        }
    }

    /// Reads as much as the guest has room for; `None` where there is nothing.
    fn read(
        &mut self,
        room: &[GuestIovec],
        memory: &GuestMemory,
    ) -> Result<Option<u32>, NeedsReset> {
        let (room, _) = iovec::split_at(room, self.credit.available() as usize);
        match Iovecs::of(&room, memory)?.read(&self.socket) {
            Ok(len @ 1..) => {
                self.credit.consume(len);
                return Ok(Some(len));
            }
            Err(e) if e.kind() == ErrorKind::Interrupted => return Ok(None),
            Err(e) if e.kind() == ErrorKind::WouldBlock => {}
            // Its end, or it has gone with something unread.
            Ok(0) | Err(_) => self.is_peer_done_sending = true,
        }
        self.is_readable = false;
        Ok(None)
    }
}

impl AsFd for Connection {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.socket.as_fd()
    }
}
