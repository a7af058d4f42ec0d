//! config.json as the container around the monitor is built from it.
//!
//! libcontainer reads a bundle's config.json itself. It is given a folder of
//! runu's own with the text that was judged, so that an edit of the bundle's
//! file in between changes nothing, and with what a monitor needs otherwise.

use std::fs;
use std::path::{Path, PathBuf};

use serde_json::Value;

use super::Error;
use super::store::write_whole;
use crate::bundle::Bundle;

/// Writes the adapted config.json into a new folder `folder`; gives the
/// container's cgroup path.
///
/// # Errors
/// When the text is no object, or the disk does not take it.
pub fn write(bundle: &Bundle, folder: &Path, default_cgroup: &str) -> Result<PathBuf, Error> {
    let invalid = |e| {
        Error::store(
            folder,
            std::io::Error::new(std::io::ErrorKind::InvalidData, e),
        )
    };
    let mut config: Value = serde_json::from_slice(&bundle.text).map_err(invalid)?;
    adapt(&mut config, bundle, default_cgroup);
    let cgroup = config["linux"]["cgroupsPath"]
        .as_str()
        .unwrap_or(default_cgroup)
        .into();
    fs::create_dir(folder).map_err(|e| Error::store(folder, e))?;
    let path = folder.join("config.json");
    write_whole(&path, config.to_string().as_bytes()).map_err(|e| Error::store(&path, e))?;
    Ok(cgroup)
}

fn adapt(config: &mut Value, bundle: &Bundle, default_cgroup: &str) {
    // Relative paths would start at our folder.
    if let Some(rootfs) = bundle.rootfs_path() {
        config["root"]["path"] = rootfs.to_string_lossy().into();
    }
    // A guest has no use for the container's cgroup files, and under cgroups v1 with a
    // shared pid namespace libcontainer 0.7 cannot mount them.
    if let Some(mounts) = config["mounts"].as_array_mut() {
        mounts.retain(|mount| !matches!(mount["type"].as_str(), Some("cgroup" | "cgroup2")));
    }
    let cgroup = &mut config["linux"]["cgroupsPath"];
    if cgroup.as_str().is_none_or(str::is_empty) {
        *cgroup = default_cgroup.into();
    }
}
