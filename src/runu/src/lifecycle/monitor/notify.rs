//! sd_notify(3) for a unikernel: whoever starts one as a service waits for READY=1 on
//! `NOTIFY_SOCKET`. runc hands on what the container says; a guest has no way to say it, so
//! that it is ready when it has been started.

use std::io::{self, IoSlice, PipeReader};
use std::os::fd::{AsFd, AsRawFd};
use std::os::linux::net::SocketAddrExt;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::net::{SocketAddr, UnixDatagram};
use std::path::Path;

use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::socket::{ControlMessage, MsgFlags, UnixAddr, sendmsg};

/// How long the listener may take to read, in milliseconds. One that does not keep what it is
/// sent lets go at once.
const TIMEOUT: u16 = 5000;

/// The caller's service manager.
pub(in crate::lifecycle) struct ServiceManager(UnixDatagram);

impl ServiceManager {
    /// Connects to `NOTIFY_SOCKET`, a path or after `@` an abstract name. `None` where it is
    /// not set.
    ///
    /// # Errors
    /// Those of connect(2).
    pub(in crate::lifecycle) fn connect() -> io::Result<Option<Self>> {
        let Some(name) = std::env::var_os("NOTIFY_SOCKET").filter(|name| !name.is_empty()) else {
            return Ok(None);
        };
        let address = match name.as_bytes().strip_prefix(b"@") {
            Some(name) => SocketAddr::from_abstract_name(name)?,
            None => SocketAddr::from_pathname(Path::new(&name))?,
        };
        let socket = UnixDatagram::unbound()?;
        socket.connect_addr(&address)?;
        Ok(Some(Self(socket)))
    }

    /// Says that the service is ready and which process to watch, and waits until that was
    /// read: the manager finds the sender's unit only while the sender lives.
    ///
    /// # Errors
    /// Those of send(2).
    pub(in crate::lifecycle) fn ready(&self, pid: i32) -> io::Result<()> {
        self.0.send(b"READY=1\n")?;
        self.0.send(format!("MAINPID={pid}\n").as_bytes())?;
        let (read, was_read) = io::pipe()?;
        let fds = [was_read.as_raw_fd()];
        let pipe = [ControlMessage::ScmRights(&fds)];
        let text = [IoSlice::new(b"BARRIER=1")];
        sendmsg::<UnixAddr>(self.0.as_raw_fd(), &text, &pipe, MsgFlags::empty(), None)?;
        drop(was_read);
        wait_for_end(&read)
    }
}

/// Waits until no process holds the pipe's other end (sd_notify_barrier(3)), or not much longer.
fn wait_for_end(pipe: &PipeReader) -> io::Result<()> {
    let mut fds = [PollFd::new(pipe.as_fd(), PollFlags::empty())];
    poll(&mut fds, PollTimeout::from(TIMEOUT))?;
    Ok(())
}
