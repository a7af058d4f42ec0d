//! The calling thread while the guest runs: input, signals, the guest's end.

use std::io;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd};
use std::time::{Duration, Instant};

use nix::errno::Errno;
use nix::libc::{SIGTERM, SIGWINCH};
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::signalfd::SignalFd;
use vmm_sys_util::eventfd::EventFd;

use super::shutdown::Shutdown;
use super::stdio::Stdio;
use super::vcpu_threads::VcpuThreads;

/// How often the vCPUs are asked whether they halted for good.
const HALT_CHECK: Duration = Duration::from_secs(1);

/// What the event loop watches.
pub(crate) struct EventLoop {
    pub stdio: Stdio,
    /// Signalled when there is room for input again, or it is for another device.
    pub space: EventFd,
    pub signals: SignalFd,
    /// Signalled when a vCPU's thread has ended.
    pub ended: EventFd,
    pub shutdown: Shutdown,
}

/// Why there is nothing more to serve.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum EndedBy {
    /// A vCPU's thread has ended by itself.
    Guest,
    /// A signal with this number came; the guest still runs.
    Signal(i32),
}

/// What is ready after a wait.
#[derive(Default)]
struct Ready {
    input: bool,
    space: bool,
    signal: bool,
    ended: bool,
}

impl EventLoop {
    /// Serves the guest until it ends or a signal comes that shall end it. SIGTERM ends only a
    /// guest that cannot be asked to end itself.
    ///
    /// # Errors
    /// Those of poll(2); the guest still runs then.
    pub(crate) fn run(&mut self, vcpus: &VcpuThreads) -> io::Result<EndedBy> {
        let mut last_check = Instant::now();
        loop {
            let ready = self.wait(HALT_CHECK.saturating_sub(last_check.elapsed()))?;
            if ready.ended {
                return Ok(EndedBy::Guest);
            }
            if ready.signal
                && let Some(info) = self.signals.read_signal()?
            {
                match info.ssi_signo.cast_signed() {
                    SIGWINCH => self.stdio.resize(),
                    SIGTERM if self.shutdown.request() => {}
                    signal => return Ok(EndedBy::Signal(signal)),
                }
            }
            if ready.space {
                let _ = self.space.read();
            }
            if ready.input {
                self.stdio.fill();
            }
            self.stdio.offer();
            if last_check.elapsed() >= HALT_CHECK {
                vcpus.check_halted();
                last_check = Instant::now();
            }
        }
    }

    fn wait(&self, timeout: Duration) -> io::Result<Ready> {
        let readable = |fd| PollFd::new(fd, PollFlags::POLLIN);
        let input: Option<BorrowedFd<'_>> = self.stdio.to_poll();
        let mut fds = vec![
            readable(borrow(&self.ended)),
            readable(self.signals.as_fd()),
            readable(borrow(&self.space)),
        ];
        fds.extend(input.map(readable));
        // Rounded up, lest the last millisecond be spent in a busy loop.
        let milliseconds = u16::try_from(timeout.as_millis() + 1).unwrap_or(u16::MAX);
        match poll(&mut fds, PollTimeout::from(milliseconds)) {
            Ok(_) => {}
            Err(Errno::EINTR) => return Ok(Ready::default()),
            Err(e) => return Err(e.into()),
        }
        let is_ready = |i: usize| fds.get(i).and_then(PollFd::any).unwrap_or(false);
        Ok(Ready {
            ended: is_ready(0),
            signal: is_ready(1),
            space: is_ready(2),
            input: is_ready(3),
        })
    }
}

/// `EventFd` itself lends only the number of its descriptor.
fn borrow(event: &EventFd) -> BorrowedFd<'_> {
    // SAFETY: the descriptor stays open for as long as `event` is borrowed.
    unsafe { BorrowedFd::borrow_raw(event.as_raw_fd()) }
}
