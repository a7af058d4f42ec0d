//! `create`: from a plan to a monitor that waits for `start`.

use std::fs::File;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use libcontainer::container::builder::ContainerBuilder;
use libcontainer::syscall::syscall::SyscallType;
use nix::unistd::Pid;
use serde_json::Value;

use super::cgroup::Cgroup;
use super::faults::{self, Faults};
use super::lock::Lock;
use super::monitor::Monitor;
use super::process::Process;
use super::scope::Limits;
use super::store::{Entry, Record, Store, write_whole};
use super::{Error, Unikernel, snapshot};
use crate::bundle::Bundle;
use crate::cli::{Create, Globals};
use crate::exit;
use crate::facts;
use crate::plan::Plan;
use crate::vmm::{Files, MachineConfig};

/// All that making a unikernel takes.
pub struct Request<'a> {
    pub globals: &'a Globals,
    pub args: &'a Create,
    pub bundle: &'a Bundle,
    pub rule: Option<String>,
    pub plan: Plan,
    /// The files that were judged.
    pub files: facts::Files,
}

/// Creates the container: when this returns, the monitor has its machine, is
/// in its final cgroup and namespaces, and waits; its pid is in the pid file.
///
/// # Errors
/// One line with the fault; nothing of the container is left then.
pub fn create(request: Request) -> Result<Unikernel, Error> {
    let kvm = open_kvm()?;
    let id = &request.args.id;
    let store = Store::of(request.globals.root.as_deref());
    if store.runc_holds(id) {
        return Err(Error::Exists { id: id.clone() });
    }
    let (entry, lock) = store.claim(id)?;
    make(&request, &entry, kvm, &lock)
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
    let cgroups_path = snapshot::write(request, entry)?;
    let mut record = record(request, cgroups_path);
    let cgroup = Cgroup::from(&record);
    cgroup.check().map_err(failed)?;
    // Before there is a process, so that `delete` finds one whose `create` was killed.
    entry.save(&record)?;
    let made = build(request, entry, kvm, lock).and_then(|pid| {
        record.process = Process::of(pid);
        entry.save(&record)?;
        limit(request, record.process).map_err(failed)?;
        write_pid_file(request.args.pid_file.as_deref(), pid)
    });
    if made.is_err() {
        let _ = cgroup.remove();
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
        oci_version: config.oci_version.clone().unwrap_or_default(),
        id: request.args.id.clone(),
        bundle: request.bundle.path.clone(),
        rootfs: request.bundle.rootfs_path().unwrap_or_default(),
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
fn build(request: &Request, entry: &Entry, kvm: File, lock: &Lock) -> Result<Pid, Error> {
    let failed = |why| Error::Create {
        id: entry.id.clone(),
        why,
    };
    let (pipe, faults) = Faults::pipe().map_err(|e| failed(e.to_string()))?;
    let faults = Arc::new(faults);
    let files = files(request, kvm)?;
    let monitor = Monitor::new(machine(&request.plan), files, faults.clone(), lock.clone());
    let builder = ContainerBuilder::new(entry.id.clone(), SyscallType::default())
        .with_executor(monitor)
        .with_root_path(entry.container_root())
        .map(|builder| {
            builder
                .with_console_socket(request.args.console_socket.as_ref())
                .as_init(entry.bundle_folder())
                .with_systemd(request.globals.systemd_cgroup)
                .with_no_pivot(request.args.no_pivot)
                .with_detach(request.args.run.as_ref().is_none_or(|run| run.detach))
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
        cmdline: plan.cmdline.clone(),
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
    Ok(Files {
        kvm,
        kernel: again(kernel)?,
        initrd: request.files.initrd.as_ref().map(again).transpose()?,
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
