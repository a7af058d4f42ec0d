//! The Unix sockets at the device's other end, by Firecracker's convention (its docs/vsock.md):
//! who connects with the device's own says `CONNECT PORT`, and becomes a connection with that
//! port of the guest's; the guest's connections with port N go to the socket at its path and
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

/// How many callers may be about to say what they want; of more the oldest is sent away.
const MAX_CALLERS: usize = 32;
/// How many are let in at a time: the others wait, but not for ever.
const TURN: usize = 64;
/// The most bytes of what a caller says: "CONNECT 4294967295", and the line's end.
const LINE: usize = 32;
/// The listener's number; the callers have those above.
const LISTENER: u64 = 0;

/// Where the host's side comes in.
pub(super) struct Entrance {
    listener: UnixListener,
    /// By number: the oldest first.
    callers: BTreeMap<u64, Caller>,
    last: u64,
    epoll: Epoll,
}

/// Somebody who has not said yet which port is wanted.
struct Caller {
    socket: UnixStream,
    line: Vec<u8>,
}

/// What a caller has said by now.
enum Said {
    Port(u32),
    /// Nothing that makes sense, and nothing will.
    Nonsense,
    /// Not all yet.
    Part,
}

impl Entrance {
    /// # Errors
    /// Those of epoll_create(2), epoll_ctl(2) and fcntl(2).
    pub(super) fn new(listener: UnixListener) -> io::Result<Entrance> {
        listener.set_nonblocking(true)?;
        let epoll = epoll()?;
        epoll.add(&listener, next_caller())?;
        Ok(Entrance {
            listener,
            callers: BTreeMap::new(),
            last: LISTENER,
            epoll,
        })
    }

    /// Lets in who waits and hears what they say. Gives those who have said which port of the
    /// guest's they want; their sockets do not block.
    pub(super) fn ready(&mut self) -> Vec<(UnixStream, u32)> {
        let mut events = [EpollEvent::empty(); MAX_CALLERS + 1];
        // It fails for a signal only, and is called again.
        let count = self.epoll.wait(&mut events, EpollTimeout::ZERO);
        let mut found = Vec::new();
        for event in &events[..count.unwrap_or(0)] {
            match event.data() {
                LISTENER => self.let_in(),
                number => found.extend(self.hear(number)),
            }
        }
        found
    }

    fn let_in(&mut self) {
        for _ in 0..TURN {
            // Where there are no descriptors left the others wait until one more comes: to be
            // told of them at once would be to be told for ever.
            let Ok((socket, _)) = self.listener.accept() else {
                return;
            };
            let number = self.last + 1;
            let event = EpollEvent::new(EpollFlags::EPOLLIN, number);
            if socket.set_nonblocking(true).is_err() || self.epoll.add(&socket, event).is_err() {
                continue;
            }
            self.last = number;
            if self.callers.len() == MAX_CALLERS {
                self.callers.pop_first();
            }
            let line = Vec::new();
            self.callers.insert(number, Caller { socket, line });
        }
        // There may be more of them: they are looked for again.
        let _ = self.epoll.modify(&self.listener, &mut next_caller());
    }

    fn hear(&mut self, number: u64) -> Option<(UnixStream, u32)> {
        let said = self.callers.get_mut(&number)?.hear();
        if let Said::Part = said {
            return None;
        }
        let socket = self.callers.remove(&number)?.socket;
        let _ = self.epoll.delete(&socket);
        match said {
            Said::Port(port) => Some((socket, port)),
            _ => None,
        }
    }

    /// Sends away who has not been heard.
    pub(super) fn clear(&mut self) {
        self.callers.clear();
    }

    pub(super) fn descriptors(&self) -> [RawFd; 2] {
        [self.listener.as_raw_fd(), self.epoll.0.as_raw_fd()]
    }
}

impl AsFd for Entrance {
    /// Readable when [`Entrance::ready`] has something to do.
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.epoll.0.as_fd()
    }
}

impl Caller {
    /// Reads to the end of the line and no further: what follows is for the guest.
    fn hear(&mut self) -> Said {
        let mut bytes = [0; LINE];
        let peeked = recv(self.socket.as_raw_fd(), &mut bytes, MsgFlags::MSG_PEEK);
        let seen = match peeked {
            Ok(len @ 1..) => &bytes[..len],
            Err(Errno::EAGAIN | Errno::EINTR) => return Said::Part,
            Ok(0) | Err(_) => return Said::Nonsense,
        };
        let end = seen.iter().position(|&byte| byte == b'\n');
        let len = end.map_or(seen.len(), |at| at + 1);
        if self.line.len() + len > LINE || self.socket.read_exact(&mut bytes[..len]).is_err() {
            return Said::Nonsense;
        }
        self.line.extend(&bytes[..len]);
        match (end, port(&self.line)) {
            (None, _) => Said::Part,
            (Some(_), Some(port)) => Said::Port(port),
            (Some(_), None) => Said::Nonsense,
        }
    }
}

/// The port that a line asks for.
fn port(line: &[u8]) -> Option<u32> {
    let mut words = str::from_utf8(line).ok()?.split_ascii_whitespace();
    let is_wish = words.next()?.eq_ignore_ascii_case("connect");
    let port = words.next()?.parse().ok()?;
    (is_wish && words.next().is_none() && port != NO_PORT).then_some(port)
}

/// Told of once for each caller that comes.
fn next_caller() -> EpollEvent {
    EpollEvent::new(EpollFlags::EPOLLIN | EpollFlags::EPOLLET, LISTENER)
}

/// # Errors
/// Those of epoll_create(2).
pub(super) fn epoll() -> io::Result<Epoll> {
    Ok(Epoll::new(EpollCreateFlags::EPOLL_CLOEXEC)?)
}

/// Connects with who listens at `path`_`port`; the socket does not block, and neither does this.
///
/// # Errors
/// Those of socket(2) and connect(2); EAGAIN where too many others wait there.
pub(super) fn call(path: &Path, port: u32) -> io::Result<UnixStream> {
    let mut name = path.as_os_str().to_owned();
    name.push(format!("_{port}"));
    let flags = SockFlag::SOCK_CLOEXEC | SockFlag::SOCK_NONBLOCK;
    let socket = socket(AddressFamily::Unix, SockType::Stream, flags, None)?;
    connect(socket.as_raw_fd(), &UnixAddr::new(name.as_os_str())?)?;
    Ok(socket.into())
}
