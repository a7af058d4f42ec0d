//! The configuration of a container that was made, read back.

use std::fs;
use std::path::PathBuf;

use serde_json::Value;

use crate::lifecycle::cgroup::Cgroup;
use crate::lifecycle::store::entry::Entry;

/// Its name in the bundle that libcontainer is given.
pub(super) const FILE: &str = "config.json";

/// What the container was built from, where that can still be read.
pub(in crate::lifecycle) fn read(entry: &Entry) -> Option<Value> {
    let text = fs::read(entry.bundle_dir().join(FILE)).ok()?;
    serde_json::from_slice(&text).ok()
}

/// The cgroup of a container whose record cannot be read, or is not there.
pub(in crate::lifecycle) fn cgroup(entry: &Entry) -> Option<Cgroup> {
    let config = read(entry)?;
    let path = config["linux"]["cgroupsPath"].as_str()?;
    Some(Cgroup {
        id: entry.id.clone(),
        path: path.into(),
        systemd: !path.starts_with('/'),
    })
}

/// The rootfs of such a container.
pub(in crate::lifecycle) fn rootfs(entry: &Entry) -> Option<PathBuf> {
    let config = read(entry)?;
    config["root"]["path"].as_str().map(PathBuf::from)
}
