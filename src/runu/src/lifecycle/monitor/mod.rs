//! The monitor as libcontainer's workload: the container's init process *is*
//! the virtual machine.
//!
//! `validate` runs in the new process after pivot_root and before the start
//! gate, and makes the machine, so that a kernel that cannot boot is an error
//! of `create`. `exec` runs after the gate.

pub(in crate::lifecycle) mod drop_privileges;
pub(in crate::lifecycle) mod error;
pub(in crate::lifecycle) mod notify;
pub(in crate::lifecycle) mod start_channel;
pub(in crate::lifecycle) mod tty;

use std::cell::RefCell;
use std::convert::Infallible;
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
use crate::lifecycle::resources::vsock::{self, BoundSocket};
use crate::lifecycle::store::lock::Lock;
use decision::plan::Plan;
use error::MonitorError;
use start_channel::{Message, Server};
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
    bound: RefCell<Option<BoundSocket>>,
    machine: RefCell<Option<Prepared>>,
    hooks: StartHooks,
    /// By which `start` says what the guest shall know.
    start: RefCell<Option<Server>>,
    /// Where `create` reads why the machine could not be made.
    errors: Arc<ErrorPipe>,
    /// The container's, shared with `create`.
    lock: Lock,
}

impl Monitor {
    /// A monitor that will make its machine of `config`, `files` and what `plan` says that the
    /// guest has of the container's tree, writes to `errors` why it could not, lets `lock` go when
    /// it waits for `start`, receives by `start` what the guest shall know, and then runs `hooks`.
    pub(in crate::lifecycle) fn new(
        config: MachineConfig,
        files: Files,
        plan: &Plan,
        hooks: StartHooks,
        start: Server,
        errors: Arc<ErrorPipe>,
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
            start: RefCell::new(Some(start)),
            errors,
            lock,
        }))
    }

    fn prepare(&self, spec: &Spec) -> Result<(), MonitorError> {
        let mut files = self.0.files.take().ok_or(MonitorError::MadeAlready)?;
        // Callers may have signals blocked, and `run` has while it creates; the machine
        // wants them from the beginning.
        let unblocked = SigSet::all().thread_unblock();
        unblocked.map_err(MonitorError::SignalMask)?;
        let label = spec
            .process()
            .as_ref()
            .and_then(|p| p.selinux_label().as_deref());
        if let Some(label) = label.filter(|label| !label.is_empty()) {
            // Before the machine: SELinux labels no process that has threads.
            drop_privileges::set_selinux_label(label).map_err(|source| {
                let label = label.to_owned();
                MonitorError::SelinuxLabel { label, source }
            })?;
        }
        let tree = || root().map_err(MonitorError::Root);
        files.root = Some(tree()?);
        if let Some(tag) = self.0.share {
            let (tag, root) = (tag.to_owned(), tree()?);
            files.shares.push(Share { tag, root });
        }
        if let Some(path) = &self.0.vsock {
            // By the rights that it will have when the guest asks for others' sockets.
            let bound = drop_privileges::without_capabilities(|| vsock::bind(path));
            let (vsock, bound) = bound??;
            files.vsock = Some(vsock);
            self.0.bound.replace(Some(bound));
        }
        let machine = Prepared::new(&self.0.config, files)?;
        self.0.machine.replace(Some(machine));
        Ok(())
    }

    /// Waits for what `start` has for the guest, makes of it a machine that can run, and answers.
    fn finish(&self) -> Result<Machine, MonitorError> {
        let prepared = self.0.machine.take().ok_or(MonitorError::NotMade)?;
        let server = self.0.start.take().ok_or(MonitorError::NoStartChannel)?;
        let (message, packets, connection) = server.receive().map_err(MonitorError::Start)?;
        let nets = net_device(&message, packets).into_iter().collect();
        let finished = prepared.finish(&message.cmdline, nets);
        connection.answer(finished.as_ref().err().map(|error| exit::chain(error)));
        Ok(finished?)
    }

    /// Runs the guest to its end, which is this process's.
    fn run(&self) -> Result<Infallible, MonitorError> {
        let machine = self.finish()?;
        self.0.hooks.run()?;
        drop_privileges::drop_all(machine.descriptors())?;
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
        let result = self.prepare(spec).map_err(|error| exit::chain(&error));
        self.0.lock.release();
        match &result {
            Ok(()) => self.0.errors.use_stderr(),
            Err(why) => self.0.errors.write(why),
        }
        result.map_err(ExecutorValidationError::ArgValidationError)
    }

    fn exec(&self, _: &Spec) -> Result<(), ExecutorError> {
        let Err(error) = self.run();
        let why = exit::chain(&error);
        self.0.errors.write(&why);
        // libcontainer would log it again, as Rust's debug text.
        self.0.errors.close();
        Err(ExecutorError::Other(why))
    }
}
