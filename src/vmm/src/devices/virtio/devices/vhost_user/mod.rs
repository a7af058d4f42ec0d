//! The front end of vhost-user (QEMU's docs/interop/vhost-user.rst): hands a device's queues and
//! the guest's memory to another process, the back end, which serves them itself.
//!
//! The back end is not the driver's: it is as trusted as the files that it serves, and it has all
//! of the guest's memory. Yet it may hang or die, and then its device is broken, and no more.

use std::io;
use std::net::Shutdown;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, RawFd};
use std::os::unix::net::UnixStream;
use std::sync::mpsc::{RecvTimeoutError, channel};
use std::thread::{Builder, scope};
use std::time::Duration;

use nix::poll::PollFlags;
use nix::sys::epoll::{Epoll, EpollCreateFlags, EpollEvent, EpollFlags, EpollTimeout};
use vhost::vhost_user::message::VhostUserHeaderFlag;
use vhost::vhost_user::{
    Frontend, VhostUserFrontend, VhostUserProtocolFeatures as Protocol, VhostUserVirtioFeatures,
};
use vhost::{VhostBackend, VhostUserMemoryRegionInfo, VringConfigData};
use virtio_queue::{Queue, QueueT};
use vm_memory::{GuestAddress, GuestMemoryBackend};
use vmm_sys_util::eventfd::EventFd;

use crate::devices::virtio::device::{EventSource, NeedsReset, Notifications};
use crate::devices::virtio::features::{EVENT_IDX, INDIRECT_DESC, VERSION_1};
use crate::memory::GuestMemory;
use crate::vm;

/// How long a back end may take to answer: for its start on a busy host, and to finish the
/// requests that it is at when a ring is taken from it.
const TIMEOUT: Duration = Duration::from_secs(10);

/// The feature by which the protocol's own are agreed on; no driver sees it.
const PROTOCOL: u64 = VhostUserVirtioFeatures::PROTOCOL_FEATURES.bits();
/// What every transport here offers its driver, so that a back end must know it.
const NEEDED: u64 = VERSION_1 | EVENT_IDX | INDIRECT_DESC | PROTOCOL;

/// The socket, among what is waited for.
const SOCKET: u64 = u64::MAX;

#[cfg(test)]
mod fake_back_end;
#[cfg(test)]
mod tests;

/// Why a back end is of no use.
#[derive(Debug, thiserror::Error)]
pub enum Fault {
    #[error("does not answer within {} s", TIMEOUT.as_secs())]
    Silent,
    #[error("has ended, or does not speak vhost-user: {0}")]
    Protocol(#[from] vhost::Error),
    #[error("lacks virtio features {0:#x}: use a newer one")]
    Features(u64),
    #[error("serves {has} queues, the device has {wants}: use another one")]
    Queues { has: u64, wants: u64 },
    #[error("cannot be waited for: {0}")]
    Io(#[from] io::Error),
}

/// A process that serves a device's queues.
pub(crate) struct BackEnd {
    socket: UnixStream,
    frontend: Frontend,
    /// For each queue: the back end has used buffers of it.
    calls: Vec<EventFd>,
    /// All of `calls`, and the socket.
    epoll: Epoll,
    /// The queues that it has.
    running: Vec<usize>,
    timeout: Duration,
    is_gone: bool,
}

/// Sees whether a back end answers on this connection, which it has to itself for so long.
///
/// # Errors
/// [`Fault`].
pub fn check(socket: &UnixStream) -> Result<(), Fault> {
    let frontend = Frontend::from_stream(socket.try_clone()?, 1);
    within(TIMEOUT, socket, || features(&frontend))
}

impl BackEnd {
    /// Agrees with the back end at the other end of `socket`, which serves so many `queues`, on
    /// how to speak.
    ///
    /// # Errors
    /// [`Fault`].
    pub(crate) fn greet(socket: UnixStream, queues: usize) -> Result<BackEnd, Fault> {
        BackEnd::greet_within(TIMEOUT, socket, queues)
    }

    fn greet_within(
        timeout: Duration,
        socket: UnixStream,
        queues: usize,
    ) -> Result<BackEnd, Fault> {
        let mut frontend = Frontend::from_stream(socket.try_clone()?, queues as u64);
        within(timeout, &socket, || agree(&mut frontend, queues as u64))?;
        let calls: Result<Vec<_>, _> = (0..queues).map(|_| vm::event()).collect();
        let calls = calls.map_err(io::Error::other)?;
        let epoll = Epoll::new(EpollCreateFlags::EPOLL_CLOEXEC).map_err(io::Error::from)?;
        let readable = |data| EpollEvent::new(EpollFlags::EPOLLIN, data);
        for (index, call) in (0..).zip(&calls) {
            // SAFETY: the event's descriptor is open for as long as the event is borrowed.
            let call = unsafe { BorrowedFd::borrow_raw(call.as_raw_fd()) };
            epoll.add(call, readable(index)).map_err(io::Error::from)?;
        }
        epoll
            .add(&socket, readable(SOCKET))
            .map_err(io::Error::from)?;
        Ok(BackEnd {
            socket,
            frontend,
            calls,
            epoll,
            running: Vec::new(),
            timeout,
            is_gone: false,
        })
    }

    /// Gives the back end the guest's `memory` and those of its `queues` that are ready. It takes
    /// the driver's notifications by `queue_events`, one for each queue.
    ///
    /// # Errors
    /// [`NeedsReset`], also for a driver of the legacy interface, of which it knows nothing.
    pub(crate) fn start(
        &mut self,
        features: u64,
        queues: &[Queue],
        queue_events: &[EventFd],
        memory: &GuestMemory,
    ) -> Result<(), NeedsReset> {
        if features & VERSION_1 == 0 {
            return Err(NeedsReset("its back end knows no legacy interface"));
        }
        if self.is_gone {
            return Err(NeedsReset("its back end is gone"));
        }
        // What was called out before a reset is nothing to this driver.
        for call in &self.calls {
            let _ = call.read();
        }
        let rings = || queues.iter().enumerate().filter(|(_, ring)| ring.ready());
        // Even those that it takes before it fails.
        self.running = rings().map(|(index, _)| index).collect();
        let (calls, frontend) = (&self.calls, &mut self.frontend);
        let started = within(self.timeout, &self.socket, || {
            frontend.set_features(features | PROTOCOL)?;
            frontend.set_mem_table(&regions(memory)?)?;
            for (index, ring) in rings() {
                frontend.set_vring_num(index, ring.size())?;
                frontend.set_vring_addr(index, &addresses(ring, memory)?)?;
                frontend.set_vring_base(index, 0)?;
                frontend.set_vring_call(index, &calls[index])?;
                frontend.set_vring_kick(index, &queue_events[index])?;
                frontend.set_vring_enable(index, true)?;
            }
            Ok(())
        });
        started.map_err(|_| {
            self.give_up();
            NeedsReset("its back end does not take the queues")
        })
    }

    /// Takes the queues back: it touches none of them any more when this returns. One that does
    /// not give them back within some seconds gets no others.
    pub(crate) fn stop(&mut self) {
        let running = std::mem::take(&mut self.running);
        if self.is_gone || running.is_empty() {
            return;
        }
        let stopped = within(self.timeout, &self.socket, || {
            for index in running {
                self.frontend.get_vring_base(index)?;
            }
            Ok(())
        });
        if stopped.is_err() {
            self.give_up();
        }
    }

    /// Where it says that it has used buffers, or that it has ended.
    pub(crate) fn event_source(&self) -> EventSource<'_> {
        EventSource {
            fd: self.epoll.0.as_fd(),
            events: PollFlags::POLLIN,
        }
    }

    /// The queues in which it has used buffers since.
    ///
    /// # Errors
    /// [`NeedsReset`]: it has ended, or speaks without being asked.
    pub(crate) fn used(&mut self) -> Result<Notifications, NeedsReset> {
        let mut events = vec![EpollEvent::empty(); self.calls.len() + 1];
        let count = self.epoll.wait(&mut events, EpollTimeout::ZERO);
        // A signal came, at most: the next turn sees the same.
        let count = count.unwrap_or(0);
        let mut notify = Notifications::NONE;
        for event in &events[..count] {
            if event.data() == SOCKET {
                self.give_up();
                return Err(NeedsReset("its back end is gone"));
            }
            // No more than there are calls.
            let index = event.data() as usize;
            if self.calls[index].read().is_ok() {
                notify |= Notifications::queue(index);
            }
        }
        Ok(notify)
    }

    /// All file descriptors that it needs.
    pub(crate) fn descriptors(&self) -> Vec<RawFd> {
        let mut descriptors = vec![
            self.socket.as_raw_fd(),
            self.frontend.as_raw_fd(),
            self.epoll.0.as_raw_fd(),
        ];
        descriptors.extend(self.calls.iter().map(AsRawFd::as_raw_fd));
        descriptors
    }

    /// Nothing more is said to it. Hung up on, it ends as soon as it can.
    fn give_up(&mut self) {
        self.is_gone = true;
        let _ = self.socket.shutdown(Shutdown::Both);
    }
}

/// Has this conversation end in time: hangs up where it does not, and the crate, which tries again
/// for ever after a socket's own timeout, finds the connection closed.
fn within<T>(
    timeout: Duration,
    socket: &UnixStream,
    talk: impl FnOnce() -> Result<T, Fault>,
) -> Result<T, Fault> {
    let (done, waits) = channel::<()>();
    scope(|scope| {
        let watch = Builder::new().spawn_scoped(scope, move || {
            let is_late = waits.recv_timeout(timeout) == Err(RecvTimeoutError::Timeout);
            if is_late {
                let _ = socket.shutdown(Shutdown::Both);
            }
            is_late
        })?;
        let said = talk();
        drop(done);
        match watch.join() {
            Ok(true) if said.is_err() => Err(Fault::Silent),
            _ => said,
        }
    })
}

/// Sees that a back end has the features that it must have.
fn features(frontend: &Frontend) -> Result<(), Fault> {
    match NEEDED & !frontend.get_features()? {
        0 => Ok(()),
        lacking => Err(Fault::Features(lacking)),
    }
}

fn agree(frontend: &mut Frontend, wants: u64) -> Result<(), Fault> {
    frontend.set_owner()?;
    features(frontend)?;
    let offered = frontend.get_protocol_features()?;
    let agreed = offered & (Protocol::MQ | Protocol::REPLY_ACK);
    frontend.set_protocol_features(agreed)?;
    if agreed.contains(Protocol::REPLY_ACK) {
        frontend.set_hdr_flags(VhostUserHeaderFlag::NEED_REPLY);
    }
    if agreed.contains(Protocol::MQ) {
        let has = frontend.get_queue_num()?;
        if has < wants {
            return Err(Fault::Queues { has, wants });
        }
    }
    Ok(())
}

fn regions(memory: &GuestMemory) -> Result<Vec<VhostUserMemoryRegionInfo>, vhost::Error> {
    let regions = memory.iter();
    regions
        .map(VhostUserMemoryRegionInfo::from_guest_region)
        .collect()
}

/// Where a ring lies in this process: so the protocol names places in shared memory.
fn addresses(ring: &Queue, memory: &GuestMemory) -> Result<VringConfigData, vhost::Error> {
    let place = |gpa| {
        let place = memory.get_host_address(GuestAddress(gpa));
        place
            .map(|place| place as u64)
            .map_err(|_| vhost::Error::InvalidGuestMemoryRegion)
    };
    Ok(VringConfigData {
        queue_max_size: ring.max_size(),
        queue_size: ring.size(),
        flags: 0,
        desc_table_addr: place(ring.desc_table())?,
        used_ring_addr: place(ring.used_ring())?,
        avail_ring_addr: place(ring.avail_ring())?,
        log_addr: None,
    })
}
