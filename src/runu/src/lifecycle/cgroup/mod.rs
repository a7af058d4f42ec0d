//! The container's cgroup: that it is the container's alone, and its end.

mod dbus;
pub(in crate::lifecycle) mod error;
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

use crate::lifecycle::process::Process;
use crate::lifecycle::store::record::Record;
use paths::CgroupPaths;
use systemd::ScopeLimits;

pub(in crate::lifecycle) use error::CgroupError;

/// How long a killed process may take to leave.
const TIMEOUT: Duration = Duration::from_secs(10);

/// Ends a process with SIGKILL, frozen or not; gives false if it would not die.
pub(in crate::lifecycle) fn end(process: Process) -> bool {
    // Under cgroups v1 a frozen process does not die before it is thawed. Best effort,
    // both: that it dies is what counts.
    let _ = process.signal(SIGKILL);
    if freezer::is_frozen(process) {
        let _ = freezer::thaw(process);
    }
    process.end(TIMEOUT)
}

/// Checks that systemd can be asked for scopes. libcgroups would make cgroups of its own
/// under v1.
fn check_systemd() -> Result<(), CgroupError> {
    if !libcgroups::systemd::booted() {
        return Err(CgroupError::NoSystemd);
    }
    match libcgroups::common::get_cgroup_setup() {
        Ok(CgroupSetup::Unified) => Ok(()),
        _ => Err(CgroupError::NeedsV2),
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
    /// What is wrong with it and what would be right.
    pub(in crate::lifecycle) fn check(&self) -> Result<(), CgroupError> {
        let path = || self.path.clone();
        if self.systemd && self.path.to_string_lossy().split(':').count() != 3 {
            return Err(CgroupError::ScopePath { path: path() });
        }
        if self.systemd {
            check_systemd()?;
        }
        let mut parts = self.path.components();
        let names = |part| matches!(part, Component::Normal(_));
        if self.path.components().any(|p| p == Component::ParentDir) || !parts.any(names) {
            return Err(CgroupError::Shared { path: path() });
        }
        match self.manager()?.get_all_pids().unwrap_or_default().len() {
            0 => Ok(()),
            count => Err(CgroupError::Occupied {
                path: path(),
                count,
            }),
        }
    }

    /// What the cgroup's path ends in, in every hierarchy.
    pub(in crate::lifecycle) fn path_suffix(&self) -> PathBuf {
        let path = self.path.to_string_lossy();
        let parts: Vec<_> = path.splitn(3, ':').collect();
        match parts[..] {
            [_, prefix, name] if self.systemd => format!("{prefix}-{name}.scope").into(),
            _ => path.trim_start_matches('/').into(),
        }
    }

    /// Ends every process in the cgroup.
    ///
    /// # Errors
    /// When systemd cannot be asked for it.
    pub(in crate::lifecycle) fn end_processes(&self) -> Result<(), CgroupError> {
        match self.is_gone_with_systemd() {
            true => Ok(()),
            false => self.manager().map(|manager| end_all(&manager)),
        }
    }

    /// Ends every process in the cgroup and removes it.
    ///
    /// # Errors
    /// What keeps it from being removed; that there is none is no error.
    pub(in crate::lifecycle) fn remove(&self) -> Result<(), CgroupError> {
        if self.is_gone_with_systemd() {
            return Ok(());
        }
        let manager = self.manager()?;
        end_all(&manager);
        manager.remove().map_err(|source| CgroupError::Remove {
            path: self.path.clone(),
            source: Box::new(source),
        })
    }

    /// A scope ends with its systemd.
    fn is_gone_with_systemd(&self) -> bool {
        self.systemd && !libcgroups::systemd::booted()
    }

    /// Changes the limits to those that `resources` names; the others stay. The cgroup
    /// is that of the process.
    ///
    /// # Errors
    /// The cgroup manager's, or that the process is in its caller's cgroup.
    pub(in crate::lifecycle) fn apply(
        &self,
        resources: &LinuxResources,
        process: Process,
    ) -> Result<(), CgroupError> {
        if !self.systemd {
            let own = self.path_suffix();
            CgroupPaths::of(process)?.check_own(&own)?;
            return self.apply_all(resources);
        }
        let mut limits = ScopeLimits::of(resources);
        limits.preserve_quota(process);
        self.apply_all(&limits.by_systemd)?;
        limits.write(process)
    }

    fn apply_all(&self, resources: &LinuxResources) -> Result<(), CgroupError> {
        let options = ControllerOpt {
            resources,
            disable_oom_killer: false,
            oom_score_adj: None,
            freezer_state: None,
        };
        let applied = self.manager()?.apply(&options);
        applied.map_err(|e| CgroupError::Limits { why: Box::new(e) })
    }

    fn manager(&self) -> Result<AnyCgroupManager, CgroupError> {
        let config = CgroupConfig {
            cgroup_path: self.path.clone(),
            systemd_cgroup: self.systemd,
            container_name: self.id.clone(),
        };
        let make = || libcgroups::common::create_cgroup_manager(config);
        match self.systemd {
            true => Ok(dbus::ask(make)?),
            false => Ok(make().map_err(Box::new)?),
        }
    }
}

fn end_all(manager: &AnyCgroupManager) {
    for pid in manager.get_all_pids().unwrap_or_default() {
        if let Some(process) = Process::of(Pid::from_raw(pid.as_raw())) {
            end(process);
        }
    }
}
