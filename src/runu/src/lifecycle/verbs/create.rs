//! `create`: from a plan to a monitor that waits for `start`.

use std::fs::File;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use libcontainer::container::builder::ContainerBuilder;
use libcontainer::oci_spec::runtime::VERSION;
use libcontainer::syscall::syscall::SyscallType;
use nix::unistd::Pid;

use crate::exit;
use crate::lifecycle::cgroup::Cgroup;
use crate::lifecycle::effective_config::{self, EffectiveConfig};
use crate::lifecycle::error::Error;
use crate::lifecycle::libcontainer_errors::{self, ErrorPipe};
use crate::lifecycle::monitor::Monitor;
use crate::lifecycle::monitor::start_channel::Server;
use crate::lifecycle::monitor::tty::CallerTerminal;
use crate::lifecycle::process::Process;
use crate::lifecycle::request::Request;
use crate::lifecycle::resources::{CreateInputs, Resources, boot_files, network};
use crate::lifecycle::store::Store;
use crate::lifecycle::store::entry::{Entry, write_whole};
use crate::lifecycle::store::error::StoreError;
use crate::lifecycle::store::lock::Lock;
use crate::lifecycle::store::record::Record;
use crate::lifecycle::unikernel::Unikernel;
use crate::lifecycle::verbs::error::CreateError;
use decision::plan::Plan;
use vmm::{Files, MachineConfig};

/// Creates the container: when this returns, the monitor has its machine, is
/// in its final cgroup and namespaces, and waits; its pid is in the pid file.
///
/// # Errors
/// One line with the error; nothing of the container is left then.
pub fn create(request: Request) -> Result<Unikernel, Error> {
    create_at(request, None)
}

/// As [`create`]; the guest's terminal goes to `terminal`, where there is one and no console
/// socket takes it.
///
/// # Errors
/// As [`create`].
pub(in crate::lifecycle) fn create_at(
    request: Request,
    terminal: Option<&CallerTerminal>,
) -> Result<Unikernel, Error> {
    let kvm = open_kvm()?;
    let id = request.args.id.clone();
    let store = Store::of(request.globals.root.as_deref());
    if store.delegate_holds(&id) {
        return Err(StoreError::Exists { id }.into());
    }
    let (entry, lock) = store.claim(&id)?;
    let made =
        Creation::new(request, terminal, &entry).and_then(|creation| creation.make(kvm, &lock));
    match made {
        Ok(record) => Ok(Unikernel { entry, record }),
        Err(error) => {
            // The first error is the one to report.
            let _ = entry.remove();
            Err(Error::create(&id, error))
        }
    }
}

/// /dev/kvm, opened before the container's device cgroup and root could hide it.
fn open_kvm() -> Result<File, Error> {
    let opened = File::options().read(true).write(true).open("/dev/kvm");
    opened.map_err(|why| Error::NoKvm { why })
}

/// A container that is being made, by the configuration that was written for it.
struct Creation<'a> {
    request: Request<'a>,
    terminal: Option<&'a CallerTerminal>,
    entry: &'a Entry,
    config: EffectiveConfig,
    record: Record,
    cgroup: Cgroup,
}

impl<'a> Creation<'a> {
    /// Writes the effective config.json of a claimed ID.
    fn new(
        request: Request<'a>,
        terminal: Option<&'a CallerTerminal>,
        entry: &'a Entry,
    ) -> Result<Self, CreateError> {
        check_flags(&request)?;
        let systemd = request.globals.systemd_cgroup;
        let config = effective_config::write(request.bundle, entry, systemd)?;
        let record = record(&request, config.cgroups_path.clone());
        let cgroup = Cgroup::from(&record);
        cgroup.check()?;
        Ok(Self {
            request,
            terminal,
            entry,
            config,
            record,
            cgroup,
        })
    }

    /// Makes the container; takes all of it away again if that fails.
    fn make(mut self, kvm: File, lock: &Lock) -> Result<Record, CreateError> {
        // Before there is a process, so that `delete` finds one whose `create` was killed.
        self.entry.save(&self.record)?;
        self.entry.save_explanation(&self.request.explanation)?;
        let mut judged = std::mem::take(&mut self.request.files);
        let inputs = CreateInputs {
            config: self.config.value.clone(),
            limits: self.config.limits.take(),
            virtiofsd: self.request.virtiofsd.take(),
            root_disk: judged.root_disk.take(),
        };
        let mut files = boot_files::open(&self.record.plan, judged, kvm)?;
        let mut resources = Resources::to_make(self.entry, &self.record, inputs);
        resources.prepare(&mut files)?;
        let made = self.start_monitor(files, lock, &mut resources);
        if made.is_err() {
            // No process uses any of them any more when they are undone.
            let _ = self.cgroup.end_processes();
            resources.roll_back();
        }
        made.map(|()| self.record)
    }

    /// Builds the container and brings its resources to its monitor.
    fn start_monitor(
        &mut self,
        files: Files,
        lock: &Lock,
        resources: &mut Resources,
    ) -> Result<(), CreateError> {
        let pid = self.build(files, lock)?;
        if network::has_new_namespace(&self.config.value) {
            network::take_loopback_up(pid)?;
        }
        self.record.process = Process::of(pid);
        self.entry.save(&self.record)?;
        match self.record.process {
            Some(monitor) => resources.start(monitor)?,
            None if resources.need_monitor() => return Err(CreateError::NoProcess),
            // It has ended and is waited for already: `start` says so.
            None => {}
        }
        write_pid_file(self.request.args.pid_file.as_deref(), pid)
    }

    /// Builds the container with the monitor as its workload; gives its pid.
    fn build(&self, files: Files, lock: &Lock) -> Result<Pid, CreateError> {
        let (pipe, errors) = ErrorPipe::new().map_err(CreateError::Pipe)?;
        let errors = Arc::new(errors);
        let plan = &self.record.plan;
        let server = Server::bind(&self.entry.dir).map_err(CreateError::StartChannel)?;
        let monitor = Monitor::new(
            machine(plan),
            files,
            plan,
            self.config.start_hooks.clone(),
            server,
            errors.clone(),
            lock.clone(),
        );
        let console_socket = self.console_socket()?;
        // libcontainer would keep the caller's sockets (sd_listen_fds(3)) for a program that uses
        // them; a monitor closes them, however many they are said to be.
        // SAFETY: this process has no other thread that could read its environment.
        unsafe { std::env::remove_var("LISTEN_FDS") };
        let builder = ContainerBuilder::new(self.entry.id.clone(), SyscallType::default())
            .with_executor(monitor)
            .with_root_path(self.entry.container_root())
            .map(|builder| {
                builder
                    .with_console_socket(console_socket)
                    .as_init(self.entry.bundle_dir())
                    .with_systemd(self.record.systemd_cgroup)
                    .with_no_pivot(self.request.args.no_pivot)
            });
        // The processes that are forked in there have the same subscriber.
        let built = tracing::subscriber::with_default(errors, || builder?.build());
        match built {
            Ok(container) => {
                let pid = container.pid().map(|pid| Pid::from_raw(pid.as_raw()));
                pid.ok_or(CreateError::NoProcess)
            }
            Err(error) => {
                let config = serde_json::from_slice(&self.request.bundle.text).unwrap_or_default();
                Err(libcontainer_errors::explain(pipe, &error, &config).into())
            }
        }
    }

    /// Where the guest's terminal is sent.
    fn console_socket(&self) -> Result<Option<PathBuf>, CreateError> {
        let socket = self.request.args.console_socket.as_ref();
        match self.terminal {
            Some(terminal) => {
                let socket = terminal.listen(&self.entry.dir);
                socket.map(Some).map_err(CreateError::ConsoleSocket)
            }
            // runc has gone to the bundle by then.
            None => Ok(socket.map(|path| self.request.bundle.path.join(path))),
        }
    }
}

/// What of the command line no unikernel can have.
fn check_flags(request: &Request) -> Result<(), CreateError> {
    if request.args.pidfd_socket {
        return Err(CreateError::PidfdSocket);
    }
    let terminal = request.bundle.config.wants_terminal();
    let detached = request.args.run.as_ref().is_none_or(|run| run.detach);
    match (terminal, &request.args.console_socket) {
        (true, None) if detached => Err(CreateError::NoConsoleSocket),
        (false, Some(_)) => Err(CreateError::ConsoleSocketWithoutTerminal),
        (true, Some(_)) if !detached => Err(CreateError::ConsoleSocketInForeground),
        _ => Ok(()),
    }
}

fn record(request: &Request, cgroups_path: PathBuf) -> Record {
    let config = &request.bundle.config;
    Record {
        version: Record::VERSION,
        oci_version: VERSION.to_owned(),
        id: request.args.id.clone(),
        bundle: request.bundle.path.clone(),
        rootfs: request.rootfs(),
        annotations: config
            .annotations()
            .map(|(key, value)| (key.to_owned(), value.to_owned()))
            .collect(),
        created: exit::now(),
        cgroups_path,
        systemd_cgroup: request.globals.systemd_cgroup,
        rule: request.rule.clone(),
        plan: request.plan.clone(),
        process: None,
    }
}

fn machine(plan: &Plan) -> MachineConfig {
    MachineConfig {
        memory: plan.memory,
        vcpus: plan.vcpus,
        cmdline: plan.cmdline.clone(),
        // Where it knows none, it does not matter.
        transport: plan.virtio.unwrap_or_default(),
    }
}

/// Writes the pid as runc does: decimal, no newline, whole or not at all.
fn write_pid_file(path: Option<&Path>, pid: Pid) -> Result<(), CreateError> {
    let Some(path) = path else { return Ok(()) };
    write_whole(path, pid.to_string().as_bytes()).map_err(|source| CreateError::PidFile {
        path: path.to_owned(),
        source,
    })
}
