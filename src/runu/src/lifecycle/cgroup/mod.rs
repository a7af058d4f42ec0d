//! The container's cgroup: that it is the container's alone, and its end.

mod dbus;
pub(in crate::lifecycle) mod freezer;
pub(in crate::lifecycle) mod paths;
pub(in crate::lifecycle) mod stats;
pub(in crate::lifecycle) mod systemd;

use std::path::{Component, PathBuf};
use std::time::Duration;

use libcgroups::common::{
    AnyCgroupManager, CgroupConfig, CgroupManager, CgroupSetup, ControllerOpt,
};
use libcontainer::oci_spec::runtime::LinuxResources;
use nix::libc::SIGKILL;
use nix::unistd::Pid;

use crate::exit;
use crate::lifecycle::process::Process;
use crate::lifecycle::store::record::Record;
use paths::CgroupPaths;
use systemd::Limits;

/// How long a killed process may take to leave.
const TIMEOUT: Duration = Duration::from_secs(10);

/// Ends a process, frozen or not; gives false if it would not die.
pub(in crate::lifecycle) fn end(process: Process) -> bool {
    // Under cgroups v1 a frozen process does not die before it is thawed. Best effort,
    // both: that it dies is what counts.
    let _ = process.signal(SIGKILL);
    if freezer::is_frozen(process) {
        let _ = freezer::thaw(process);
    }
    process.end(TIMEOUT)
}

/// Whether systemd can be asked for scopes. libcgroups would make cgroups of its own
/// under v1.
fn can_have_scopes() -> Result<(), String> {
    if !libcgroups::systemd::booted() {
        // runc's words.
        return Err("systemd cgroup flag passed, but systemd support for managing cgroups is not available: leave --systemd-cgroup out".to_owned());
    }
    match libcgroups::common::get_cgroup_setup() {
        Ok(CgroupSetup::Unified) => Ok(()),
        _ => Err("a unikernel under --systemd-cgroup needs cgroups v2: leave the flag out, or boot with systemd.unified_cgroup_hierarchy=1".to_owned()),
    }
}

/// A container's cgroup by its name, whether it exists or not.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in crate::lifecycle) struct Cgroup {
    /// The container's ID.
    pub id: String,
    /// `linux.cgroupsPath`: a path, or `slice:prefix:name` for systemd.
    pub path: PathBuf,
    pub systemd: bool,
}

impl From<&Record> for Cgroup {
    fn from(record: &Record) -> Self {
        Self {
            id: record.id.clone(),
            path: record.cgroups_path.clone(),
            systemd: record.systemd_cgroup,
        }
    }
}

impl Cgroup {
    /// Checks that a container may have this cgroup. All that is in it will end with the
    /// container, so it must be a cgroup of its own.
    ///
    /// # Errors
    /// What is wrong with it and what would be right, as a text.
    pub(in crate::lifecycle) fn check(&self) -> Result<(), String> {
        let path = self.path.display();
        if self.systemd && self.path.to_string_lossy().split(':').count() != 3 {
            // runc's words, for those who look for them.
            return Err(format!(
                "expected cgroupsPath to be of format \"slice:prefix:name\" for systemd cgroups, got \"{path}\" instead"
            ));
        }
        if self.systemd {
            can_have_scopes()?;
        }
        let mut parts = self.path.components();
        let names = |part| matches!(part, Component::Normal(_));
        if self.path.components().any(|p| p == Component::ParentDir) || !parts.any(names) {
            return Err(format!(
                "linux.cgroupsPath {path:?} is not a cgroup of the container's own: write /PARENT/NAME"
            ));
        }
        match self.manager()?.get_all_pids().unwrap_or_default().len() {
            0 => Ok(()),
            count => Err(format!(
                "cgroup {path} has {count} processes in it: give the container one of its own (linux.cgroupsPath)"
            )),
        }
    }

    /// What the cgroup's path ends in, in every hierarchy.
    pub(in crate::lifecycle) fn end_of_path(&self) -> PathBuf {
        let path = self.path.to_string_lossy();
        let parts: Vec<_> = path.splitn(3, ':').collect();
        match parts[..] {
            [_, prefix, name] if self.systemd => format!("{prefix}-{name}.scope").into(),
            _ => path.trim_start_matches('/').into(),
        }
    }

    /// Ends every process in the cgroup and removes it.
    ///
    /// # Errors
    /// What keeps it from being removed, as a text; that there is none is no error.
    pub(in crate::lifecycle) fn remove(&self) -> Result<(), String> {
        if self.systemd && !libcgroups::systemd::booted() {
            // A scope ends with its systemd.
            return Ok(());
        }
        let manager = self.manager()?;
        for pid in manager.get_all_pids().unwrap_or_default() {
            if let Some(process) = Process::of(Pid::from_raw(pid.as_raw())) {
                end(process);
            }
        }
        manager
            .remove()
            .map_err(|e| format!("cgroup {}: {e}", self.path.display()))
    }

    /// Changes the limits to those that `resources` names; the others stay. The cgroup
    /// is that of the process.
    ///
    /// # Errors
    /// The cgroup manager's, or that the process is in its caller's cgroup, as a text.
    pub(in crate::lifecycle) fn apply(
        &self,
        resources: &LinuxResources,
        process: Process,
    ) -> Result<(), String> {
        if !self.systemd {
            let own = self.end_of_path();
            let place = CgroupPaths::of(process).and_then(|it| it.check_own(&own));
            place.map_err(|e| e.to_string())?;
            return self.apply_all(resources);
        }
        let mut limits = Limits::of(resources);
        limits.keep_quota(process);
        self.apply_all(&limits.by_systemd)?;
        limits.write(process)
    }

    fn apply_all(&self, resources: &LinuxResources) -> Result<(), String> {
        let options = ControllerOpt {
            resources,
            disable_oom_killer: false,
            oom_score_adj: None,
            freezer_state: None,
        };
        self.manager()?.apply(&options).map_err(|e| exit::chain(&e))
    }

    fn manager(&self) -> Result<AnyCgroupManager, String> {
        let config = CgroupConfig {
            cgroup_path: self.path.clone(),
            systemd_cgroup: self.systemd,
            container_name: self.id.clone(),
        };
        let make = || libcgroups::common::create_cgroup_manager(config);
        match self.systemd {
            true => dbus::ask(make),
            false => make().map_err(|e| e.to_string()),
        }
    }
}
