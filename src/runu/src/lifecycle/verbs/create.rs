//! `create`: from a plan to a monitor that waits for `start`.

use std::fs::File;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use libcontainer::container::builder::ContainerBuilder;
use libcontainer::oci_spec::runtime::VERSION;
use libcontainer::syscall::syscall::SyscallType;
use nix::unistd::Pid;
use serde_json::Value;

use crate::exit;
use crate::lifecycle::cgroup::Cgroup;
use crate::lifecycle::cgroup::systemd::Limits;
use crate::lifecycle::effective_config;
use crate::lifecycle::error::Error;
use crate::lifecycle::hooks::start_container::StartHooks;
use crate::lifecycle::libcontainer_errors::{self, ErrorPipe};
use crate::lifecycle::monitor::Monitor;
use crate::lifecycle::monitor::start_channel::Listener;
use crate::lifecycle::monitor::tty::CallerTerminal;
use crate::lifecycle::process::Process;
use crate::lifecycle::request::Request;
use crate::lifecycle::resources::files::{self, Opened};
use crate::lifecycle::resources::network;
use crate::lifecycle::resources::vsock;
use crate::lifecycle::store::Store;
use crate::lifecycle::store::entry::Entry;
use crate::lifecycle::store::entry::write_whole;
use crate::lifecycle::store::lock::Lock;
use crate::lifecycle::store::record::Record;
use crate::lifecycle::unikernel::Unikernel;
use decision::plan::Plan;
use vmm::{Files, MachineConfig};

/// Creates the container: when this returns, the monitor has its machine, is
/// in its final cgroup and namespaces, and waits; its pid is in the pid file.
///
/// # Errors
/// One line with the fault; nothing of the container is left then.
pub fn create(request: Request) -> Result<Unikernel, Error> {
    create_at(request, None)
}

/// As [`create`]; the guest's terminal goes to `terminal`, where there is one and no console
/// socket takes it.
///
/// # Errors
/// As [`create`].
pub(in crate::lifecycle) fn create_at(
    mut request: Request,
    terminal: Option<&CallerTerminal>,
) -> Result<Unikernel, Error> {
    let kvm = open_kvm()?;
    let id = &request.args.id;
    let store = Store::of(request.globals.root.as_deref());
    if store.delegate_holds(id) {
        return Err(Error::Exists { id: id.clone() });
    }
    let (entry, lock) = store.claim(id)?;
    make(&mut request, terminal, &entry, kvm, &lock)
        .map(|record| Unikernel {
            entry: store.entry(id),
            record,
        })
        .inspect_err(|_| {
            // The first error is the one to tell.
            let _ = entry.remove();
        })
}

/// Makes the container of a claimed ID; takes its cgroup away again if it fails, and puts its
/// rootfs back.
fn make(
    request: &mut Request,
    terminal: Option<&CallerTerminal>,
    entry: &Entry,
    kvm: File,
    lock: &Lock,
) -> Result<Record, Error> {
    let failed = |why| Error::Create {
        id: entry.id.clone(),
        why,
    };
    let config = effective_config::write(request, entry)?;
    let mut record = record(request, config.cgroups_path.clone());
    let cgroup = Cgroup::from(&record);
    cgroup.check().map_err(failed)?;
    // Before there is a process, so that `delete` finds one whose `create` was killed.
    entry.save(&record)?;
    entry.save_explanation(&request.explanation)?;
    let judged = std::mem::take(&mut request.files);
    let Opened {
        files,
        server,
        taken,
    } = files::open(request, entry, judged, kvm)?;
    let made = build(request, terminal, entry, files, config.start_hooks, lock).and_then(|pid| {
        if network::wants_loopback(&config.value) {
            network::take_loopback_up(pid).map_err(failed)?;
        }
        record.process = Process::of(pid);
        entry.save(&record)?;
        limit(request, record.process).map_err(failed)?;
        if let Some(server) = server {
            let started = record
                .process
                .ok_or_else(|| "its process is gone".to_owned());
            started
                .and_then(|process| server.start(process))
                .map_err(failed)?;
        }
        write_pid_file(request.args.pid_file.as_deref(), pid)
    });
    if made.is_err() {
        let _ = cgroup.remove();
        vsock::remove_left(entry, &record);
        // Nobody has the device any more.
        if let Some(Err(why)) = taken.map(|taken| taken.put_back()) {
            exit::warn(&format!("warning: {why}"));
        }
    }
    made.map(|()| record)
}

/// The limits that libcontainer does not set under systemd's driver.
fn limit(request: &Request, process: Option<Process>) -> Result<(), String> {
    let config: Value = serde_json::from_slice(&request.bundle.text).map_err(|e| e.to_string())?;
    let resources = &config["linux"]["resources"];
    if !request.globals.systemd_cgroup || resources.is_null() {
        return Ok(());
    }
    let resources = serde_json::from_value(resources.clone()).map_err(|e| e.to_string())?;
    let process = process.ok_or("its process is gone")?;
    Limits::of(&resources).write(process)
}

/// /dev/kvm, opened before the container's device cgroup and root could hide it.
fn open_kvm() -> Result<File, Error> {
    let opened = File::options().read(true).write(true).open("/dev/kvm");
    opened.map_err(|source| Error::NoKvm { source })
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

/// Builds the container with the monitor as its workload; gives its pid.
fn build(
    request: &Request,
    terminal: Option<&CallerTerminal>,
    entry: &Entry,
    files: Files,
    hooks: StartHooks,
    lock: &Lock,
) -> Result<Pid, Error> {
    let failed = |why| Error::Create {
        id: entry.id.clone(),
        why,
    };
    let (pipe, faults) = ErrorPipe::pipe().map_err(|e| failed(e.to_string()))?;
    let faults = Arc::new(faults);
    let machine = machine(&request.plan);
    let listener = Listener::bind(&entry.dir).map_err(|e| failed(e.to_string()))?;
    let monitor = Monitor::new(
        machine,
        files,
        &request.plan,
        hooks,
        listener,
        faults.clone(),
        lock.clone(),
    );
    let own_socket = |terminal: &CallerTerminal| {
        let listening = terminal.listen(&entry.dir);
        listening.map_err(|e| failed(format!("console socket: {e}")))
    };
    let socket = request.args.console_socket.as_ref();
    let console_socket = match terminal {
        Some(terminal) => Some(own_socket(terminal)?),
        // runc has gone to the bundle by then.
        None => socket.map(|path| request.bundle.path.join(path)),
    };
    // libcontainer would keep the caller's sockets (sd_listen_fds(3)) for a program that uses
    // them; a monitor closes them, however many they are said to be.
    // SAFETY: this process has no other thread that could read its environment.
    unsafe { std::env::remove_var("LISTEN_FDS") };
    let builder = ContainerBuilder::new(entry.id.clone(), SyscallType::default())
        .with_executor(monitor)
        .with_root_path(entry.container_root())
        .map(|builder| {
            builder
                .with_console_socket(console_socket)
                .as_init(entry.bundle_dir())
                .with_systemd(request.globals.systemd_cgroup)
                .with_no_pivot(request.args.no_pivot)
        });
    // The processes that are forked in there have the same subscriber.
    let built = tracing::subscriber::with_default(faults, || builder?.build());
    match built {
        Ok(container) => {
            let pid = container.pid().map(|pid| Pid::from_raw(pid.as_raw()));
            pid.ok_or_else(|| failed("its process is gone".to_owned()))
        }
        Err(error) => Err(failed(libcontainer_errors::explain(pipe, &error))),
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
fn write_pid_file(path: Option<&Path>, pid: Pid) -> Result<(), Error> {
    let Some(path) = path else { return Ok(()) };
    write_whole(path, pid.to_string().as_bytes()).map_err(|source| Error::PidFile {
        path: path.to_owned(),
        source,
    })
}
