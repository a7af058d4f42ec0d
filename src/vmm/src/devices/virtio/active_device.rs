//! A device at work on the queues that its driver has set up.

use std::os::fd::{AsRawFd, RawFd};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use nix::poll::PollFlags;
use virtio_queue::{Queue, QueueT};

use super::device::{Deferred, Interrupts, NeedsReset, Notifications, VirtioDevice};
use super::features::VERSION_1;
use super::queue::used_ring;
use super::queue_events::QueueEvents;
use crate::error::Error;
use crate::memory::GuestMemory;

/// A device, and all that its transport and its thread share.
pub(crate) struct ActiveDevice {
    work: Mutex<Work>,
    config: Mutex<Config>,
    needs_reset: AtomicBool,
    is_modern: AtomicBool,
    interrupts: Arc<dyn Interrupts>,
    memory: GuestMemory,
    queue_events: QueueEvents,
    is_stopped: AtomicBool,
}

struct Work {
    device: Box<dyn VirtioDevice>,
    /// Before DRIVER_OK and after a reset there are none.
    queues: Vec<Queue>,
}

/// A copy of the device's configuration space, so that a driver that reads it waits for no
/// request.
struct Config {
    bytes: Vec<u8>,
    generation: u32,
}

/// What never changes of a device.
pub(crate) struct Identity {
    pub id: u32,
    pub features: u64,
    pub queue_sizes: Vec<u16>,
}

impl ActiveDevice {
    /// A device that uses `memory`, and what it is.
    ///
    /// # Errors
    /// [`Error::EventFd`].
    pub(crate) fn new(
        device: Box<dyn VirtioDevice>,
        memory: GuestMemory,
        interrupts: Arc<dyn Interrupts>,
    ) -> Result<(Arc<ActiveDevice>, Identity), Error> {
        let identity = Identity {
            id: device.id(),
            features: device.features(),
            queue_sizes: device.queue_sizes().to_vec(),
        };
        let config = Config {
            bytes: device.config().to_vec(),
            generation: 0,
        };
        let work = Work {
            device,
            queues: Vec::new(),
        };
        let is_vhost_user = work.device.is_vhost_user();
        let active = ActiveDevice {
            work: Mutex::new(work),
            config: Mutex::new(config),
            needs_reset: AtomicBool::new(false),
            is_modern: AtomicBool::new(false),
            interrupts,
            memory,
            queue_events: QueueEvents::new(identity.queue_sizes.len(), is_vhost_user)?,
            is_stopped: AtomicBool::new(false),
        };
        Ok((Arc::new(active), identity))
    }

    pub(crate) fn queue_events(&self) -> &QueueEvents {
        &self.queue_events
    }

    /// All file descriptors that it needs.
    pub(crate) fn descriptors(&self) -> Vec<RawFd> {
        let mut descriptors = self.lock().device.descriptors();
        descriptors.push(self.queue_events.wake.as_raw_fd());
        descriptors.extend(self.queue_events.queues.iter().map(AsRawFd::as_raw_fd));
        descriptors
    }

    /// Asks the device's thread to end.
    pub(crate) fn stop(&self) {
        self.is_stopped.store(true, Ordering::Release);
        self.wake();
    }

    pub(crate) fn is_stopped(&self) -> bool {
        self.is_stopped.load(Ordering::Acquire)
    }

    /// Puts the device to work, with the features accepted and the queues, if they are such. A
    /// queue that is not all in memory breaks it.
    pub(crate) fn activate(&self, features: u64, queues: Result<Vec<Queue>, NeedsReset>) {
        let is_modern = features & VERSION_1 != 0;
        self.is_modern.store(is_modern, Ordering::Relaxed);
        let Ok(queues) = queues else {
            return self.set_needs_reset();
        };
        let mut ready = queues.iter().filter(|queue| queue.ready());
        if !ready.all(|queue| queue.is_valid(&self.memory)) {
            return self.set_needs_reset();
        }
        let mut work = self.lock();
        work.device.activate(features);
        let (device, queue_events) = (&mut work.device, &self.queue_events.queues);
        let started = device.start_back_end(features, &queues, queue_events, &self.memory);
        if started.is_err() {
            return self.set_needs_reset();
        }
        work.queues = queues;
        drop(work);
        // There may be available buffers already.
        for index in 0..self.queue_events.queues.len() {
            self.notify(index);
        }
        self.wake();
    }

    /// Has queue `index` processed soon, if there is one.
    pub(crate) fn notify(&self, index: usize) {
        if let Some(event) = self.queue_events.queues.get(index) {
            // It fails only where it is signalled already, and more often than anybody can count.
            let _ = event.write(1);
        }
    }

    fn wake(&self) {
        let _ = self.queue_events.wake.write(1);
    }

    /// Takes all queues from the device; nothing of it touches memory any more.
    pub(crate) fn quiesce(&self) {
        let mut work = self.lock();
        work.queues.clear();
        work.device.reset();
        drop(work);
        self.wake();
    }

    /// As [`ActiveDevice::quiesce`]; it is as it was before any driver.
    pub(crate) fn reset(&self) {
        self.quiesce();
        self.needs_reset.store(false, Ordering::Relaxed);
        self.interrupts.clear();
    }

    /// Asks the driver for a reset. Until then no queue is processed. A driver of the legacy
    /// interface knows no such request, and might take an interrupt for nobody's.
    pub(crate) fn set_needs_reset(&self) {
        self.needs_reset.store(true, Ordering::Relaxed);
        if self.is_modern.load(Ordering::Relaxed) {
            self.interrupts.config_change();
        }
    }

    /// Whether a driver broke the device.
    pub(crate) fn needs_reset(&self) -> bool {
        self.needs_reset.load(Ordering::Relaxed)
    }

    /// Copies the configuration space from byte `at` on; past its end there are zeros.
    pub(crate) fn read_config(&self, at: usize, data: &mut [u8]) {
        let config = self.config.lock().unwrap_or_else(PoisonError::into_inner);
        data.fill(0);
        let found = config.bytes.get(at..).unwrap_or_default();
        for (byte, value) in data.iter_mut().zip(found) {
            *byte = *value;
        }
    }

    /// A number that changes with the configuration space.
    pub(crate) fn config_generation(&self) -> u32 {
        let config = self.config.lock().unwrap_or_else(PoisonError::into_inner);
        config.generation
    }

    /// What the device waits for, while it is at work.
    pub(crate) fn event_source(&self) -> Option<(RawFd, PollFlags)> {
        let work = self.lock();
        let source = work.device.event_source();
        let source = source.filter(|_| !work.queues.is_empty());
        source.map(|source| (source.fd.as_raw_fd(), source.events))
    }

    /// Tells the device that its event source is ready, if it is at work.
    pub(crate) fn process_event(&self) {
        let work = &mut *self.lock();
        if work.queues.is_empty() {
            // Not at work.
        } else if self.queue_events.is_vhost_user {
            self.process_back_end(work);
        } else {
            let more = self.process(work, |work, memory| {
                work.device.process_event(&mut work.queues, memory)
            });
            self.notify_all(more);
        }
    }

    /// What the device wants to be done while it is not locked.
    pub(crate) fn take_deferred(&self) -> Option<Deferred> {
        self.lock().device.take_deferred()
    }

    /// Processes queue `index`, if there is such a queue at work.
    pub(crate) fn process_queue(&self, index: usize) {
        let work = &mut *self.lock();
        if work.queues.get(index).is_some_and(Queue::ready) {
            let more = self.process(work, |work, memory| {
                let queue = work.queues.get_mut(index);
                queue.map_or(Ok(()), |queue| disable_notifications(queue, memory))?;
                work.device.process_queue(index, &mut work.queues, memory)
            });
            self.notify_all(more);
        }
    }

    /// Passes on the back end's notifications: it has seen itself to which used buffers the
    /// driver wants to be notified of.
    fn process_back_end(&self, work: &mut Work) {
        match work.device.process_event(&mut [], &self.memory) {
            Ok(notify) => {
                let queues = 0..self.queue_events.queues.len();
                let queues = queues.filter(|&index| notify.contains(Notifications::queue(index)));
                queues.for_each(|index| self.interrupts.used_buffer(index));
            }
            Err(NeedsReset(_)) => {
                work.queues.clear();
                self.set_needs_reset();
            }
        }
    }

    /// Has these queues processed in the next turn: whoever waits for the device comes first.
    fn notify_all(&self, queues: Notifications) {
        for index in 0..self.queue_events.queues.len() {
            if queues.contains(Notifications::queue(index)) {
                self.notify(index);
            }
        }
    }

    /// Lets the device do some work, and notifies the driver of it. Gives the queues that the
    /// driver has made buffers available in meanwhile, perhaps without a notification.
    fn process(
        &self,
        work: &mut Work,
        call: impl FnOnce(&mut Work, &GuestMemory) -> Result<Notifications, NeedsReset>,
    ) -> Notifications {
        let memory = &self.memory;
        let before = |q: &Queue| (available_index(q, memory), q.next_used());
        let before: Vec<_> = work.queues.iter().map(before).collect();
        let result = call(work, memory).and_then(|notify| {
            let mut more = Notifications::NONE;
            let queues = work.queues.iter_mut().zip(before).enumerate();
            for (index, (queue, (available, next_used))) in queues {
                let this = Notifications::queue(index);
                if queue.ready()
                    && notify.contains(this)
                    && used_ring::needs_notification(queue, memory, next_used)?
                {
                    self.interrupts.used_buffer(index);
                }
                if queue.ready()
                    && enable_notifications(queue, memory)?
                    && available_index(queue, memory) != available
                {
                    more |= this;
                }
            }
            Ok((notify, more))
        });
        match result {
            Ok((notify, more)) => {
                if notify.contains(Notifications::CONFIG) {
                    self.update_config(&*work.device);
                }
                more
            }
            Err(NeedsReset(_)) => {
                work.queues.clear();
                self.set_needs_reset();
                Notifications::NONE
            }
        }
    }

    fn update_config(&self, device: &dyn VirtioDevice) {
        let mut config = self.config.lock().unwrap_or_else(PoisonError::into_inner);
        config.bytes = device.config().to_vec();
        config.generation = config.generation.wrapping_add(1);
        drop(config);
        self.interrupts.config_change();
    }

    fn lock(&self) -> MutexGuard<'_, Work> {
        self.work.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

const NO_RING: NeedsReset = NeedsReset("its rings are not in memory");

/// The available ring's index: how many buffers the driver has ever made available, as it counts
/// them.
fn available_index(queue: &Queue, memory: &GuestMemory) -> Option<u16> {
    let index = queue.avail_idx(memory, Ordering::Acquire).ok()?;
    Some(index.0)
}

/// Asks the driver for no notifications: the queue is looked at anyway.
fn disable_notifications(queue: &mut Queue, memory: &GuestMemory) -> Result<(), NeedsReset> {
    queue.disable_notification(memory).map_err(|_| NO_RING)
}

/// Asks the driver for notifications; whether there are available buffers already.
fn enable_notifications(queue: &mut Queue, memory: &GuestMemory) -> Result<bool, NeedsReset> {
    queue.enable_notification(memory).map_err(|_| NO_RING)
}
