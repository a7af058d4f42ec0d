//! What this host has for a unikernel.

use std::fs;
use std::path::Path;

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
    /// The instruction set extensions that /proc/cpuinfo names.
    #[serde(skip)]
    pub cpu_features: Vec<String>,
}

impl Host {
    /// Looks at the host.
    pub fn read() -> Self {
        let kvm = fs::File::options().read(true).write(true).open("/dev/kvm");
        Self {
            architecture: "amd64",
            kvm: kvm.is_ok(),
            memory: field("/proc/meminfo", "MemTotal").map_or(0, |text| kibibytes(&text)),
            cpu_features: field("/proc/cpuinfo", "flags")
                .map(|text| text.split_whitespace().map(str::to_owned).collect())
                .unwrap_or_default(),
        }
    }
}

/// The value of the first line `NAME : VALUE` (proc(5)).
fn field(file: &str, name: &str) -> Option<String> {
    let text = fs::read_to_string(Path::new(file)).ok()?;
    text.lines().find_map(|line| {
        let (key, value) = line.split_once(':')?;
        (key.trim() == name).then(|| value.trim().to_owned())
    })
}

/// `16384 kB`, in bytes.
fn kibibytes(text: &str) -> u64 {
    let number = text.split(' ').next().and_then(|n| n.parse::<u64>().ok());
    number.map_or(0, |number| number.saturating_mul(1024))
}
