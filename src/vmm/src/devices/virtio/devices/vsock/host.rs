//! The Unix sockets at the device's other end, by Firecracker's convention (its docs/vsock.md):
//! who connects with the device's own sends `CONNECT PORT`, and is connected with that port of
//! the guest's; the guest's connections with port N go to the socket at its path and
//! `_N`.

use std::collections::BTreeMap;
use std::io::{self, Read};
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, RawFd};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::Path;

use nix::errno::Errno;
use nix::sys::epoll::{Epoll, EpollCreateFlags, EpollEvent, EpollFlags, EpollTimeout};
use nix::sys::socket::{
    AddressFamily, MsgFlags, SockFlag, SockType, UnixAddr, connect, recv, socket,
};

use super::header::NO_PORT;

/// The most connections without a whole CONNECT; of more the oldest is closed.
const MAX_PENDING: usize = 32;
/// How many are accepted at a time: the others wait, but not for ever.
const TURN: usize = 64;
/// The most bytes of a request: "CONNECT 4294967295", and the line's end.
const LINE: usize = 32;
/// The listener's number; pending connections have those above.
const LISTENER: u64 = 0;

/// Where the host's processes connect with the guest.
pub(super) struct HostListener {
    listener: UnixListener,
    /// By number: the oldest first.
    pending: BTreeMap<u64, PendingConnection>,
    last: u64,
    epoll: Epoll,
}

/// A process that has not sent all of its CONNECT yet.
struct PendingConnection {
    socket: UnixStream,
    line: Vec<u8>,
}

/// What was read of a CONNECT.
enum ConnectRequest {
    /// All of it: the guest's port.
    Port(u32),
    /// Something else.
    Invalid,
    /// A part.
    Incomplete,
}

impl HostListener {
    /// # Errors
    /// Those of epoll_create(2), epoll_ctl(2) and fcntl(2).
    pub(super) fn new(listener: UnixListener) -> io::Result<HostListener> {
        listener.set_nonblocking(true)?;
        let epoll = epoll()?;
        epoll.add(&listener, listener_event())?;
        Ok(HostListener {
            listener,
            pending: BTreeMap::new(),
            last: LISTENER,
            epoll,
        })
    }

    /// Accepts connections and reads their requests. Gives those that have named a port of the
    /// guest's; their sockets do not block.
    pub(super) fn process_event(&mut self) -> Vec<(UnixStream, u32)> {
        let mut events = [EpollEvent::empty(); MAX_PENDING + 1];
        // It fails for a signal only, and is called again.
        let count = self.epoll.wait(&mut events, EpollTimeout::ZERO);
        let mut found = Vec::new();
        for event in &events[..count.unwrap_or(0)] {
            match event.data() {
                LISTENER => self.accept(),
                number => found.extend(self.read_request(number)),
            }
        }
        found
    }

    fn accept(&mut self) {
        for _ in 0..TURN {
            // Where there are no descriptors left the others wait until one more comes: to be
            // signalled for them at once would be to be signalled for ever.
            let Ok((socket, _)) = self.listener.accept() else {
                return;
            };
            let number = self.last + 1;
            let event = EpollEvent::new(EpollFlags::EPOLLIN, number);
            if socket.set_nonblocking(true).is_err() || self.epoll.add(&socket, event).is_err() {
                continue;
            }
            self.last = number;
            if self.pending.len() == MAX_PENDING {
                self.pending.pop_first();
            }
            let line = Vec::new();
            self.pending
                .insert(number, PendingConnection { socket, line });
        }
        // There may be more of them: they are looked for again.
        let _ = self.epoll.modify(&self.listener, &mut listener_event());
    }

    fn read_request(&mut self, number: u64) -> Option<(UnixStream, u32)> {
        let request = self.pending.get_mut(&number)?.read_request();
        if let ConnectRequest::Incomplete = request {
            return None;
        }
        let socket = self.pending.remove(&number)?.socket;
        let _ = self.epoll.delete(&socket);
        match request {
            ConnectRequest::Port(port) => Some((socket, port)),
            _ => None,
        }
    }

    /// Closes those whose request is incomplete.
    pub(super) fn clear(&mut self) {
        self.pending.clear();
    }

    pub(super) fn descriptors(&self) -> [RawFd; 2] {
        [self.listener.as_raw_fd(), self.epoll.0.as_raw_fd()]
    }
}

impl AsFd for HostListener {
    /// Readable when [`HostListener::process_event`] has something to do.
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.epoll.0.as_fd()
    }
}

impl PendingConnection {
    /// Reads to the end of the line and no further: what follows is for the guest.
    fn read_request(&mut self) -> ConnectRequest {
        let mut bytes = [0; LINE];
        let peeked = recv(self.socket.as_raw_fd(), &mut bytes, MsgFlags::MSG_PEEK);
        let seen = match peeked {
            Ok(len @ 1..) => &bytes[..len],
            Err(Errno::EAGAIN | Errno::EINTR) => return ConnectRequest::Incomplete,
            Ok(0) | Err(_) => return ConnectRequest::Invalid,
        };
        let end = seen.iter().position(|&byte| byte == b'\n');
        let len = end.map_or(seen.len(), |at| at + 1);
        if self.line.len() + len > LINE || self.socket.read_exact(&mut bytes[..len]).is_err() {
            return ConnectRequest::Invalid;
        }
        self.line.extend(&bytes[..len]);
        match (end, port(&self.line)) {
            (None, _) => ConnectRequest::Incomplete,
            (Some(_), Some(port)) => ConnectRequest::Port(port),
            (Some(_), None) => ConnectRequest::Invalid,
        }
    }
}

/// The port that a line asks for.
fn port(line: &[u8]) -> Option<u32> {
    let mut words = str::from_utf8(line).ok()?.split_ascii_whitespace();
    let is_connect = words.next()?.eq_ignore_ascii_case("connect");
    let port = words.next()?.parse().ok()?;
    (is_connect && words.next().is_none() && port != NO_PORT).then_some(port)
}

/// Signalled once for each connection that comes.
fn listener_event() -> EpollEvent {
    EpollEvent::new(EpollFlags::EPOLLIN | EpollFlags::EPOLLET, LISTENER)
}

/// # Errors
/// Those of epoll_create(2).
pub(super) fn epoll() -> io::Result<Epoll> {
    Ok(Epoll::new(EpollCreateFlags::EPOLL_CLOEXEC)?)
}

/// Connects with the socket at `path`_`port`; the socket does not block, and neither does this.
///
/// # Errors
/// Those of socket(2) and connect(2); EAGAIN where too many others wait there.
pub(super) fn connect_to(path: &Path, port: u32) -> io::Result<UnixStream> {
    let mut name = path.as_os_str().to_owned();
    name.push(format!("_{port}"));
    let flags = SockFlag::SOCK_CLOEXEC | SockFlag::SOCK_NONBLOCK;
    let socket = socket(AddressFamily::Unix, SockType::Stream, flags, None)?;
    connect(socket.as_raw_fd(), &UnixAddr::new(name.as_os_str())?)?;
    Ok(socket.into())
}
