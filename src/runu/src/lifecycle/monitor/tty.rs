//! The terminal of a `run` in the foreground that was given no console socket, as in a
//! shell: the guest has a pty of its own, and `run` carries bytes between that and the
//! caller's terminal, which is raw meanwhile. runc does the same.
//!
//! The pty comes the way it comes to every caller: by a console socket, here our own.

use std::cell::OnceCell;
use std::fs::File;
use std::io::{self, IoSliceMut, stderr, stdin, stdout};
use std::os::fd::{AsFd, AsRawFd, FromRawFd, OwnedFd, RawFd};
use std::os::unix::net::UnixListener;
use std::path::{Path, PathBuf};
use std::thread::JoinHandle;

use nix::libc::{TIOCGWINSZ, TIOCSWINSZ};
use nix::pty::Winsize;
use nix::sys::socket::{ControlMessageOwned, MsgFlags, recvmsg};
use nix::sys::termios::{OutputFlags, SetArg, tcgetattr, tcsetattr};
use nix::unistd::isatty;

use vmm::RawTerminal;

nix::ioctl_read_bad!(get_window_size, TIOCGWINSZ, Winsize);
nix::ioctl_write_ptr_bad!(set_window_size, TIOCSWINSZ, Winsize);

/// The socket's name in the container's directory.
const SOCKET: &str = "terminal.sock";

/// The caller's terminal, before there is a guest's.
#[derive(Debug)]
pub(in crate::lifecycle) struct CallerTerminal {
    caller: File,
    listener: OnceCell<UnixListener>,
}

/// Both terminals, joined. The caller's is as it was before when this is dropped.
pub(in crate::lifecycle) struct TerminalProxy {
    caller: File,
    guest: File,
    output: JoinHandle<()>,
    _raw: Option<RawTerminal>,
}

impl CallerTerminal {
    /// Finds the caller's terminal: the one that stdio is, else the controlling one.
    ///
    /// # Errors
    /// open(2)'s for /dev/tty, where the caller has no terminal at all.
    pub(in crate::lifecycle) fn find() -> io::Result<Self> {
        let (stderr, stdout, stdin) = (stderr(), stdout(), stdin());
        let stdio = [stderr.as_fd(), stdout.as_fd(), stdin.as_fd()];
        let caller = match stdio.into_iter().find(|fd| isatty(fd) == Ok(true)) {
            Some(fd) => File::from(fd.try_clone_to_owned()?),
            None => File::options().read(true).write(true).open("/dev/tty")?,
        };
        Ok(Self {
            caller,
            listener: OnceCell::new(),
        })
    }

    /// Listens in `directory` for the guest's terminal; gives the socket's path.
    ///
    /// # Errors
    /// Those of bind(2).
    pub(in crate::lifecycle) fn listen(&self, dir: &Path) -> io::Result<PathBuf> {
        // By the directory's descriptor: its path may be longer than a socket's may be (unix(7)).
        let opened = File::open(dir)?;
        let short = format!("/proc/self/fd/{}/{SOCKET}", opened.as_raw_fd());
        let listener = UnixListener::bind(short)?;
        // The terminal is sent before `create` is done: nothing to wait for.
        listener.set_nonblocking(true)?;
        self.listener.get_or_init(|| listener);
        Ok(dir.join(SOCKET))
    }

    /// Takes the guest's terminal and joins it with the caller's.
    ///
    /// # Errors
    /// When no terminal came.
    pub(in crate::lifecycle) fn join(self) -> io::Result<TerminalProxy> {
        let listener = self.listener.get().ok_or(io::ErrorKind::NotConnected)?;
        let guest = receive(listener)?;
        // The caller's terminal adds a carriage return to each line; two are too many.
        let mut modes = tcgetattr(&guest)?;
        modes.output_flags.remove(OutputFlags::ONLCR);
        tcsetattr(&guest, SetArg::TCSANOW, &modes)?;
        let (mut typed, mut said) = (guest.try_clone()?, guest.try_clone()?);
        // Never joined: whoever waits for a key cannot be stopped, and ends with the process.
        std::thread::spawn(move || io::copy(&mut stdin(), &mut typed));
        // Ends with EIO, when the guest's side is closed (pty(7)).
        let output = std::thread::spawn(move || {
            let _ = copy_unbuffered(&mut said);
        });
        let joined = TerminalProxy {
            _raw: RawTerminal::make_raw(&self.caller),
            caller: self.caller,
            guest,
            output,
        };
        joined.resize();
        Ok(joined)
    }
}

impl TerminalProxy {
    /// Gives the guest's terminal the size of the caller's. It is not passed on to the guest; it is
    /// for who asks /dev/console for its size.
    pub(in crate::lifecycle) fn resize(&self) {
        let mut size = Winsize {
            ws_row: 0,
            ws_col: 0,
            ws_xpixel: 0,
            ws_ypixel: 0,
        };
        // SAFETY: the descriptor is open and the kernel writes one `Winsize` to the pointer.
        if unsafe { get_window_size(self.caller.as_raw_fd(), &mut size) }.is_ok() {
            // SAFETY: the descriptor is open and the kernel reads one `Winsize` there.
            let _ = unsafe { set_window_size(self.guest.as_raw_fd(), &size) };
        }
    }

    /// Waits, after the guest's end, until all that it said is with the caller.
    pub(in crate::lifecycle) fn finish(self) {
        let _ = self.output.join();
    }
}

/// From the guest's terminal to stdout, without waiting for whole lines.
fn copy_unbuffered(from: &mut File) -> io::Result<()> {
    let mut stdout = File::from(stdout().as_fd().try_clone_to_owned()?);
    io::copy(from, &mut stdout).map(drop)
}

/// Takes the one descriptor that is sent to a console socket (SCM_RIGHTS, unix(7)).
fn receive(listener: &UnixListener) -> io::Result<File> {
    let (stream, _) = listener.accept()?;
    let mut name = [0; 4096];
    let mut parts = [IoSliceMut::new(&mut name)];
    let mut space = nix::cmsg_space!(RawFd);
    let flags = MsgFlags::MSG_CMSG_CLOEXEC | MsgFlags::MSG_DONTWAIT;
    let message = recvmsg::<()>(stream.as_raw_fd(), &mut parts, Some(&mut space), flags)?;
    match message.cmsgs()?.next() {
        Some(ControlMessageOwned::ScmRights(fds)) if fds.len() == 1 => {
            // SAFETY: the kernel has made this descriptor just now, and nobody else knows it.
            Ok(File::from(unsafe { OwnedFd::from_raw_fd(fds[0]) }))
        }
        _ => Err(io::Error::other("no terminal came")),
    }
}
