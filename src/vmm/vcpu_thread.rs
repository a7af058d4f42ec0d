//! The thread that runs the vCPU, and how the event loop reaches it.

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::{Builder, JoinHandle};
use std::time::Duration;

use vmm_sys_util::eventfd::EventFd;
use vmm_sys_util::signal::Killable;

use super::exit::{Crash, GuestExit};
use super::signals;
use super::vcpu::{Step, Vcpu};

/// How long to wait for a kicked vCPU before kicking it again.
const KICK_AGAIN: Duration = Duration::from_millis(1);

/// A running vCPU.
pub struct VcpuThread {
    thread: JoinHandle<GuestExit>,
    stop: Arc<AtomicBool>,
}

impl VcpuThread {
    /// Starts the guest. `ended` is signalled when it has ended; `stop` is the flag that
    /// the guest's output was given as well.
    pub fn start(vcpu: Vcpu, ended: EventFd, stop: Arc<AtomicBool>) -> io::Result<VcpuThread> {
        let flag = stop.clone();
        let thread = Builder::new().name("vcpu0".to_owned()).spawn(move || {
            // Signalled even if the thread panics, else the event loop would wait for ever.
            let _ended = SignalOnDrop(ended);
            run(vcpu, &flag)
        })?;
        Ok(VcpuThread { thread, stop })
    }

    /// Makes the vCPU leave the guest for a moment, to look whether it halted for good.
    /// One that is not in the guest just then may not notice.
    pub fn kick(&self) {
        // The thread is not joined yet, so it can be signalled even if it has ended.
        let _ = self.thread.kill(signals::kick());
    }

    /// Ends the guest, if it has not ended yet, and waits for the thread.
    pub fn stop(self) {
        self.stop.store(true, Ordering::Relaxed);
        // A kick that comes just before the vCPU enters the guest is lost, so it is repeated.
        while !self.thread.is_finished() {
            self.kick();
            std::thread::sleep(KICK_AGAIN);
        }
        // How it ended no longer matters.
        let _ = self.thread.join();
    }

    /// Waits for the guest to end by itself.
    pub fn join(self) -> GuestExit {
        self.thread.join().unwrap_or_else(|_| {
            GuestExit::Crashed(Crash::Monitor {
                reason: "the vCPU's thread panicked".to_owned(),
            })
        })
    }
}

/// Runs the guest until it ends (how) or `stop` is set (`PoweredOff`, which nobody reads).
fn run(mut vcpu: Vcpu, stop: &AtomicBool) -> GuestExit {
    while !stop.load(Ordering::Relaxed) {
        match vcpu.step() {
            Step::Continue => {}
            Step::Kicked => {
                if let Some(crash) = vcpu.halted_for_good() {
                    return GuestExit::Crashed(crash);
                }
            }
            Step::Ended(exit) => return exit,
        }
    }
    GuestExit::PoweredOff
}

struct SignalOnDrop(EventFd);

impl Drop for SignalOnDrop {
    fn drop(&mut self) {
        let _ = self.0.write(1);
    }
}
