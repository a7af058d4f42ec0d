//! The front end of vhost-user (QEMU's docs/interop/vhost-user.rst): hands a device's queues and
//! the guest's memory to another process, the back end, which processes them itself.
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

use super::error::{BackEndError, TIMEOUT};
use crate::devices::virtio::device::{EventSource, NeedsReset, Notifications};
use crate::devices::virtio::features::{EVENT_IDX, INDIRECT_DESC, VERSION_1};
use crate::memory::GuestMemory;
use crate::vm;

/// The feature by which the protocol's own are negotiated; no driver sees it.
const PROTOCOL: u64 = VhostUserVirtioFeatures::PROTOCOL_FEATURES.bits();
/// What every transport here offers its driver, so that a back end must know it.
const NEEDED: u64 = VERSION_1 | EVENT_IDX | INDIRECT_DESC | PROTOCOL;

/// The socket, among what is waited for.
const SOCKET: u64 = u64::MAX;

/// A process that has a device's queues.
pub(crate) struct BackEnd {
    socket: UnixStream,
    frontend: Frontend,
    /// For each queue: the back end has used buffers of it.
    calls: Vec<EventFd>,
    /// All of `calls`, and the socket.
    epoll: Epoll,
    /// The queues that it has at present.
    started: Vec<usize>,
    timeout: Duration,
    is_disconnected: bool,
}

/// Checks that a back end answers on this connection, which it has to itself for so long.
///
/// # Errors
/// [`BackEndError`].
pub fn check(socket: &UnixStream) -> Result<(), BackEndError> {
    let frontend = Frontend::from_stream(socket.try_clone()?, 1);
    with_timeout(TIMEOUT, socket, || check_features(&frontend))
}

impl BackEnd {
    /// Negotiates the protocol's features with the back end at the other end of `socket`, which
    /// is to have so many `queues`.
    ///
    /// # Errors
    /// [`BackEndError`].
    pub(crate) fn connect(socket: UnixStream, queues: usize) -> Result<BackEnd, BackEndError> {
        BackEnd::connect_with_timeout(TIMEOUT, socket, queues)
    }

    pub(super) fn connect_with_timeout(
        timeout: Duration,
        socket: UnixStream,
        queues: usize,
    ) -> Result<BackEnd, BackEndError> {
        let mut frontend = Frontend::from_stream(socket.try_clone()?, queues as u64);
        with_timeout(timeout, &socket, || negotiate(&mut frontend, queues as u64))?;
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
            started: Vec::new(),
            timeout,
            is_disconnected: false,
        })
    }

    /// Gives the back end the guest's `memory` and those of its `queues` that are ready. The
    /// driver's notifications are its kicks: `queue_events`, one for each queue.
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
        if self.is_disconnected {
            return Err(NeedsReset("its back end is gone"));
        }
        // Calls from before a reset are not for this driver.
        for call in &self.calls {
            let _ = call.read();
        }
        let rings = || queues.iter().enumerate().filter(|(_, ring)| ring.ready());
        // Even those that it takes before it fails.
        self.started = rings().map(|(index, _)| index).collect();
        let (calls, frontend) = (&self.calls, &mut self.frontend);
        let started = with_timeout(self.timeout, &self.socket, || {
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
            self.disconnect();
            NeedsReset("its back end does not take the queues")
        })
    }

    /// Takes the queues back: it touches none of them any more when this returns. One that does
    /// not give them back within some seconds gets no others.
    pub(crate) fn stop(&mut self) {
        let started = std::mem::take(&mut self.started);
        if self.is_disconnected || started.is_empty() {
            return;
        }
        let stopped = with_timeout(self.timeout, &self.socket, || {
            for index in started {
                self.frontend.get_vring_base(index)?;
            }
            Ok(())
        });
        if stopped.is_err() {
            self.disconnect();
        }
    }

    /// Where its calls come, and its end.
    pub(crate) fn event_source(&self) -> EventSource<'_> {
        EventSource {
            fd: self.epoll.0.as_fd(),
            events: PollFlags::POLLIN,
        }
    }

    /// The queues in which it has used buffers since: its calls.
    ///
    /// # Errors
    /// [`NeedsReset`]: it has ended, or sends a message without being asked.
    pub(crate) fn take_calls(&mut self) -> Result<Notifications, NeedsReset> {
        let mut events = vec![EpollEvent::empty(); self.calls.len() + 1];
        let count = self.epoll.wait(&mut events, EpollTimeout::ZERO);
        // A signal came, at most: the next turn sees the same.
        let count = count.unwrap_or(0);
        let mut notify = Notifications::NONE;
        for event in &events[..count] {
            if event.data() == SOCKET {
                self.disconnect();
                return Err(NeedsReset("its back end is gone"));
            }
            let index = usize::try_from(event.data()).unwrap_or(usize::MAX);
            if self
                .calls
                .get(index)
                .is_some_and(|call| call.read().is_ok())
            {
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

    /// Closes the connection, upon which it ends as soon as it can.
    fn disconnect(&mut self) {
        self.is_disconnected = true;
        let _ = self.socket.shutdown(Shutdown::Both);
    }
}

/// Has this exchange of messages end in time: closes the connection where it does not, which the
/// crate finds, while it would try again for ever after a socket's own timeout.
fn with_timeout<T>(
    timeout: Duration,
    socket: &UnixStream,
    exchange: impl FnOnce() -> Result<T, BackEndError>,
) -> Result<T, BackEndError> {
    let (done, waits) = channel::<()>();
    scope(|scope| {
        let watchdog = Builder::new().spawn_scoped(scope, move || {
            let is_late = waits.recv_timeout(timeout) == Err(RecvTimeoutError::Timeout);
            if is_late {
                let _ = socket.shutdown(Shutdown::Both);
            }
            is_late
        })?;
        let result = exchange();
        drop(done);
        match watchdog.join() {
            Ok(true) if result.is_err() => Err(BackEndError::Timeout),
            _ => result,
        }
    })
}

/// Checks that a back end has the features that it must have.
fn check_features(frontend: &Frontend) -> Result<(), BackEndError> {
    match NEEDED & !frontend.get_features()? {
        0 => Ok(()),
        lacking => Err(BackEndError::Features(lacking)),
    }
}

fn negotiate(frontend: &mut Frontend, wants: u64) -> Result<(), BackEndError> {
    frontend.set_owner()?;
    check_features(frontend)?;
    let offered = frontend.get_protocol_features()?;
    let negotiated = offered & (Protocol::MQ | Protocol::REPLY_ACK);
    frontend.set_protocol_features(negotiated)?;
    if negotiated.contains(Protocol::REPLY_ACK) {
        frontend.set_hdr_flags(VhostUserHeaderFlag::NEED_REPLY);
    }
    if negotiated.contains(Protocol::MQ) {
        let has = frontend.get_queue_num()?;
        if has < wants {
            return Err(BackEndError::Queues { has, wants });
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

/// Where a ring lies in this process: by such addresses the protocol names shared memory.
fn addresses(ring: &Queue, memory: &GuestMemory) -> Result<VringConfigData, vhost::Error> {
    let address = |gpa| {
        let address = memory.get_host_address(GuestAddress(gpa));
        address
            .map(|address| address as u64)
            .map_err(|_| vhost::Error::InvalidGuestMemoryRegion)
    };
    Ok(VringConfigData {
        queue_max_size: ring.max_size(),
        queue_size: ring.size(),
        flags: 0,
        desc_table_addr: address(ring.desc_table())?,
        used_ring_addr: address(ring.used_ring())?,
        avail_ring_addr: address(ring.avail_ring())?,
        log_addr: None,
    })
}
