//! The caller's configuration, with what a monitor needs otherwise.

use std::fs;
use std::path::PathBuf;

use libcontainer::oci_spec::runtime::{Capability, VERSION};
use serde_json::{Value, json};

use crate::lifecycle::cgroup::systemd::ScopeLimits;
use crate::lifecycle::effective_config::check::{check, check_types};
use crate::lifecycle::effective_config::error::ConfigError;
use crate::lifecycle::effective_config::saved::FILE;
use crate::lifecycle::hooks::start_container::StartHooks;
use crate::lifecycle::hooks::wrapper;
use crate::lifecycle::store::entry::{Entry, write_whole};
use crate::lifecycle::store::error::StoreError;
use bundle::Bundle;

/// The configuration that libcontainer reads, and what is done without it.
pub(in crate::lifecycle) struct EffectiveConfig {
    /// As it is written.
    pub value: Value,
    /// `linux.cgroupsPath`, which is always there.
    pub cgroups_path: PathBuf,
    /// They are not in the written one.
    pub start_hooks: StartHooks,
    /// Under systemd's driver: those of the cgroup's files are not in the written one.
    pub limits: Option<ScopeLimits>,
}

/// Writes the effective config.json of a container into its directory. `systemd`: systemd's cgroup
/// driver is asked for.
///
/// # Errors
/// When it asks for what no monitor can have, or the disk does not take it.
pub(in crate::lifecycle) fn write(
    bundle: &Bundle,
    entry: &Entry,
    systemd: bool,
) -> Result<EffectiveConfig, ConfigError> {
    let mut config: Value = serde_json::from_slice(&bundle.text).map_err(ConfigError::Json)?;
    check(&config)?;
    let start_hooks = StartHooks::extract(&mut config, &entry.id, bundle)?;
    let (cgroup, limits) = adapt(&mut config, bundle, &entry.id, systemd)?;
    check_types(&config)?;
    let dir = entry.bundle_dir();
    fs::create_dir(&dir).map_err(|e| StoreError::io(&dir, e))?;
    let path = dir.join(FILE);
    write_whole(&path, config.to_string().as_bytes()).map_err(|e| StoreError::io(&path, e))?;
    Ok(EffectiveConfig {
        value: config,
        cgroups_path: cgroup.into(),
        start_hooks,
        limits,
    })
}

/// Makes of the caller's configuration the monitor's; gives the cgroup's path, and under systemd's
/// driver the limits that are not libcontainer's to set.
///
/// # Errors
/// When this program's path is not known, or its limits cannot be written.
fn adapt(
    config: &mut Value,
    bundle: &Bundle,
    id: &str,
    systemd: bool,
) -> Result<(String, Option<ScopeLimits>), ConfigError> {
    // Relative paths would start at our directory.
    if let Some(rootfs) = bundle.rootfs_path() {
        config["root"]["path"] = rootfs.to_string_lossy().into();
    }
    normalize_as_runc(config);
    // No process works there: runc would make a directory that the image lacks, libcontainer fails.
    config["process"]["cwd"] = "/".into();
    // Optional where nothing is executed, but libcontainer wants some.
    let args = &mut config["process"]["args"];
    if args.is_null() {
        *args = json!([]);
    }
    if let Some(mounts) = config["mounts"].as_array_mut() {
        remove_cgroup_mounts(mounts);
        mounts.iter_mut().for_each(remove_tmpcopyup);
    }
    normalize_propagation(&mut config["linux"]);
    wrapper::wrap(&mut config["hooks"], &bundle.path).map_err(ConfigError::OwnPath)?;
    let limits = match systemd {
        true => take_limits(&mut config["linux"]["resources"])?,
        false => None,
    };
    let cgroup = &mut config["linux"]["cgroupsPath"];
    let path = match cgroup.as_str() {
        None | Some("") => default_cgroup(id, systemd),
        // With a new user namespace libcontainer would take it for systemd's form.
        Some(path) if !systemd && !path.starts_with('/') => {
            format!("/{path}")
        }
        Some(path) => path.to_owned(),
    };
    *cgroup = path.as_str().into();
    Ok((path, limits))
}

/// Leaves in `linux.resources` what libcgroups hands to systemd; gives all of them. What is none is left to be
/// refused.
fn take_limits(resources: &mut Value) -> Result<Option<ScopeLimits>, ConfigError> {
    if resources.is_null() {
        return Ok(None);
    }
    let Ok(all) = serde_json::from_value(resources.clone()) else {
        return Ok(None);
    };
    let limits = ScopeLimits::of(&all);
    *resources = serde_json::to_value(&limits.by_systemd).map_err(ConfigError::Json)?;
    Ok(Some(limits))
}

/// Makes good what runc 1.1 lets pass and libcontainer refuses: a version of the spec that is
/// missing or not 1.x, and names of unknown capabilities. A monitor keeps none.
fn normalize_as_runc(config: &mut Value) {
    let version = &mut config["ociVersion"];
    if !version.as_str().is_some_and(|text| text.starts_with("1.")) {
        *version = VERSION.into();
    }
    let sets = config["process"].get_mut("capabilities");
    let sets = sets.and_then(Value::as_object_mut).into_iter().flatten();
    for names in sets.filter_map(|(_, names)| names.as_array_mut()) {
        names.retain(|name| serde_json::from_value::<Capability>(name.clone()).is_ok());
    }
}

/// Takes out the container's cgroup files and what is mounted among them: a guest has no use
/// for them, and under cgroups v1 with a shared pid namespace libcontainer 0.7 cannot mount them.
fn remove_cgroup_mounts(mounts: &mut Vec<Value>) {
    let is_cgroup = |mount: &&Value| matches!(mount["type"].as_str(), Some("cgroup" | "cgroup2"));
    let destination =
        |mount: &Value| PathBuf::from(mount["destination"].as_str().unwrap_or_default());
    // Everything would be below a destination without a parent: `/`, or none at all.
    let removed = mounts.iter().filter(is_cgroup).map(destination);
    let removed: Vec<_> = removed.filter(|path| path.parent().is_some()).collect();
    mounts.retain(|mount| {
        !removed
            .iter()
            .any(|top| destination(mount).starts_with(top))
    });
}

/// Takes out runc's own option for a tmpfs that begins as a copy of the image's directory, which
/// podman asks for: no process looks into it, and libcontainer 0.7 would hand it to the kernel.
fn remove_tmpcopyup(mount: &mut Value) {
    if let Some(options) = mount.get_mut("options").and_then(Value::as_array_mut) {
        options.retain(|option| option != "tmpcopyup");
    }
}

/// Makes `slave` of `rslave`, which a volume's propagation comes with: libcontainer 0.7
/// knows the values without `r` only, and means by them what runc means by the others.
fn normalize_propagation(linux: &mut Value) {
    let Some(value) = linux.get_mut("rootfsPropagation") else {
        return;
    };
    if let Some(plain) = value.as_str().and_then(|text| text.strip_prefix('r')) {
        *value = plain.into();
    }
}

/// The cgroup of a container whose configuration names none, as runc's.
fn default_cgroup(id: &str, systemd: bool) -> String {
    match systemd {
        // libcgroups knows the slice: the system's, or the user's.
        true => format!(":runu:{id}"),
        false => format!("/{id}"),
    }
}
