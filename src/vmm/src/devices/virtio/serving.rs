//! A device at work on the queues that its driver has given it.

use std::os::fd::{AsRawFd, RawFd};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use nix::poll::PollFlags;
use virtio_queue::{Queue, QueueT};

use super::bells::Bells;
use super::device::{Broken, Device, Errand, Interrupts, Used};
use super::queue::used;
use crate::devices::virtio::features::VERSION_1;
use crate::error::Error;
use crate::memory::GuestMemory;

/// A device, and all that its transport and its server share.
pub(crate) struct Serving {
    work: Mutex<Work>,
    config: Mutex<Config>,
    broken: AtomicBool,
    is_modern: AtomicBool,
    interrupts: Arc<dyn Interrupts>,
    memory: GuestMemory,
    bells: Bells,
    is_over: AtomicBool,
}

struct Work {
    device: Box<dyn Device>,
    /// Those of the active device; before DRIVER_OK and after a reset there are none.
    queues: Vec<Queue>,
}

/// A copy of the device's, so that a driver that reads it waits for no request.
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

impl Serving {
    /// A device that uses `memory`, and what it is.
    ///
    /// # Errors
    /// [`Error::EventFd`].
    pub(crate) fn new(
        device: Box<dyn Device>,
        memory: GuestMemory,
        interrupts: Arc<dyn Interrupts>,
    ) -> Result<(Arc<Serving>, Identity), Error> {
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
        let is_elsewhere = work.device.is_served_elsewhere();
        let serving = Serving {
            work: Mutex::new(work),
            config: Mutex::new(config),
            broken: AtomicBool::new(false),
            is_modern: AtomicBool::new(false),
            interrupts,
            memory,
            bells: Bells::new(identity.queue_sizes.len(), is_elsewhere)?,
            is_over: AtomicBool::new(false),
        };
        Ok((Arc::new(serving), identity))
    }

    pub(crate) fn bells(&self) -> &Bells {
        &self.bells
    }

    /// All file descriptors that it needs.
    pub(crate) fn descriptors(&self) -> Vec<RawFd> {
        let mut descriptors = self.lock().device.descriptors();
        descriptors.push(self.bells.attention.as_raw_fd());
        descriptors.extend(self.bells.queues.iter().map(AsRawFd::as_raw_fd));
        descriptors
    }

    /// Asks the device's thread to end.
    pub(crate) fn end(&self) {
        self.is_over.store(true, Ordering::Release);
        self.call_for_attention();
    }

    pub(crate) fn is_over(&self) -> bool {
        self.is_over.load(Ordering::Acquire)
    }

    /// Puts the device to work, with the features agreed on and the queues, if they are such. One
    /// that is not all in memory breaks it.
    pub(crate) fn activate(&self, features: u64, queues: Result<Vec<Queue>, Broken>) {
        let is_modern = features & VERSION_1 != 0;
        self.is_modern.store(is_modern, Ordering::Relaxed);
        let Ok(queues) = queues else {
            return self.break_down();
        };
        let mut ready = queues.iter().filter(|queue| queue.ready());
        if !ready.all(|queue| queue.is_valid(&self.memory)) {
            return self.break_down();
        }
        let mut work = self.lock();
        work.device.activate(features);
        let (device, bells) = (&mut work.device, &self.bells.queues);
        if device
            .hand_over(features, &queues, bells, &self.memory)
            .is_err()
        {
            return self.break_down();
        }
        work.queues = queues;
        drop(work);
        // The driver may have offered buffers already.
        for index in 0..self.bells.queues.len() {
            self.notify(index);
        }
        self.call_for_attention();
    }

    /// Has queue `index` served soon, if there is one.
    pub(crate) fn notify(&self, index: usize) {
        if let Some(bell) = self.bells.queues.get(index) {
            // It fails only where it has rung already, and more often than anybody can count.
            let _ = bell.write(1);
        }
    }

    fn call_for_attention(&self) {
        let _ = self.bells.attention.write(1);
    }

    /// Takes all queues from the device; nothing of it touches memory any more.
    pub(crate) fn rest(&self) {
        let mut work = self.lock();
        work.queues.clear();
        work.device.reset();
        drop(work);
        self.call_for_attention();
    }

    /// As [`Serving::rest`]; it is as it was before any driver.
    pub(crate) fn reset(&self) {
        self.rest();
        self.broken.store(false, Ordering::Relaxed);
        self.interrupts.clear();
    }

    /// Asks the driver for a reset. Until then nothing is served. One of the legacy interface
    /// knows no such wish, and might take an interrupt for nobody's.
    pub(crate) fn break_down(&self) {
        self.broken.store(true, Ordering::Relaxed);
        if self.is_modern.load(Ordering::Relaxed) {
            self.interrupts.config();
        }
    }

    /// Whether a driver broke the device.
    pub(crate) fn is_broken(&self) -> bool {
        self.broken.load(Ordering::Relaxed)
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
    pub(crate) fn source(&self) -> Option<(RawFd, PollFlags)> {
        let work = self.lock();
        let source = work.device.source().filter(|_| !work.queues.is_empty());
        source.map(|source| (source.fd.as_raw_fd(), source.events))
    }

    /// Tells the device that its source is ready, if it is at work.
    pub(crate) fn ready(&self) {
        let work = &mut *self.lock();
        if work.queues.is_empty() {
            // Not at work.
        } else if self.bells.are_heard_elsewhere {
            self.pass_on(work);
        } else {
            let more = self.attend(work, |work, memory| {
                work.device.ready(&mut work.queues, memory)
            });
            self.notify_again(more);
        }
    }

    /// What the device wants to be done while it is not locked.
    pub(crate) fn errand(&self) -> Option<Errand> {
        self.lock().device.errand()
    }

    /// Serves queue `index`, if there is such a queue at work.
    pub(crate) fn serve(&self, index: usize) {
        let work = &mut *self.lock();
        if work.queues.get(index).is_some_and(Queue::ready) {
            let more = self.attend(work, |work, memory| {
                let queue = work.queues.get_mut(index);
                queue.map_or(Ok(()), |queue| quiet(queue, memory))?;
                work.device.serve(index, &mut work.queues, memory)
            });
            self.notify_again(more);
        }
    }

    /// Passes on what the process that serves the queues has to say: it has seen itself to which
    /// buffers the driver wants to be told of.
    fn pass_on(&self, work: &mut Work) {
        match work.device.ready(&mut [], &self.memory) {
            Ok(used) => {
                let queues = 0..self.bells.queues.len();
                let told = queues.filter(|&index| used.contains(Used::queue(index)));
                told.for_each(|index| self.interrupts.queue(index));
            }
            Err(Broken(_)) => {
                work.queues.clear();
                self.break_down();
            }
        }
    }

    /// Has these queues served in the next turn: whoever waits for the device comes first.
    fn notify_again(&self, queues: Used) {
        for index in 0..self.bells.queues.len() {
            if queues.contains(Used::queue(index)) {
                self.notify(index);
            }
        }
    }

    /// Lets the device do some work, and tells the driver of it. Gives the queues to which
    /// the driver has added in the meantime, perhaps without a notification.
    fn attend(
        &self,
        work: &mut Work,
        call: impl FnOnce(&mut Work, &GuestMemory) -> Result<Used, Broken>,
    ) -> Used {
        let memory = &self.memory;
        let before = |q: &Queue| (available(q, memory), q.next_used());
        let before: Vec<_> = work.queues.iter().map(before).collect();
        let result = call(work, memory).and_then(|used| {
            let mut more = Used::NONE;
            let queues = work.queues.iter_mut().zip(before).enumerate();
            for (index, (queue, (seen, next_used))) in queues {
                let this = Used::queue(index);
                if queue.ready()
                    && used.contains(this)
                    && used::wants_interrupt(queue, memory, next_used)?
                {
                    self.interrupts.queue(index);
                }
                if queue.ready() && listen(queue, memory)? && available(queue, memory) != seen {
                    more |= this;
                }
            }
            Ok((used, more))
        });
        match result {
            Ok((used, more)) => {
                if used.contains(Used::CONFIG) {
                    self.renew_config(&*work.device);
                }
                more
            }
            Err(Broken(_)) => {
                work.queues.clear();
                self.break_down();
                Used::NONE
            }
        }
    }

    fn renew_config(&self, device: &dyn Device) {
        let mut config = self.config.lock().unwrap_or_else(PoisonError::into_inner);
        config.bytes = device.config().to_vec();
        config.generation = config.generation.wrapping_add(1);
        drop(config);
        self.interrupts.config();
    }

    fn lock(&self) -> MutexGuard<'_, Work> {
        self.work.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

const NO_RING: Broken = Broken("its rings are not in memory");

/// How many buffers the driver has ever offered, as it counts them.
fn available(queue: &Queue, memory: &GuestMemory) -> Option<u16> {
    let index = queue.avail_idx(memory, Ordering::Acquire).ok()?;
    Some(index.0)
}

/// Asks the driver for no notifications: the queue is looked at anyway.
fn quiet(queue: &mut Queue, memory: &GuestMemory) -> Result<(), Broken> {
    queue.disable_notification(memory).map_err(|_| NO_RING)
}

/// Asks the driver for notifications; whether there are buffers already.
fn listen(queue: &mut Queue, memory: &GuestMemory) -> Result<bool, Broken> {
    queue.enable_notification(memory).map_err(|_| NO_RING)
}
