//! The threads that run the vCPUs, and how the event loop reaches them.

use std::io;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, OnceLock};
use std::thread::{Builder, JoinHandle};
use std::time::{Duration, Instant};

use vmm_sys_util::eventfd::EventFd;
use vmm_sys_util::signal::Killable;

use super::exit::{Crash, GuestExit};
use super::halt::{HaltCheck, Wait};
use super::signals;
use super::vcpu::{Step, Vcpu};

/// How long to wait for kicked vCPUs before kicking them again: first, and at most. One that
/// has ended the guest is gone in no time.
const KICK_AGAIN: Duration = Duration::from_micros(20);
const KICK_AGAIN_MAX: Duration = Duration::from_millis(1);

/// How long a device may keep a vCPU waiting.
const TIMEOUT: Duration = Duration::from_secs(1);

/// The running vCPUs of a machine.
pub(crate) struct VcpuThreads {
    threads: Vec<JoinHandle<()>>,
    shared: Arc<Shared>,
}

/// What the threads share.
struct Shared {
    stop: Arc<AtomicBool>,
    /// How the guest ended, by the first vCPU that ended it.
    exit: OnceLock<GuestExit>,
    ended: EventFd,
    halt_check: HaltCheck,
}

impl VcpuThreads {
    /// Starts the guest. `ended` is signalled when it has ended; `stop` is the flag that
    /// the guest's output was given as well.
    ///
    /// # Errors
    /// Those of clone(2), with a word on whose they are; no thread is left then.
    pub(crate) fn start(
        vcpus: Vec<Vcpu>,
        ended: EventFd,
        stop: Arc<AtomicBool>,
    ) -> io::Result<VcpuThreads> {
        let shared = Arc::new(Shared {
            stop,
            exit: OnceLock::new(),
            ended,
            halt_check: HaltCheck::new(vcpus.len()),
        });
        let mut running = VcpuThreads {
            threads: Vec::with_capacity(vcpus.len()),
            shared,
        };
        for (id, vcpu) in vcpus.into_iter().enumerate() {
            let shared = running.shared.clone();
            let thread = Builder::new().name(format!("vcpu{id}")).spawn(move || {
                // Signalled even if the thread panics, else the event loop would wait for ever.
                let shared = SignalOnDrop(shared);
                if let Some(exit) = run(vcpu, id, &shared.0) {
                    let _ = shared.0.exit.set(exit);
                }
            });
            match thread {
                Ok(thread) => running.threads.push(thread),
                Err(e) => {
                    running.stop(|| {});
                    return Err(io::Error::other(format!(
                        "vCPU {id} gets no thread: {e}; let the container have more of them"
                    )));
                }
            }
        }
        Ok(running)
    }

    /// Makes the vCPUs leave the guest for a moment, to look whether they halted for good.
    /// One that is not in the guest just then may not notice.
    pub(crate) fn check_halted(&self) {
        self.shared.halt_check.begin();
        self.kick();
    }

    fn kick(&self) {
        for thread in &self.threads {
            // Not joined yet, so it can be signalled even if it has ended.
            let _ = thread.kill(signals::kick());
        }
    }

    /// Ends the guest, if it has not ended yet, and waits for the threads. `None`: it had not
    /// ended by itself.
    ///
    /// `interrupt` is called again and again where that takes more than a second: a vCPU may
    /// wait for a device whose thread waits for somebody else.
    pub(crate) fn stop(mut self, interrupt: impl Fn()) -> Option<GuestExit> {
        self.shared.stop.store(true, Ordering::Relaxed);
        // A kick that comes just before a vCPU enters the guest is lost, so it is repeated.
        let begin = Instant::now();
        let mut pause = KICK_AGAIN;
        while !self.threads.iter().all(JoinHandle::is_finished) {
            self.kick();
            std::thread::sleep(pause);
            pause = (2 * pause).min(KICK_AGAIN_MAX);
            if begin.elapsed() >= TIMEOUT {
                interrupt();
            }
        }
        let joined: Vec<_> = self.threads.drain(..).map(JoinHandle::join).collect();
        let panicked = joined.iter().any(Result::is_err);
        let exit = self.shared.exit.get().cloned();
        exit.or(panicked.then(|| {
            GuestExit::Crashed(Crash::Monitor {
                reason: "a vCPU's thread panicked".to_owned(),
            })
        }))
    }
}

/// Runs the vCPU until the guest ends (how) or is stopped (`None`).
fn run(mut vcpu: Vcpu, id: usize, shared: &Shared) -> Option<GuestExit> {
    let mut waited = false;
    while !shared.stop.load(Ordering::Relaxed) {
        let wait = match vcpu.step() {
            Step::Continue if !waited => continue,
            Step::Continue => Wait::Runnable,
            Step::Kicked => vcpu.waits_for(),
            Step::Ended(exit) => return Some(exit),
        };
        waited = wait != Wait::Runnable;
        if let Some(crash) = shared.halt_check.answer(id, wait) {
            return Some(GuestExit::Crashed(crash));
        }
    }
    None
}

struct SignalOnDrop(Arc<Shared>);

impl Drop for SignalOnDrop {
    fn drop(&mut self) {
        let _ = self.0.ended.write(1);
    }
}
