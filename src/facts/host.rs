//! What this host has for a unikernel.

use std::fs;

use nix::sched::{CpuSet, sched_getaffinity};
use nix::unistd::Pid;
use serde::Serialize;

/// The host, as far as a decision may depend on it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Host {
    /// As OCI names it.
    pub architecture: &'static str,
    /// Whether this process may use KVM.
    pub kvm: bool,
    /// Bytes of memory, 0 where unknown.
    pub memory: u64,
}

impl Host {
    /// Looks at the host.
    pub fn read() -> Self {
        Self {
            architecture: "amd64",
            kvm: has_kvm(),
            memory: memory().unwrap_or(0),
        }
    }
}

/// Whether this process may use KVM.
pub fn has_kvm() -> bool {
    fs::File::options()
        .read(true)
        .write(true)
        .open("/dev/kvm")
        .is_ok()
}

/// How many CPUs this process may run on (sched_getaffinity(2)); 1 where that is not to be
/// known.
pub fn cpus() -> u64 {
    let Ok(set) = sched_getaffinity(Pid::from_raw(0)) else {
        return 1;
    };
    let cpus = (0..CpuSet::count()).filter(|&cpu| set.is_set(cpu).unwrap_or(false));
    cpus.count().max(1) as u64
}

/// The host's memory in bytes (proc_meminfo(5)): a line `MemTotal:  16384 kB`.
fn memory() -> Option<u64> {
    let text = fs::read_to_string("/proc/meminfo").ok()?;
    let line = text
        .lines()
        .find_map(|line| line.strip_prefix("MemTotal:"))?;
    let kibibytes: u64 = line.split_whitespace().next()?.parse().ok()?;
    kibibytes.checked_mul(1024)
}
