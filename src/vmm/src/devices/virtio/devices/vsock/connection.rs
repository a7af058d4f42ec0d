//! One stream between a port of the guest's and a Unix socket (virtio 1.2, section 5.10.6).

use std::io::{ErrorKind, Write};
use std::net::Shutdown;
use std::os::fd::{AsFd, BorrowedFd};
use std::os::unix::net::UnixStream;

use nix::sys::epoll::EpollFlags;

use super::header::{Credit, Header, NO_RECEIVE, NO_SEND, Ports, op};
use crate::devices::virtio::device::NeedsReset;
use crate::devices::virtio::queue::chain::GuestIovec;
use crate::devices::virtio::queue::iovec;
use crate::devices::virtio::queue::iovec::Iovecs;
use crate::memory::GuestMemory;

/// How many bytes of the guest's may wait for a Unix socket that takes none: what the guest is
/// told that there is room for.
pub(super) const ROOM: u32 = 32 << 10;

/// There may be something to read, be it the end.
const INPUT: EpollFlags = EpollFlags::EPOLLIN
    .union(EpollFlags::EPOLLRDHUP)
    .union(EpollFlags::EPOLLHUP)
    .union(EpollFlags::EPOLLERR);

/// The guest has broken the rules of the connection, or it is at its end: it is reset.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Reset;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    /// The guest has not answered yet.
    Asked,
    Open,
}

/// A stream, or what is about to become one.
pub(super) struct Connection {
    ports: Ports,
    /// Non-blocking.
    socket: UnixStream,
    state: State,
    /// The packet that begins it, until the guest has it.
    opening: Option<u16>,
    /// There may be something to read, for epoll(7) has said so, and no read that there is not.
    is_readable: bool,
    /// The Unix socket's other end says no more.
    is_silent: bool,
    /// It hears no more.
    is_deaf: bool,
    /// What the guest was told of that, and what it has said itself: flags of a SHUTDOWN.
    told: u32,
    heard: u32,
    credit: Credit,
    /// It was asked for credit since it had some.
    has_asked: bool,
    /// What the guest has said and the socket has not taken yet.
    waiting: Vec<u8>,
    /// How many of its bytes the socket has taken since the beginning, modulo 2^32.
    taken: u32,
    /// How many of them it knows of.
    taken_told: u32,
    /// It has asked.
    wants_update: bool,
    /// The socket's other end knows that the guest says no more.
    is_finished: bool,
}

impl Connection {
    /// One that was asked for by who is at the other end of `socket`.
    pub(super) fn asked(ports: Ports, socket: UnixStream) -> Connection {
        Connection::new(ports, socket, State::Asked, op::REQUEST)
    }

    /// One that the guest has asked for by `request`.
    pub(super) fn accepted(request: &Header, socket: UnixStream) -> Connection {
        let ports = request.ports();
        let mut connection = Connection::new(ports, socket, State::Open, op::RESPONSE);
        connection.credit.hear(request);
        connection
    }

    fn new(ports: Ports, socket: UnixStream, state: State, opening: u16) -> Connection {
        Connection {
            ports,
            socket,
            state,
            opening: Some(opening),
            is_readable: false,
            is_silent: false,
            is_deaf: false,
            told: 0,
            heard: 0,
            credit: Credit::default(),
            has_asked: false,
            waiting: Vec::new(),
            taken: 0,
            taken_told: 0,
            wants_update: false,
            is_finished: false,
        }
    }

    /// Takes in a packet of the guest's, of which `data` is the rest.
    ///
    /// # Errors
    /// [`Reset`].
    pub(super) fn hear(&mut self, header: &Header, data: &[u8]) -> Result<(), Reset> {
        self.credit.hear(header);
        self.has_asked &= self.credit.left() == 0;
        match (self.state, header.op) {
            (State::Asked, op::RESPONSE) => return self.open(),
            (State::Open, op::RW) if self.heard & NO_SEND == 0 => self.take(data)?,
            (State::Open, op::SHUTDOWN) => self.shut(header.flags),
            (State::Open, op::CREDIT_UPDATE) => {}
            (State::Open, op::CREDIT_REQUEST) => self.wants_update = true,
            _ => return Err(Reset),
        }
        match self.is_over() {
            true => Err(Reset),
            false => Ok(()),
        }
    }

    /// The guest has accepted: so who has asked is told, in Firecracker's words (its
    /// docs/vsock.md).
    fn open(&mut self) -> Result<(), Reset> {
        self.state = State::Open;
        let answer = format!("OK {}\n", self.ports.host);
        // Nothing was sent before: there is room for that much.
        match self.socket.write(answer.as_bytes()) {
            Ok(len) if len == answer.len() => Ok(()),
            _ => Err(Reset),
        }
    }

    fn take(&mut self, data: &[u8]) -> Result<(), Reset> {
        if self.waiting.len() + data.len() > ROOM as usize {
            return Err(Reset);
        }
        let done = match self.waiting.is_empty() {
            true => self.write(data),
            false => 0,
        };
        self.waiting.extend(&data[done..]);
        Ok(())
    }

    /// The guest will not receive, or not send, any more.
    fn shut(&mut self, flags: u32) {
        self.heard |= flags & (NO_RECEIVE | NO_SEND);
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
    pub(super) fn ready(&mut self, events: EpollFlags) -> Result<(), Reset> {
        if events.intersects(EpollFlags::EPOLLHUP | EpollFlags::EPOLLERR) {
            if self.state == State::Asked {
                return Err(Reset);
            }
            self.is_deaf = true;
            self.is_silent |= self.heard & NO_RECEIVE != 0;
        }
        self.is_readable |= !self.is_silent && events.intersects(INPUT);
        self.flush();
        match self.is_over() {
            true => Err(Reset),
            false => Ok(()),
        }
    }

    /// Writes what the socket takes of what waits.
    fn flush(&mut self) {
        let mut waiting = std::mem::take(&mut self.waiting);
        let done = self.write(&waiting);
        if done < waiting.len() {
            waiting.drain(..done);
            self.waiting = waiting;
        } else if self.heard & NO_SEND != 0 && !self.is_finished {
            self.is_finished = true;
            let _ = self.socket.shutdown(Shutdown::Write);
        }
    }

    /// Writes as much as the socket takes, and gives how much that was. What nobody will read is
    /// taken and dropped.
    fn write(&mut self, bytes: &[u8]) -> usize {
        let mut done = 0;
        while done < bytes.len() && !self.is_deaf {
            match self.socket.write(&bytes[done..]) {
                Ok(len @ 1..) => done += len,
                Err(e) if e.kind() == ErrorKind::Interrupted => {}
                Err(e) if e.kind() == ErrorKind::WouldBlock => break,
                Ok(0) | Err(_) => self.is_deaf = true,
            }
        }
        if self.is_deaf {
            done = bytes.len();
        }
        // No more than ROOM.
        self.taken = self.taken.wrapping_add(done as u32);
        done
    }

    /// Whether the guest has said all, and it has gone on to where it was to go.
    fn is_over(&self) -> bool {
        self.heard == NO_RECEIVE | NO_SEND && self.waiting.is_empty()
    }

    /// Whether [`Connection::next`] has a packet, unless it finds nothing to read.
    pub(super) fn has_packet(&self) -> bool {
        let is_open = self.state == State::Open;
        self.opening.is_some() || is_open && (self.may_read() || self.note().is_some())
    }

    fn may_read(&self) -> bool {
        self.is_readable && self.heard & NO_RECEIVE == 0 && self.credit.left() > 0
    }

    /// What is to be told beside data, with its flags.
    fn note(&self) -> Option<(u16, u32)> {
        let flags = self.flags();
        let is_stopped = self.is_readable && self.credit.left() == 0;
        if self.told != flags {
            Some((op::SHUTDOWN, flags))
        } else if is_stopped && !self.has_asked && self.heard & NO_RECEIVE == 0 {
            Some((op::CREDIT_REQUEST, 0))
        } else if self.wants_update || self.taken.wrapping_sub(self.taken_told) >= ROOM / 2 {
            Some((op::CREDIT_UPDATE, 0))
        } else {
            None
        }
    }

    fn flags(&self) -> u32 {
        let flag = |is_set, flag| if is_set { flag } else { 0 };
        flag(self.is_silent, NO_SEND) | flag(self.is_deaf, NO_RECEIVE)
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
        let Some((op, flags)) = self.note() else {
            return Ok(None);
        };
        match op {
            op::SHUTDOWN => self.told = flags,
            op::CREDIT_REQUEST => self.has_asked = true,
            _ => self.wants_update = false,
        }
        let header = self.packet(op);
        Ok(Some(Header { flags, ..header }))
    }

    /// A packet without data; each tells the guest of its room.
    fn packet(&mut self, op: u16) -> Header {
        self.taken_told = self.taken;
        Header {
            buf_alloc: ROOM,
            fwd_cnt: self.taken,
            ..Header::to_guest(self.ports, op)
        }
    }

    /// Reads as much as the guest has room for; `None` where there is nothing.
    fn read(
        &mut self,
        room: &[GuestIovec],
        memory: &GuestMemory,
    ) -> Result<Option<u32>, NeedsReset> {
        let (room, _) = iovec::split_at(room, self.credit.left().into());
        match Iovecs::of(&room, memory)?.read(&self.socket) {
            Ok(len @ 1..) => {
                // No more than the credit.
                self.credit.spend(len as u32);
                return Ok(Some(len as u32));
            }
            Err(e) if e.kind() == ErrorKind::Interrupted => return Ok(None),
            Err(e) if e.kind() == ErrorKind::WouldBlock => {}
            // Its end, or it has gone with something unread.
            Ok(0) | Err(_) => self.is_silent = true,
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
