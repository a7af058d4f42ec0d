//! What `start` sends to the monitor, which waits behind the start gate: the guest's command line,
//! and its network device, which are known then only.
//!
//! One message by a seqpacket socket in the container's directory, its descriptor by SCM_RIGHTS
//! (unix(7)), and one answer. The container's lock lets one `start` at a time speak: of two
//! that are connected, the later one lives.

use std::fs::File;
use std::io::{self, ErrorKind, IoSlice, IoSliceMut};
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, FromRawFd, OwnedFd, RawFd};
use std::path::Path;

use nix::errno::Errno;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::socket::{
    AddressFamily, Backlog, ControlMessage, ControlMessageOwned, MsgFlags, SockFlag, SockType,
    UnixAddr, accept4, bind, connect, listen, recv, recvmsg, send, sendmsg, socket,
};
use serde::{Deserialize, Serialize};

/// The socket's name in the container's directory.
const SOCKET: &str = "start.sock";

/// The most bytes of a message: more than any command line, and less than a socket holds.
const MAX: usize = 128 << 10;

/// How long the monitor may take for its answer, in milliseconds.
const TIMEOUT: u16 = 30_000;

/// What a guest gets at its start.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(in crate::lifecycle) struct Message {
    pub cmdline: String,
    pub net: Option<Net>,
}

/// The guest's network device; its packets' descriptor comes beside.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(in crate::lifecycle) struct Net {
    pub device: String,
    pub mac: [u8; 6],
    pub mtu: u16,
}

/// The monitor's answer, as it goes over the socket: `{"Ok":null}`, or `{"Err":"TEXT"}`.
type Answer = Result<(), Refusal>;

/// Why the monitor cannot run its guest, as the text that it sent: it is another process.
#[derive(Debug, PartialEq, Eq, Serialize, Deserialize, thiserror::Error)]
#[serde(transparent)]
#[error("{0}")]
pub(in crate::lifecycle) struct Refusal(String);

/// Why a guest does not start.
#[derive(Debug, thiserror::Error)]
pub(in crate::lifecycle) enum StartChannelError {
    #[error(transparent)]
    Refused(#[from] Refusal),
    #[error("its monitor does not answer")]
    NoAnswer,
    #[error("its monitor has ended")]
    Ended,
    #[error(transparent)]
    Io(#[from] io::Error),
}

/// The monitor's end: it waits for a `start`.
#[derive(Debug)]
pub(in crate::lifecycle) struct Server(OwnedFd);

/// A `start` that was received, and waits for an answer.
#[derive(Debug)]
pub(in crate::lifecycle) struct Connection(OwnedFd);

/// `start`'s end.
#[derive(Debug)]
pub(in crate::lifecycle) struct Client(OwnedFd);

impl Server {
    /// Listens in the container's directory.
    ///
    /// # Errors
    /// Those of bind(2).
    pub(in crate::lifecycle) fn bind(dir: &Path) -> io::Result<Self> {
        let listener = seqpacket()?;
        let (_open, address) = address(dir)?;
        bind(listener.as_raw_fd(), &address)?;
        listen(&listener, Backlog::new(4)?)?;
        Ok(Self(listener))
    }

    /// Waits for a `start` that sends a message; from then on no other can connect. Gives its message, what came with it, and whom to answer.
    ///
    /// # Errors
    /// When what it says makes no sense.
    pub(in crate::lifecycle) fn receive(
        self,
    ) -> io::Result<(Message, Option<OwnedFd>, Connection)> {
        loop {
            let connection = accept(&self.0)?;
            let received = receive(&connection)?;
            // A message of a killed call is dropped, if another call has connected since.
            if let Some((text, descriptor)) = received
                && !is_ready(self.0.as_fd(), 0)?
            {
                let message = serde_json::from_slice(&text)?;
                return Ok((message, descriptor, Connection(connection)));
            }
        }
    }
}

impl Connection {
    /// Answers: the guest starts now, or why it cannot. That no call waits for it is no error.
    pub(in crate::lifecycle) fn answer(self, refusal: Option<String>) {
        let answer: Answer = refusal.map_or(Ok(()), |why| Err(Refusal(why)));
        let text = serde_json::to_vec(&answer).unwrap_or_default();
        let _ = send(self.0.as_raw_fd(), &text, MsgFlags::MSG_NOSIGNAL);
    }
}

impl Client {
    /// Connects with the monitor of the container in `directory`. `None` where it does not
    /// listen: an older version's.
    ///
    /// # Errors
    /// `ECONNREFUSED` where it has its message already, or has ended.
    pub(in crate::lifecycle) fn connect(dir: &Path) -> io::Result<Option<Self>> {
        let client = seqpacket()?;
        let (_open, address) = address(dir)?;
        match connect(client.as_raw_fd(), &address) {
            Ok(()) => Ok(Some(Self(client))),
            Err(Errno::ENOENT) => Ok(None),
            Err(errno) => Err(errno.into()),
        }
    }

    /// Sends the monitor what its guest is to know, and waits for its answer.
    ///
    /// # Errors
    /// The monitor's, as it said it; and when it does not answer.
    pub(in crate::lifecycle) fn request(
        self,
        message: &Message,
        descriptor: Option<BorrowedFd<'_>>,
    ) -> Result<(), StartChannelError> {
        self.send(message, descriptor)?;
        if !is_ready(self.0.as_fd(), TIMEOUT)? {
            return Err(StartChannelError::NoAnswer);
        }
        let mut text = vec![0; MAX];
        let len = recv(self.0.as_raw_fd(), &mut text, MsgFlags::empty()).unwrap_or(0);
        let answer: Answer =
            serde_json::from_slice(&text[..len]).map_err(|_| StartChannelError::Ended)?;
        Ok(answer?)
    }

    fn send(&self, message: &Message, descriptor: Option<BorrowedFd<'_>>) -> io::Result<()> {
        let text = serde_json::to_vec(message)?;
        let fds: Vec<RawFd> = descriptor.iter().map(AsRawFd::as_raw_fd).collect();
        let rights = [ControlMessage::ScmRights(&fds)];
        let rights = if fds.is_empty() { &[][..] } else { &rights };
        let parts = [IoSlice::new(&text)];
        sendmsg::<UnixAddr>(
            self.0.as_raw_fd(),
            &parts,
            rights,
            MsgFlags::MSG_NOSIGNAL,
            None,
        )?;
        Ok(())
    }
}

fn seqpacket() -> nix::Result<OwnedFd> {
    let kind = SockType::SeqPacket;
    socket(AddressFamily::Unix, kind, SockFlag::SOCK_CLOEXEC, None)
}

/// The socket's address, by the directory's descriptor, which must stay open: its path may be
/// longer than a socket's may be.
fn address(dir: &Path) -> io::Result<(File, UnixAddr)> {
    let open = File::open(dir)?;
    let short = format!("/proc/self/fd/{}/{SOCKET}", open.as_raw_fd());
    Ok((open, UnixAddr::new(short.as_str())?))
}

fn accept(listener: &OwnedFd) -> io::Result<OwnedFd> {
    loop {
        match accept4(listener.as_raw_fd(), SockFlag::SOCK_CLOEXEC) {
            // SAFETY: the kernel has made this descriptor just now, and nobody else knows it.
            Ok(fd) => return Ok(unsafe { OwnedFd::from_raw_fd(fd) }),
            Err(Errno::EINTR | Errno::ECONNABORTED) => {}
            Err(errno) => return Err(errno.into()),
        }
    }
}

/// One message and its descriptor; `None` where the other end has gone.
fn receive(socket: &OwnedFd) -> io::Result<Option<(Vec<u8>, Option<OwnedFd>)>> {
    let mut text = vec![0; MAX];
    let mut space = nix::cmsg_space!(RawFd);
    let mut parts = [IoSliceMut::new(&mut text)];
    let flags = MsgFlags::MSG_CMSG_CLOEXEC;
    let received = loop {
        match recvmsg::<()>(socket.as_raw_fd(), &mut parts, Some(&mut space), flags) {
            Err(Errno::EINTR) => {}
            Err(Errno::ECONNRESET) => return Ok(None),
            received => break received?,
        }
    };
    let descriptor = received.cmsgs()?.find_map(|message| match message {
        ControlMessageOwned::ScmRights(fds) => fds.first().copied(),
        _ => None,
    });
    // SAFETY: the kernel has made this descriptor just now, and nobody else knows it; there is
    // room for one.
    let descriptor = descriptor.map(|fd| unsafe { OwnedFd::from_raw_fd(fd) });
    if received.flags.contains(MsgFlags::MSG_TRUNC) {
        return Err(io::Error::from(ErrorKind::FileTooLarge));
    }
    let len = received.bytes;
    text.truncate(len);
    Ok((len > 0).then_some((text, descriptor)))
}

/// Whether there is something to read, within so many milliseconds.
fn is_ready(fd: BorrowedFd<'_>, milliseconds: u16) -> io::Result<bool> {
    let mut fds = [PollFd::new(fd, PollFlags::POLLIN)];
    loop {
        match poll(&mut fds, PollTimeout::from(milliseconds)) {
            Err(Errno::EINTR) => {}
            ready => return Ok(ready? > 0),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Read;

    fn message(cmdline: &str) -> Message {
        let (device, mac, mtu) = ("net0".to_owned(), [2, 0, 0, 0, 0, 1], 1500);
        Message {
            cmdline: cmdline.to_owned(),
            net: Some(Net { device, mac, mtu }),
        }
    }

    #[test]
    fn a_message_and_its_descriptor_arrive_and_are_answered() {
        let dir = tempfile::tempdir().unwrap();
        let server = Server::bind(dir.path()).unwrap();
        let client = Client::connect(dir.path()).unwrap().unwrap();
        let (mut reader, writer) = io::pipe().unwrap();
        let monitor = std::thread::spawn(move || {
            let (message, descriptor, connection) = server.receive().unwrap();
            connection.answer(Some("no".to_owned()));
            nix::unistd::write(descriptor.unwrap(), b"x").unwrap();
            message
        });
        let answer = client.request(&message(&"x".repeat(60_000)), Some(writer.as_fd()));
        drop(writer);
        assert_eq!(answer.unwrap_err().to_string(), "no");
        assert_eq!(monitor.join().unwrap(), message(&"x".repeat(60_000)));
        let mut text = String::new();
        reader.read_to_string(&mut text).unwrap();
        assert_eq!(text, "x", "and the descriptor is closed");
        let gone = Client::connect(dir.path()).unwrap_err();
        assert_eq!(gone.kind(), ErrorKind::ConnectionRefused);
    }

    #[test]
    fn messages_of_killed_calls_are_dropped() {
        let dir = tempfile::tempdir().unwrap();
        assert!(Client::connect(dir.path()).unwrap().is_none());
        let server = Server::bind(dir.path()).unwrap();
        let connect = || Client::connect(dir.path()).unwrap().unwrap();
        // One was killed before it said anything, one after it.
        drop(connect());
        let dead = connect();
        dead.send(&message("dead"), None).unwrap();
        drop(dead);
        let living = connect();
        let monitor = std::thread::spawn(move || {
            let (message, _, connection) = server.receive().unwrap();
            connection.answer(None);
            message.cmdline
        });
        living.request(&message("living"), None).unwrap();
        assert_eq!(monitor.join().unwrap(), "living");
    }

    #[test]
    fn a_monitor_that_ends_is_reported() {
        let dir = tempfile::tempdir().unwrap();
        let server = Server::bind(dir.path()).unwrap();
        let client = Client::connect(dir.path()).unwrap().unwrap();
        let monitor = std::thread::spawn(move || drop(server.receive().unwrap()));
        let answer = client.request(&message("a"), None);
        assert_eq!(answer.unwrap_err().to_string(), "its monitor has ended");
        monitor.join().unwrap();
    }
}
