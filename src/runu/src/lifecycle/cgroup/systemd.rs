//! The limits of a scope under systemd's cgroup driver.
//!
//! libcgroups 0.7 hands them to systemd, and is given those that it hands on rightly. It sends
//! a cpuset in a form that systemd refuses, takes `cpu.weight` for shares and a
//! `cpu.max` for microseconds a second, leaves out the unified keys that it does not
//! know, and lifts the CPU's quota when its shares change. Those limits are written to
//! the cgroup's own files, as runc does with all of them after it has called systemd.

use std::collections::{BTreeMap, HashMap};
use std::fs;

use libcontainer::oci_spec::runtime::{LinuxCpu, LinuxPids, LinuxResources};

use crate::lifecycle::cgroup::error::CgroupError;
use crate::lifecycle::cgroup::paths::CgroupPaths;
use crate::lifecycle::process::Process;

/// The unified keys that libcgroups hands to systemd as they are, where they are numbers.
const NUMBERS: [&str; 5] = [
    "memory.min",
    "memory.low",
    "memory.high",
    "memory.max",
    "pids.max",
];

/// `linux.resources` (config-linux.md, "Control groups"), by who sets them.
#[derive(Debug)]
pub(in crate::lifecycle) struct ScopeLimits {
    /// Those that libcgroups hands to systemd rightly.
    pub by_systemd: LinuxResources,
    /// Files of the cgroup and what to write: cgroup-v2.rst.
    by_file: BTreeMap<String, String>,
}

impl ScopeLimits {
    /// Splits the limits of a container.
    pub(in crate::lifecycle) fn of(resources: &LinuxResources) -> Self {
        let mut by_systemd = resources.clone();
        let mut by_file = BTreeMap::new();
        let mut cpu = resources.cpu().clone().unwrap_or_default();
        if let Some(unified) = resources.unified() {
            by_systemd.set_unified(Some(numbers(unified)));
            if let Some((quota, period)) = unified.get("cpu.max").and_then(|max| cpu_max(max)) {
                cpu.set_quota(Some(quota)).set_period(Some(period));
            }
            if unified.get("pids.max").is_some_and(|max| max == "max") {
                by_systemd.set_pids(Some(LinuxPids::default()));
            }
            by_file.extend(unified.clone());
        }
        let sets = [("cpuset.cpus", cpu.cpus()), ("cpuset.mems", cpu.mems())];
        for (file, set) in sets {
            if let Some(set) = set.clone().filter(|set| !set.is_empty()) {
                by_file.insert(file.to_owned(), set);
            }
        }
        cpu.set_cpus(None).set_mems(None);
        // An empty one would lift the quota.
        by_systemd.set_cpu(Some(cpu).filter(|cpu| *cpu != LinuxCpu::default()));
        Self {
            by_systemd,
            by_file,
        }
    }

    /// Fills in the CPU's quota and period from the cgroup, where a change of the CPU's
    /// limits does not name them.
    pub(in crate::lifecycle) fn preserve_quota(&mut self, process: Process) {
        let Some(mut cpu) = self.by_systemd.cpu().clone() else {
            return;
        };
        let dir = CgroupPaths::of(process).map(|all| all.v2());
        let now = dir.and_then(|dir| fs::read_to_string(dir.join("cpu.max")));
        if let Some((quota, period)) = now.ok().and_then(|text| cpu_max(&text)) {
            cpu.set_quota(cpu.quota().or(Some(quota)));
            cpu.set_period(cpu.period().or(Some(period)));
            self.by_systemd.set_cpu(Some(cpu));
        }
    }

    /// Writes what goes by file into the cgroup of the process.
    ///
    /// # Errors
    /// The key, the file and the system's error.
    pub(in crate::lifecycle) fn write(&self, process: Process) -> Result<(), CgroupError> {
        for (file, value) in &self.by_file {
            if file.contains('/') {
                return Err(CgroupError::UnifiedKey { file: file.clone() });
            }
            CgroupPaths::of(process)
                .and_then(|all| fs::write(all.v2().join(file), value))
                .map_err(|source| CgroupError::Write {
                    file: file.clone(),
                    value: value.clone(),
                    source,
                })?;
        }
        Ok(())
    }
}

/// The keys that libcgroups hands to systemd rightly.
fn numbers(unified: &HashMap<String, String>) -> HashMap<String, String> {
    let is_right = |key: &str, value: &str| NUMBERS.contains(&key) && value.parse::<u64>().is_ok();
    unified
        .iter()
        .filter(|(key, value)| is_right(key, value))
        .map(|(key, value)| (key.clone(), value.clone()))
        .collect()
}

/// A `cpu.max` as the spec's quota and period in microseconds; a quota of -1 is none.
fn cpu_max(text: &str) -> Option<(i64, u64)> {
    let mut words = text.split_whitespace();
    let quota = match words.next()? {
        "max" => -1,
        number => number.parse().ok()?,
    };
    let period = words.next().map_or(Some(100_000), |word| word.parse().ok());
    Some((quota, period?))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn limits(resources: serde_json::Value) -> ScopeLimits {
        ScopeLimits::of(&serde_json::from_value(resources).unwrap())
    }

    #[test]
    fn what_libcgroups_hands_on_wrongly_goes_by_file() {
        let limits = limits(json!({
            "memory": { "limit": 1 },
            "cpu": { "shares": 2, "cpus": "0-1", "mems": "" },
            "unified": { "cpu.max": "max 5000", "memory.high": "7", "pids.max": "max" },
        }));
        assert_eq!(
            serde_json::to_value(&limits.by_systemd).unwrap(),
            json!({
                "memory": { "limit": 1 },
                "cpu": { "shares": 2, "quota": -1, "period": 5000 },
                "pids": { "limit": 0 },
                "unified": { "memory.high": "7" },
            })
        );
        let files = ["cpu.max", "cpuset.cpus", "memory.high", "pids.max"];
        assert_eq!(limits.by_file.keys().collect::<Vec<_>>(), files);
    }

    #[test]
    fn a_cpuset_alone_leaves_systemd_nothing() {
        let limits = limits(json!({ "cpu": { "cpus": "1" } }));
        assert_eq!(*limits.by_systemd.cpu(), None);
    }
}
