//! Where a process's cgroup lies in the file system, by controller.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use crate::lifecycle::cgroup::error::CgroupError;
use crate::lifecycle::process::Process;

/// Where cgroups are mounted: v2 itself, or a directory for each v1 hierarchy.
const TOP: &str = "/sys/fs/cgroup";

/// The cgroups of one process.
///
/// Source: cgroups(7), "/proc/pid/cgroup": lines `ID:CONTROLLERS:PATH`; v2's is `0::PATH`.
pub(in crate::lifecycle) struct CgroupPaths(String);

impl CgroupPaths {
    /// The cgroups that the process is in now.
    ///
    /// # Errors
    /// Those of reading /proc: the process may be gone.
    pub(in crate::lifecycle) fn of(process: Process) -> io::Result<Self> {
        fs::read_to_string(format!("/proc/{}/cgroup", process.pid)).map(Self)
    }

    /// Checks that the process is in a container's own cgroup, whose path ends in `own`, in
    /// some hierarchy.
    ///
    /// # Errors
    /// That it is not, with the cure.
    pub(in crate::lifecycle) fn check_own(&self, own: &Path) -> Result<(), CgroupError> {
        let paths = self.0.lines().filter_map(|line| line.splitn(3, ':').nth(2));
        match paths.map(Path::new).any(|path| path.ends_with(own)) {
            true => Ok(()),
            false => Err(CgroupError::NotInOwn {
                own: own.to_owned(),
            }),
        }
    }

    /// The directory that has a controller's files under cgroups v1; `None` where the
    /// controller is v2's.
    pub(in crate::lifecycle) fn v1(&self, controller: &str) -> Option<PathBuf> {
        let path = self.path(|controllers| controllers.split(',').any(|one| one == controller))?;
        Some(Path::new(TOP).join(controller).join(path))
    }

    /// The directory under cgroups v2.
    pub(in crate::lifecycle) fn v2(&self) -> PathBuf {
        Path::new(TOP).join(self.path(str::is_empty).unwrap_or_default())
    }

    /// The files by which a process joins these cgroups, one for each hierarchy that is mounted.
    pub(in crate::lifecycle) fn procs(&self) -> Vec<PathBuf> {
        let procs = |line: &str| {
            let (controllers, path) = line.split_once(':')?.1.split_once(':')?;
            let name = controllers.split(',').next().unwrap_or_default();
            let top = Path::new(TOP).join(name.trim_start_matches("name="));
            // Beside v1 hierarchies that of v2 has a directory of its own.
            let top = match name.is_empty() && !top.join("cgroup.procs").exists() {
                true => top.join("unified"),
                false => top,
            };
            let file = top.join(path.trim_start_matches('/')).join("cgroup.procs");
            file.exists().then_some(file)
        };
        self.0.lines().filter_map(procs).collect()
    }

    fn path(&self, is_wanted: impl Fn(&str) -> bool) -> Option<&str> {
        self.0.lines().find_map(|line| {
            let (controllers, path) = line.split_once(':')?.1.split_once(':')?;
            is_wanted(controllers).then(|| path.trim_start_matches('/'))
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dirs_by_controller() {
        let hybrid =
            CgroupPaths("4:cpu,cpuacct:/a\n3:memory:/b:c\n1:name=systemd:/s\n0::/u\n".into());
        let dir = |controller| hybrid.v1(controller).unwrap();
        assert_eq!(dir("cpuacct"), Path::new("/sys/fs/cgroup/cpuacct/a"));
        assert_eq!(dir("memory"), Path::new("/sys/fs/cgroup/memory/b:c"));
        assert_eq!(hybrid.v1("pids"), None);
        assert_eq!(hybrid.v2(), Path::new("/sys/fs/cgroup/u"));
        assert!(hybrid.check_own(Path::new("b:c")).is_ok());
        assert!(hybrid.check_own(Path::new("c")).is_err());
    }
}
