//! A device at work on the queues that its driver has given it.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use virtio_queue::{Queue, QueueT};

use super::{Broken, Device, Interrupts, Used, used};
use crate::vmm::memory::GuestMemory;

/// A device, and all that its transport and its server share.
pub struct Serving {
    work: Mutex<Work>,
    config: Mutex<Config>,
    broken: AtomicBool,
    interrupts: Arc<dyn Interrupts>,
    memory: GuestMemory,
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
pub struct Identity {
    pub id: u32,
    pub features: u64,
    pub queue_sizes: Vec<u16>,
}

impl Serving {
    /// A device that uses `memory`, and what it is.
    pub fn new(
        device: Box<dyn Device>,
        memory: GuestMemory,
        interrupts: Arc<dyn Interrupts>,
    ) -> (Arc<Serving>, Identity) {
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
        let serving = Serving {
            work: Mutex::new(work),
            config: Mutex::new(config),
            broken: AtomicBool::new(false),
            interrupts,
            memory,
        };
        (Arc::new(serving), identity)
    }

    /// Puts the device to work, with the features agreed on. A queue that is not all in
    /// memory breaks it.
    pub fn activate(&self, features: u64, queues: Vec<Queue>) {
        let mut ready = queues.iter().filter(|queue| queue.ready());
        if !ready.all(|queue| queue.is_valid(&self.memory)) {
            return self.break_down();
        }
        let mut work = self.lock();
        work.device.activate(features);
        work.queues = queues;
        // The driver may have offered buffers already.
        for index in 0..work.queues.len() {
            self.serve_locked(&mut work, index);
        }
    }

    /// Takes all queues from the device; nothing of it touches memory any more.
    pub fn reset(&self) {
        let mut work = self.lock();
        work.queues.clear();
        work.device.reset();
        self.broken.store(false, Ordering::Relaxed);
        self.interrupts.clear();
    }

    /// Asks the driver for a reset. Until then nothing is served.
    pub fn break_down(&self) {
        self.broken.store(true, Ordering::Relaxed);
        self.interrupts.config();
    }

    /// Whether a driver broke the device.
    pub fn is_broken(&self) -> bool {
        self.broken.load(Ordering::Relaxed)
    }

    /// Copies the configuration space from byte `at` on; past its end there are zeros.
    pub fn read_config(&self, at: usize, data: &mut [u8]) {
        let config = self.config.lock().unwrap_or_else(PoisonError::into_inner);
        data.fill(0);
        let found = config.bytes.get(at..).unwrap_or_default();
        for (byte, value) in data.iter_mut().zip(found) {
            *byte = *value;
        }
    }

    /// A number that changes with the configuration space.
    pub fn config_generation(&self) -> u32 {
        let config = self.config.lock().unwrap_or_else(PoisonError::into_inner);
        config.generation
    }

    /// Serves queue `index`, if there is such a queue at work.
    pub fn serve(&self, index: usize) {
        self.serve_locked(&mut self.lock(), index);
    }

    fn serve_locked(&self, work: &mut Work, index: usize) {
        let is_ready = |work: &Work| work.queues.get(index).is_some_and(Queue::ready);
        while is_ready(work) {
            let more = self.attend(work, |work, memory| {
                let queue = work.queues.get_mut(index);
                queue.map_or(Ok(()), |queue| quiet(queue, memory))?;
                work.device.serve(index, &mut work.queues, memory)
            });
            if !more.contains(Used::queue(index)) {
                return;
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
