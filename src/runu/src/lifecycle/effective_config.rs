//! config.json as the container around the monitor is built from it.
//!
//! libcontainer reads a bundle's config.json itself. It is given a directory of
//! runu's own with the text that was judged, so that an edit of the bundle's
//! file in between changes nothing, and with what a monitor needs otherwise.

use std::fs;
use std::io::{self, ErrorKind};
use std::path::PathBuf;

use libcontainer::oci_spec::runtime::{Capability, VERSION};
use serde_json::{Value, json};

use crate::lifecycle::cgroup::Cgroup;
use crate::lifecycle::cgroup::systemd::Limits;
use crate::lifecycle::error::Error;
use crate::lifecycle::hooks::start_container::StartHooks;
use crate::lifecycle::hooks::wrapper;
use crate::lifecycle::request::Request;
use crate::lifecycle::store::entry::Entry;
use crate::lifecycle::store::entry::write_whole;

const FILE: &str = "config.json";

/// What of the adapted configuration is of interest afterwards.
pub(in crate::lifecycle) struct EffectiveConfig {
    pub cgroups_path: PathBuf,
    pub value: Value,
    /// They are not in the written one.
    pub start_hooks: StartHooks,
}

/// Writes the adapted config.json into the container's directory.
///
/// # Errors
/// When it asks for what no monitor can have, or the disk does not take it.
pub(in crate::lifecycle) fn write(
    request: &Request,
    entry: &Entry,
) -> Result<EffectiveConfig, Error> {
    let dir = entry.bundle_dir();
    let failed = |e| Error::store(&dir, e);
    let mut config: Value = serde_json::from_slice(&request.bundle.text)
        .map_err(|e| failed(io::Error::new(ErrorKind::InvalidData, e)))?;
    let refused = |why: &str| Error::Create {
        id: entry.id.clone(),
        why: why.to_owned(),
    };
    check(&config, request).map_err(refused)?;
    let start_hooks = StartHooks::take(&mut config, &entry.id, request.bundle);
    let start_hooks = start_hooks.map_err(|e| refused(&format!("startContainer hooks: {e}")))?;
    let cgroup = adapt(&mut config, request).map_err(failed)?;
    fs::create_dir(&dir).map_err(failed)?;
    let path = dir.join(FILE);
    write_whole(&path, config.to_string().as_bytes()).map_err(|e| Error::store(&path, e))?;
    Ok(EffectiveConfig {
        cgroups_path: cgroup.into(),
        value: config,
        start_hooks,
    })
}

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

/// What libcontainer would not refuse, or not in words that help.
fn check(config: &Value, request: &Request) -> Result<(), &'static str> {
    let namespaces = config["linux"]["namespaces"].as_array();
    let is_mount = |namespace: &Value| namespace["type"] == "mount";
    if !namespaces.is_some_and(|all| all.iter().any(is_mount)) {
        // libcontainer would mount on the host, and leave it there.
        return Err("its mounts would be the host's: add {\"type\":\"mount\"} to linux.namespaces");
    }
    if namespaces.is_some_and(|all| all.iter().enumerate().any(|(i, n)| is_again(&all[..i], n))) {
        return Err("linux.namespaces names a type twice: leave one");
    }
    let process = &config["process"];
    if process.is_null() {
        return Err("config.json has no process");
    }
    if is_set(&process["apparmorProfile"]) && !has_apparmor() {
        return Err("process.apparmorProfile is set, but this host has no AppArmor: leave it out");
    }
    if request.args.pidfd_socket {
        return Err("--pidfd-socket is not supported: use --pid-file");
    }
    let terminal = request.bundle.config.wants_terminal();
    let detached = request.args.run.as_ref().is_none_or(|run| run.detach);
    match (terminal, &request.args.console_socket) {
        (true, None) if detached => {
            Err("process.terminal is true: name a console socket with --console-socket")
        }
        (false, Some(_)) => {
            Err("--console-socket is of no use without a terminal: set process.terminal to true")
        }
        (true, Some(_)) if !detached => {
            Err("--console-socket is of no use in the foreground: add --detach, or leave it out")
        }
        _ => Ok(()),
    }
}

fn is_again(before: &[Value], namespace: &Value) -> bool {
    before
        .iter()
        .any(|other| other["type"] == namespace["type"])
}

fn is_set(text: &Value) -> bool {
    text.as_str().is_some_and(|text| !text.is_empty())
}

/// Source: the kernel's admin-guide, "AppArmor".
fn has_apparmor() -> bool {
    let enabled = fs::read("/sys/module/apparmor/parameters/enabled");
    enabled.is_ok_and(|text| text.starts_with(b"Y"))
}

/// Makes of the caller's configuration the monitor's; gives the cgroup's path.
fn adapt(config: &mut Value, request: &Request) -> io::Result<String> {
    let bundle = request.bundle;
    // Relative paths would start at our directory.
    if let Some(rootfs) = bundle.rootfs_path() {
        config["root"]["path"] = rootfs.to_string_lossy().into();
    }
    as_runc_reads(config);
    // Nobody works there: runc would make a directory that the image lacks, libcontainer fails.
    config["process"]["cwd"] = "/".into();
    // Optional where nothing is executed, but libcontainer wants some.
    let args = &mut config["process"]["args"];
    if args.is_null() {
        *args = json!([]);
    }
    if let Some(mounts) = config["mounts"].as_array_mut() {
        without_cgroups(mounts);
        mounts.iter_mut().for_each(without_copies);
    }
    plain_propagation(&mut config["linux"]);
    wrapper::wrap(&mut config["hooks"], &bundle.path)?;
    let resources = &mut config["linux"]["resources"];
    // What is none, libcontainer refuses.
    if request.globals.systemd_cgroup
        && let Ok(all) = serde_json::from_value(resources.clone())
    {
        *resources = serde_json::to_value(Limits::of(&all).by_systemd)?;
    }
    let cgroup = &mut config["linux"]["cgroupsPath"];
    let path = match cgroup.as_str() {
        None | Some("") => default_cgroup(request),
        // With a new user namespace libcontainer would take it for systemd's form.
        Some(path) if !request.globals.systemd_cgroup && !path.starts_with('/') => {
            format!("/{path}")
        }
        Some(path) => path.to_owned(),
    };
    *cgroup = path.as_str().into();
    Ok(path)
}

/// Makes good what runc 1.1 lets pass and libcontainer refuses: a version of the spec that is
/// missing or not 1.x, and names of capabilities that nobody knows. A monitor keeps none.
fn as_runc_reads(config: &mut Value) {
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
fn without_cgroups(mounts: &mut Vec<Value>) {
    let is_cgroup = |mount: &&Value| matches!(mount["type"].as_str(), Some("cgroup" | "cgroup2"));
    let place = |mount: &Value| PathBuf::from(mount["destination"].as_str().unwrap_or_default());
    // Of a place without a parent, `/` or none at all, everything would be a part.
    let gone = mounts.iter().filter(is_cgroup).map(place);
    let gone: Vec<_> = gone.filter(|place| place.parent().is_some()).collect();
    mounts.retain(|mount| !gone.iter().any(|parent| place(mount).starts_with(parent)));
}

/// Takes out runc's own option for a tmpfs that begins as a copy of the image's directory, which
/// podman asks for: nobody looks into it, and libcontainer 0.7 would hand it to the kernel.
fn without_copies(mount: &mut Value) {
    if let Some(options) = mount.get_mut("options").and_then(Value::as_array_mut) {
        options.retain(|option| option != "tmpcopyup");
    }
}

/// Makes `slave` of `rslave`, which a volume's propagation comes with: libcontainer 0.7
/// knows the plain words only, and means by them what runc means by the others.
fn plain_propagation(linux: &mut Value) {
    let Some(word) = linux.get_mut("rootfsPropagation") else {
        return;
    };
    if let Some(plain) = word.as_str().and_then(|word| word.strip_prefix('r')) {
        *word = plain.into();
    }
}

/// The cgroup of a container whose configuration names none, as runc's.
fn default_cgroup(request: &Request) -> String {
    let id = &request.args.id;
    match request.globals.systemd_cgroup {
        // libcgroups knows the slice: the system's, or the user's.
        true => format!(":runu:{id}"),
        false => format!("/{id}"),
    }
}
