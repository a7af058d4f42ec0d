//! What this host has for a unikernel.

use std::fs::{self, File};
use std::io;
use std::path::PathBuf;

use nix::sched::{CpuSet, sched_getaffinity};
use nix::unistd::Pid;
use serde::{Deserialize, Serialize};

use super::quantity;
use vmm::kvm::Abilities;

const KVM: &str = "/dev/kvm";

/// The host, as far as a decision may depend on it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Host {
    /// As OCI names it.
    #[serde(default = "architecture")]
    pub architecture: String,
    /// Whether this process may use KVM.
    pub kvm: bool,
    /// What KVM can do, as its API names it: `irqfd` and so on.
    #[serde(default)]
    pub kvm_capabilities: Vec<String>,
    /// Bytes of memory, 0 where unknown.
    #[serde(default, deserialize_with = "quantity::deserialize")]
    pub memory: u64,
    /// Who runs ordinary containers; `None` where there is nobody, or nobody looked.
    #[serde(default)]
    pub delegate: Option<PathBuf>,
}

impl Host {
    /// Looks at the host. For the delegate another must look.
    pub fn read() -> Self {
        let abilities = open_kvm().ok().map(Abilities::of);
        let names = abilities.iter().flat_map(Abilities::names);
        Self {
            architecture: architecture(),
            kvm: abilities.is_some(),
            kvm_capabilities: names.map(str::to_owned).collect(),
            memory: memory().unwrap_or(0),
            delegate: None,
        }
    }
}

/// KVM, where this process may use it.
///
/// # Errors
/// Those of open(2).
pub fn open_kvm() -> io::Result<File> {
    File::options().read(true).write(true).open(KVM)
}

/// Whether this process may use KVM.
pub fn has_kvm() -> bool {
    open_kvm().is_ok()
}

fn architecture() -> String {
    "amd64".to_owned()
}

/// How many CPUs this process may run on (sched_getaffinity(2)); 1 where that is not to be
/// known.
pub(super) fn cpus() -> u64 {
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
