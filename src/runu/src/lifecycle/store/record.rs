//! `record.json`: what runu knows of a container, for the calls that come after `create`.

use std::collections::BTreeMap;
use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use crate::lifecycle::process::Process;
use decision::plan::Plan;

/// What is known of a container: fixed at `create`, but for its process.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Record {
    pub version: u32,
    /// The version of the runtime-spec that `state` follows, whatever config.json's.
    pub oci_version: String,
    pub id: String,
    pub bundle: PathBuf,
    pub rootfs: PathBuf,
    pub annotations: BTreeMap<String, String>,
    /// RFC 3339.
    pub created: String,
    pub cgroups_path: PathBuf,
    pub systemd_cgroup: bool,
    /// The rule that made it a unikernel.
    pub rule: Option<String>,
    pub plan: Plan,
    /// The monitor; `None` while it is being made.
    pub process: Option<Process>,
}

impl Record {
    /// The version of the format that this program reads and writes. Another field is
    /// another version, and a program reads all those before its own: unikernels outlive
    /// an upgrade. `fixtures/records` has one of each.
    pub const VERSION: u32 = 2;
}
