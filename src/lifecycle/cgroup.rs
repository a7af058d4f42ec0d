//! The container's cgroup, when its container is gone or never came to be.

use std::time::Duration;

use libcgroups::common::{AnyCgroupManager, CgroupConfig, CgroupManager};
use nix::unistd::Pid;

use super::process::Process;
use super::store::Record;

/// How long a killed process may take to leave.
const PATIENCE: Duration = Duration::from_secs(10);

/// Ends every process in the container's cgroup and removes the cgroup.
///
/// # Errors
/// What keeps it from being removed, as a text; that there is none is no error.
pub fn remove(record: &Record) -> Result<(), String> {
    let manager = manager(record)?;
    for pid in manager.get_all_pids().unwrap_or_default() {
        if let Some(process) = Process::of(Pid::from_raw(pid.as_raw())) {
            process.end(PATIENCE);
        }
    }
    manager
        .remove()
        .map_err(|e| format!("cgroup {}: {e}", record.cgroups_path.display()))
}

fn manager(record: &Record) -> Result<AnyCgroupManager, String> {
    libcgroups::common::create_cgroup_manager(CgroupConfig {
        cgroup_path: record.cgroups_path.clone(),
        systemd_cgroup: record.systemd_cgroup,
        container_name: record.id.clone(),
    })
    .map_err(|e| e.to_string())
}
