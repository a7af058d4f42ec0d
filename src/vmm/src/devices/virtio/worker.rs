//! The devices' threads: each device has one, which waits for the driver's notifications and for
//! the device's event source, and processes them. No vCPU does a device's work.

use std::io;
use std::os::fd::AsRawFd;
use std::sync::Arc;
use std::thread::{Builder, JoinHandle};
use std::time::{Duration, Instant};

use nix::errno::Errno;
use nix::libc::{self, pollfd};
use vmm_sys_util::signal::Killable;

use super::active_device::ActiveDevice;
use crate::signals;

/// How long after the guest's end a device may take to do what it was asked to.
const TIMEOUT: Duration = Duration::from_secs(1);
/// How often to look whether all have ended, which most do at once.
const PAUSE: Duration = Duration::from_micros(50);

/// clone(2) has failed.
#[derive(Debug, thiserror::Error)]
#[error("virtio device {number} gets no thread: {source}; let the container have more of them")]
pub(crate) struct SpawnError {
    number: usize,
    source: io::Error,
}

/// The running threads. When this is dropped, there are none any more.
pub(crate) struct Workers(Vec<(Arc<ActiveDevice>, JoinHandle<()>)>);

impl Workers {
    /// Starts a thread for each device.
    ///
    /// # Errors
    /// [`SpawnError`]; no thread is left then.
    pub(crate) fn start(devices: Vec<Arc<ActiveDevice>>) -> Result<Workers, SpawnError> {
        let mut running = Workers(Vec::with_capacity(devices.len()));
        for (number, device) in devices.into_iter().enumerate() {
            let active = NeedsResetOnPanic(device.clone());
            let thread = Builder::new()
                .name(format!("virtio{number}"))
                .spawn(move || {
                    while !active.0.is_stopped() {
                        poll_once(&active.0, Wait::Forever);
                    }
                    // What the driver has notified of last.
                    poll_once(&active.0, Wait::DontWait);
                })
                .map_err(|source| SpawnError { number, source })?;
            running.0.push((device, thread));
        }
        Ok(running)
    }

    /// Ends a call that waits for somebody else: the console's output, when nobody reads it, is
    /// given up where the guest is to stop.
    pub(crate) fn interrupt(&self) {
        for (_, thread) in &self.0 {
            // Not joined yet, so it can be signalled even if it has ended.
            let _ = thread.kill(signals::kick());
        }
    }
}

impl Drop for Workers {
    fn drop(&mut self) {
        for (device, _) in &self.0 {
            device.stop();
        }
        let begin = Instant::now();
        while !self.0.iter().all(|(_, thread)| thread.is_finished()) {
            if begin.elapsed() >= TIMEOUT {
                self.interrupt();
            }
            std::thread::sleep(PAUSE);
        }
        for (_, thread) in self.0.drain(..) {
            // One that panicked has left its device in need of a reset.
            let _ = thread.join();
        }
    }
}

/// A device whose thread is gone must not seem to work.
struct NeedsResetOnPanic(Arc<ActiveDevice>);

impl Drop for NeedsResetOnPanic {
    fn drop(&mut self) {
        if std::thread::panicking() {
            self.0.set_needs_reset();
        }
    }
}

/// Whether to wait until there is something to do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Wait {
    Forever,
    DontWait,
}

/// One turn of a device's thread: waits, and processes the queues that the driver has notified of
/// and the event source, if that is ready.
pub(crate) fn poll_once(active: &ActiveDevice, wait: Wait) {
    let wake = &active.queue_events().wake;
    let queue_events = active.queue_events().polled();
    let source = active.event_source();
    let descriptor = |fd, events| pollfd {
        fd,
        events,
        revents: 0,
    };
    let readable = |fd| descriptor(fd, libc::POLLIN);
    let mut fds = vec![readable(wake.as_raw_fd())];
    fds.extend(queue_events.iter().map(|event| readable(event.as_raw_fd())));
    fds.extend(source.map(|(fd, events)| descriptor(fd, events.bits())));
    if poll(&mut fds, wait).is_err() {
        return;
    }
    let is_ready = |index: usize| fds.get(index).is_some_and(|fd| fd.revents != 0);
    if is_ready(0) {
        let _ = wake.read();
    }
    for (index, event) in queue_events.iter().enumerate() {
        if is_ready(1 + index) {
            let _ = event.read();
            active.process_queue(index);
        }
    }
    if is_ready(1 + queue_events.len()) {
        active.process_event();
    }
    while let Some(deferred) = active.take_deferred() {
        deferred();
        active.process_event();
    }
}

fn poll(fds: &mut [pollfd], wait: Wait) -> nix::Result<()> {
    let timeout = match wait {
        Wait::Forever => -1,
        Wait::DontWait => 0,
    };
    // SAFETY: the pointer and the length are a slice's. An event source that a vCPU's reset of the
    // device closes meanwhile is a number that poll(2) calls invalid, or somebody else's, and
    // then ready in vain.
    let result = unsafe { libc::poll(fds.as_mut_ptr(), fds.len() as libc::nfds_t, timeout) };
    Errno::result(result).map(drop)
}

#[cfg(test)]
mod tests {
    use std::io::{PipeReader, PipeWriter, Read, Write, pipe};
    use std::os::fd::AsFd;
    use std::time::{Duration, Instant};

    use nix::poll::PollFlags;
    use virtio_queue::Queue;

    use super::super::testing::*;
    use super::*;
    use crate::devices::virtio::device::{EventSource, NeedsReset, Notifications, VirtioDevice};
    use crate::devices::virtio::devices::rng::Rng;
    use crate::memory::GuestMemory;

    fn in_time(what: &str, mut happened: impl FnMut() -> bool) {
        let deadline = Instant::now() + Duration::from_secs(10);
        while !happened() {
            assert!(Instant::now() < deadline, "{what}");
            std::thread::sleep(Duration::from_millis(1));
        }
    }

    fn threads_named(name: &str) -> usize {
        let tasks = std::fs::read_dir("/proc/self/task").unwrap();
        let comm = |task: std::fs::DirEntry| std::fs::read_to_string(task.path().join("comm"));
        let names = tasks.filter_map(|task| comm(task.unwrap()).ok());
        names.filter(|found| found.trim_end() == name).count()
    }

    #[test]
    fn a_thread_serves_until_it_is_ended() {
        let mut driver = Driver::with(Box::new(Rng));
        driver.has_thread = true;
        let workers = Workers::start(vec![driver.device.active_device()]).unwrap();
        driver.come_up(0);
        driver.describe(0, BUFFER, 64, WRITE, 0);
        for count in 1..100 {
            driver.offer(0);
            in_time("served", || driver.used().0 == count);
        }
        in_time("interrupted", || driver.read(INTERRUPT_STATUS) == 1);
        drop(workers);
        driver.offer(0);
        assert_eq!(driver.used().0, 99, "nobody is there");
    }

    /// Waits for a pipe, and says so in another one; it is busy until it may go on.
    struct Waiter {
        source: PipeReader,
        ready: PipeWriter,
        go_on: PipeReader,
    }

    impl VirtioDevice for Waiter {
        fn id(&self) -> u32 {
            0x3f
        }

        fn features(&self) -> u64 {
            0
        }

        fn queue_sizes(&self) -> &[u16] {
            &[8]
        }

        fn config(&self) -> &[u8] {
            &[]
        }

        fn process_queue(
            &mut self,
            _: usize,
            _: &mut [Queue],
            _: &GuestMemory,
        ) -> Result<Notifications, NeedsReset> {
            Ok(Notifications::NONE)
        }

        fn event_source(&self) -> Option<EventSource<'_>> {
            Some(EventSource {
                fd: self.source.as_fd(),
                events: PollFlags::POLLIN,
            })
        }

        fn process_event(
            &mut self,
            _: &mut [Queue],
            _: &GuestMemory,
        ) -> Result<Notifications, NeedsReset> {
            let mut byte = [0];
            self.source.read_exact(&mut byte).unwrap();
            self.ready.write_all(&byte).unwrap();
            self.go_on.read_exact(&mut byte).unwrap();
            Ok(Notifications::queue(0))
        }
    }

    #[test]
    fn a_reset_waits_for_a_busy_device_and_for_nothing_else() {
        let [
            (source, mut input),
            (mut ready, of_ready),
            (go_on, mut let_go_on),
        ] = [(); 3].map(|()| pipe().unwrap());
        let waiter = Waiter {
            source,
            ready: of_ready,
            go_on,
        };
        let mut driver = Driver::with(Box::new(waiter));
        driver.has_thread = true;
        let workers = Workers::start(vec![driver.device.active_device()]).unwrap();
        input.write_all(b"1").unwrap();
        // Not before DRIVER_OK.
        std::thread::sleep(Duration::from_millis(20));
        driver.come_up(0);
        let mut byte = [0];
        ready.read_exact(&mut byte).unwrap();
        assert_eq!(driver.read(INTERRUPT_STATUS), 0, "answered at once");
        assert_eq!(driver.read(STATUS), FOUND | FEATURES_OK | DRIVER_OK);
        driver.write(QUEUE_NOTIFY, 0);
        let device = driver.device.clone();
        let reset = std::thread::spawn(move || device.write(STATUS, &0u32.to_le_bytes()));
        std::thread::sleep(Duration::from_millis(20));
        assert!(!reset.is_finished());
        let_go_on.write_all(b"1").unwrap();
        reset.join().unwrap();
        assert_eq!(
            (driver.read(STATUS), driver.read(INTERRUPT_STATUS)),
            (0, 0),
            "forgotten with the rest"
        );
        drop(workers);
    }

    #[test]
    fn no_thread_is_left() {
        let devices = [(); 3].map(|()| Driver::with(Box::new(Rng)).device);
        let active_devices = devices.each_ref().map(|device| device.active_device());
        let workers = Workers::start(active_devices.to_vec()).unwrap();
        // A thread gives itself its name.
        in_time("started", || threads_named("virtio2") >= 1);
        drop(workers);
        // The kernel lists a thread for a moment longer than one waits for it.
        in_time("gone", || threads_named("virtio2") == 0);
    }
}
