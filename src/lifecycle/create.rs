//! `create`: from a plan to a monitor that waits for `start`.

use std::fs::File;
use std::io::ErrorKind;
use std::os::fd::AsRawFd;
use std::os::unix::fs::{FileTypeExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use libcontainer::container::builder::ContainerBuilder;
use libcontainer::oci_spec::runtime::VERSION;
use libcontainer::syscall::syscall::SyscallType;
use nix::libc;
use nix::unistd::Pid;
use serde_json::Value;

use super::cgroup::Cgroup;
use super::faults::{self, Faults};
use super::handover::Listener;
use super::lock::Lock;
use super::monitor::Monitor;
use super::process::Process;
use super::relay::Relay;
use super::scope::Limits;
use super::start_hooks::StartHooks;
use super::store::{Entry, Record, Store, write_whole};
use super::virtiofsd::Virtiofsd;
use super::{Error, Unikernel, network, snapshot, vsock};
use crate::bundle::Bundle;
use crate::cli::{Create, Globals};
use crate::exit;
use crate::facts;
use crate::plan::{Plan, PlannedBlock};
use crate::vmm::{BlockDevice, Files, MachineConfig};

/// All that making a unikernel takes.
pub struct Request<'a> {
    pub globals: &'a Globals,
    pub args: &'a Create,
    pub bundle: &'a Bundle,
    pub rule: Option<String>,
    pub plan: Plan,
    /// The decision as `runu explain` has it, to be kept.
    pub explanation: String,
    /// The files that were judged.
    pub files: facts::Files,
    /// The program that serves the guest's files, where the plan has a tag for them.
    pub virtiofsd: Option<PathBuf>,
    /// What the guest's terminal is joined with, where no console socket takes it.
    pub relay: Option<Relay>,
}

/// Creates the container: when this returns, the monitor has its machine, is
/// in its final cgroup and namespaces, and waits; its pid is in the pid file.
///
/// # Errors
/// One line with the fault; nothing of the container is left then.
pub fn create(request: &Request) -> Result<Unikernel, Error> {
    let kvm = open_kvm()?;
    let id = &request.args.id;
    let store = Store::of(request.globals.root.as_deref());
    if store.delegate_holds(id) {
        return Err(Error::Exists { id: id.clone() });
    }
    let (entry, lock) = store.claim(id)?;
    make(request, &entry, kvm, &lock)
        .map(|record| Unikernel {
            entry: store.entry(id),
            record,
        })
        .inspect_err(|_| {
            // The first error is the one to tell.
            let _ = entry.remove();
        })
}

/// Makes the container of a claimed ID; takes its cgroup away again if it fails.
fn make(request: &Request, entry: &Entry, kvm: File, lock: &Lock) -> Result<Record, Error> {
    let failed = |why| Error::Create {
        id: entry.id.clone(),
        why,
    };
    let snapshot = snapshot::write(request, entry)?;
    let mut record = record(request, snapshot.cgroups_path);
    let cgroup = Cgroup::from(&record);
    cgroup.check().map_err(failed)?;
    // Before there is a process, so that `delete` finds one whose `create` was killed.
    entry.save(&record)?;
    entry.save_explanation(&request.explanation)?;
    let mut files = files(request, kvm)?;
    let server = server(request, entry, &mut files).map_err(failed)?;
    let made = build(request, entry, files, snapshot.start_hooks, lock).and_then(|pid| {
        if snapshot.wants_loopback {
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
        rootfs: rootfs(request.bundle),
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

/// Where the rootfs is: what config.json says may be `.` or `..`.
fn rootfs(bundle: &Bundle) -> PathBuf {
    let path = bundle.rootfs_path().unwrap_or_default();
    path.canonicalize().unwrap_or(path)
}

/// Builds the container with the monitor as its workload; gives its pid.
fn build(
    request: &Request,
    entry: &Entry,
    files: Files,
    hooks: StartHooks,
    lock: &Lock,
) -> Result<Pid, Error> {
    let failed = |why| Error::Create {
        id: entry.id.clone(),
        why,
    };
    let (pipe, faults) = Faults::pipe().map_err(|e| failed(e.to_string()))?;
    let faults = Arc::new(faults);
    let machine = machine(&request.plan);
    let listener = Listener::bind(&entry.folder).map_err(|e| failed(e.to_string()))?;
    let monitor = Monitor::new(
        machine,
        files,
        &request.plan,
        hooks,
        listener,
        faults.clone(),
        lock.clone(),
    );
    let own_socket = |relay: &Relay| {
        let listening = relay.listen(&entry.folder);
        listening.map_err(|e| failed(format!("console socket: {e}")))
    };
    let socket = request.args.console_socket.as_ref();
    let console_socket = match &request.relay {
        Some(relay) => Some(own_socket(relay)?),
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
                .as_init(entry.bundle_folder())
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
        Err(error) => Err(failed(faults::explain(pipe, &error))),
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

/// The open files for the monitor.
fn files(request: &Request, kvm: File) -> Result<Files, Error> {
    let again = |file: &File| {
        file.try_clone().map_err(|e| Error::Create {
            id: request.args.id.clone(),
            why: e.to_string(),
        })
    };
    let kernel = request.files.kernel.as_ref().ok_or_else(|| Error::Create {
        id: request.args.id.clone(),
        why: "the plan has a kernel but no file".to_owned(),
    })?;
    let blocks = request.plan.blocks.iter().zip(&request.files.blocks);
    let blocks = blocks.map(|(planned, file)| block(request, planned, file.as_ref()));
    Ok(Files {
        kvm,
        kernel: again(kernel)?,
        initrd: request.files.initrd.as_ref().map(again).transpose()?,
        // There is none yet: see the monitor.
        root: None,
        blocks: blocks.collect::<Result<_, _>>()?,
        // Nor a tree to share, by whomever, nor one with a socket in it.
        shares: Vec::new(),
        served: Vec::new(),
        vsock: None,
    })
}

/// Who is to serve the guest's files beside the monitor, which gets the other end.
fn server(
    request: &Request,
    entry: &Entry,
    files: &mut Files,
) -> Result<Option<Virtiofsd>, String> {
    let (Some(program), Some(tag)) = (&request.virtiofsd, &request.plan.virtiofs) else {
        return Ok(None);
    };
    let config = serde_json::from_slice(&request.bundle.text).map_err(|e| e.to_string())?;
    let server = Virtiofsd::prepare(program.clone(), entry, &config)?;
    files
        .served
        .push(server.share(tag).map_err(|e| e.to_string())?);
    Ok(Some(server))
}

/// The block device's file, which was judged through a descriptor for reading only.
fn block(
    request: &Request,
    planned: &PlannedBlock,
    file: Option<&File>,
) -> Result<BlockDevice, Error> {
    let failed = |why: String| Error::Create {
        id: request.args.id.clone(),
        why: format!("block device's image {}: {why}", planned.path.display()),
    };
    let file = file.ok_or_else(|| failed("it was not opened".to_owned()))?;
    let metadata = file.metadata().map_err(|e| failed(e.to_string()))?;
    let is_device = metadata.file_type().is_block_device();
    // Nobody else writes to a device that this guest writes to, nor has it mounted (open(2)).
    let exclusive = match is_device && !planned.read_only {
        true => libc::O_EXCL,
        false => 0,
    };
    // The very same file, whatever lies at its path by now (proc_pid_fd(5)).
    let image = File::options()
        .read(true)
        .write(!planned.read_only)
        .custom_flags(exclusive)
        .open(format!("/proc/self/fd/{}", file.as_raw_fd()))
        .map_err(|e| match e.kind() {
            ErrorKind::ResourceBusy => failed(
                "the host has it mounted, or somebody else writes to it: give it to the guest \
                 read-only, or to nobody else"
                    .to_owned(),
            ),
            _ => failed(e.to_string()),
        })?;
    Ok(BlockDevice {
        name: planned.device.clone(),
        image,
        read_only: planned.read_only,
    })
}

/// Writes the pid as runc does: decimal, no newline, whole or not at all.
fn write_pid_file(path: Option<&Path>, pid: Pid) -> Result<(), Error> {
    let Some(path) = path else { return Ok(()) };
    write_whole(path, pid.to_string().as_bytes()).map_err(|source| Error::PidFile {
        path: path.to_owned(),
        source,
    })
}
