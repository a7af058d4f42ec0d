//! `state`: where a container is in its life (runtime-spec, runtime.md, "State").

use std::collections::BTreeMap;
use std::path::PathBuf;

use serde::Serialize;

use crate::exit;
use crate::lifecycle::error::Error;
use crate::lifecycle::status::Status;
use crate::lifecycle::unikernel::Unikernel;

/// What `state` prints, and `list` in part: the runtime-spec's fields and those
/// that runc adds.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(in crate::lifecycle) struct State {
    pub oci_version: String,
    pub id: String,
    /// 0 when stopped.
    pub pid: i32,
    pub status: Status,
    pub bundle: PathBuf,
    pub rootfs: PathBuf,
    pub created: String,
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub annotations: BTreeMap<String, String>,
    pub owner: String,
}

impl State {
    /// The state at this moment.
    pub(in crate::lifecycle) fn of(unikernel: &Unikernel) -> Self {
        let record = unikernel.record.clone();
        Self {
            oci_version: record.oci_version,
            id: record.id,
            pid: unikernel.process().map_or(0, |p| p.pid),
            status: unikernel.status(),
            bundle: record.bundle,
            rootfs: record.rootfs,
            created: record.created,
            annotations: record.annotations,
            owner: owner(unikernel),
        }
    }
}

/// The user who created the container, by name where there is one.
fn owner(unikernel: &Unikernel) -> String {
    use std::os::unix::fs::MetadataExt;
    let Ok(dir) = std::fs::metadata(&unikernel.entry.dir) else {
        return String::new();
    };
    match nix::unistd::User::from_uid(dir.uid().into()) {
        Ok(Some(user)) => user.name,
        _ => dir.uid().to_string(),
    }
}

/// Prints the state as JSON.
///
/// # Errors
/// None of its own: what is printed was read already.
pub(in crate::lifecycle) fn print(unikernel: &Unikernel) -> Result<(), Error> {
    let text = serde_json::to_string_pretty(&State::of(unikernel)).expect("a state is always JSON");
    exit::say(&text);
    Ok(())
}
