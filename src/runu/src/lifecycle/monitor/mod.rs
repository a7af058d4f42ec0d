//! The monitor as libcontainer's workload: the container's init process *is*
//! the virtual machine.
//!
//! `validate` runs in the new process after pivot_root and before the start
//! gate, and makes the machine, so that a kernel that cannot boot is an error
//! of `create`. `exec` runs after the gate.

pub(in crate::lifecycle) mod drop_privileges;
pub(in crate::lifecycle) mod notify;
pub(in crate::lifecycle) mod start_channel;
pub(in crate::lifecycle) mod tty;

use std::cell::RefCell;
use std::os::fd::OwnedFd;
use std::path::PathBuf;
use std::rc::Rc;
use std::sync::Arc;

use libcontainer::oci_spec::runtime::Spec;
use libcontainer::workload::{Executor, ExecutorError, ExecutorValidationError};
use nix::fcntl::OFlag;
use nix::sys::signal::SigSet;
use nix::sys::stat::Mode;

use crate::exit;
use crate::lifecycle::hooks::start_container::StartHooks;
use crate::lifecycle::libcontainer_errors::ErrorPipe;
use crate::lifecycle::resources::vsock::{self, Bound};
use crate::lifecycle::store::lock::Lock;
use decision::plan::Plan;
use start_channel::{Listener, Message};
use vmm::{Files, GuestExit, Machine, MachineConfig, NetDevice, Prepared, Share};

/// The workload, before and after the machine is made.
#[derive(Clone)]
pub(in crate::lifecycle) struct Monitor(Rc<Inner>);

struct Inner {
    config: MachineConfig,
    files: RefCell<Option<Files>>,
    share: Option<&'static str>,
    vsock: Option<PathBuf>,
    /// The socket that is to go with the guest.
    bound: RefCell<Option<Bound>>,
    machine: RefCell<Option<Prepared>>,
    hooks: StartHooks,
    /// Where `start` tells what the guest shall know.
    listener: RefCell<Option<Listener>>,
    /// Where `create` reads why the machine could not be made.
    faults: Arc<ErrorPipe>,
    /// The container's, shared with `create`.
    lock: Lock,
}

impl Monitor {
    /// A monitor that will make its machine of `config`, `files` and what `plan` says that the
    /// guest has of the container's tree, tells `faults` why it could not, lets `lock` go when it
    /// waits for `start`, hears by `listener` what the guest shall know, and then runs `hooks`.
    pub(in crate::lifecycle) fn new(
        config: MachineConfig,
        files: Files,
        plan: &Plan,
        hooks: StartHooks,
        listener: Listener,
        faults: Arc<ErrorPipe>,
        lock: Lock,
    ) -> Self {
        Self(Rc::new(Inner {
            config,
            files: RefCell::new(Some(files)),
            share: plan.share(),
            vsock: plan.vsock.clone(),
            bound: RefCell::new(None),
            machine: RefCell::new(None),
            hooks,
            listener: RefCell::new(Some(listener)),
            faults,
            lock,
        }))
    }

    fn prepare(&self, spec: &Spec) -> Result<(), String> {
        let mut files = self.0.files.take().ok_or("the machine was made already")?;
        // Callers may have signals blocked, and `run` has while it creates; the machine
        // wants them from the beginning.
        let unblocked = SigSet::all().thread_unblock();
        unblocked.map_err(|e| format!("signal mask: {e}"))?;
        let label = spec
            .process()
            .as_ref()
            .and_then(|p| p.selinux_label().as_deref());
        if let Some(label) = label.filter(|label| !label.is_empty()) {
            // Before the machine: SELinux labels no process that has threads.
            drop_privileges::set_selinux_label(label)
                .map_err(|e| format!("process.selinuxLabel {label:?}: {e}"))?;
        }
        let tree = || root().map_err(|e| format!("the container's root: {e}"));
        files.root = Some(tree()?);
        if let Some(tag) = self.0.share {
            let (tag, root) = (tag.to_owned(), tree()?);
            files.shares.push(Share { tag, root });
        }
        if let Some(path) = &self.0.vsock {
            // By the rights that it will have when the guest asks for others' sockets.
            let bound = drop_privileges::without_capabilities(|| vsock::bind(path));
            let (vsock, bound) = bound.map_err(|e| e.to_string())??;
            files.vsock = Some(vsock);
            self.0.bound.replace(Some(bound));
        }
        let machine = Prepared::new(&self.0.config, files).map_err(|e| e.to_string())?;
        self.0.machine.replace(Some(machine));
        Ok(())
    }

    /// Waits for what `start` has to tell, makes of it a machine that can run, and answers.
    fn finish(&self) -> Result<Machine, String> {
        let prepared = self.0.machine.take().ok_or("the machine was not made")?;
        let listener = self.0.listener.take().ok_or("nobody listened")?;
        let (message, packets, asker) = listener.receive().map_err(|e| format!("start: {e}"))?;
        let nets = net_device(&message, packets).into_iter().collect();
        let finished = prepared.finish(&message.cmdline, nets);
        let finished = finished.map_err(|e| e.to_string());
        asker.answer(&finished.as_ref().map(drop).map_err(Clone::clone));
        finished
    }
}

/// The guest's network device.
fn net_device(message: &Message, packets: Option<OwnedFd>) -> Option<NetDevice> {
    let net = message.net.as_ref()?;
    Some(NetDevice {
        name: net.device.clone(),
        packets: packets?,
        mac: net.mac,
        mtu: net.mtu,
    })
}

/// The container's root, into which this process has pivoted.
fn root() -> nix::Result<OwnedFd> {
    let flags = OFlag::O_PATH | OFlag::O_DIRECTORY | OFlag::O_CLOEXEC;
    nix::fcntl::open("/", flags, Mode::empty())
}

impl Executor for Monitor {
    fn validate(&self, spec: &Spec) -> Result<(), ExecutorValidationError> {
        let result = self.prepare(spec);
        self.0.lock.release();
        match &result {
            Ok(()) => self.0.faults.use_stderr(),
            Err(why) => self.0.faults.tell(why),
        }
        result.map_err(ExecutorValidationError::ArgValidationError)
    }

    fn exec(&self, _: &Spec) -> Result<(), ExecutorError> {
        let machine = self.finish().map_err(ExecutorError::Other)?;
        self.0.hooks.run().map_err(ExecutorError::Other)?;
        drop_privileges::drop_privileges(machine.descriptors())
            .map_err(|e| ExecutorError::Other(e.to_string()))?;
        let end = machine.run();
        if let Some(bound) = self.0.bound.take() {
            bound.remove();
        }
        if matches!(end, GuestExit::Crashed(_)) {
            exit::warn_who_reads(&format!("runu: {end}"));
        }
        std::process::exit(end.status().into());
    }
}
