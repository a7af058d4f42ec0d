//! config.json as the container around the monitor is built from it.
//!
//! libcontainer reads a bundle's config.json itself. It is given a folder of
//! runu's own with the text that was judged, so that an edit of the bundle's
//! file in between changes nothing, and with what a monitor needs otherwise.

use std::fs;
use std::io::{self, ErrorKind};
use std::path::PathBuf;

use serde_json::{Value, json};

use super::cgroup::Cgroup;
use super::create::Request;
use super::scope::Limits;
use super::store::{Entry, write_whole};
use super::{Error, hook};

const FILE: &str = "config.json";

/// Writes the adapted config.json into the container's folder; gives the
/// container's cgroup path.
///
/// # Errors
/// When it asks for what no monitor can have, or the disk does not take it.
pub fn write(request: &Request, entry: &Entry) -> Result<PathBuf, Error> {
    let folder = entry.bundle_folder();
    let failed = |e| Error::store(&folder, e);
    let mut config: Value = serde_json::from_slice(&request.bundle.text)
        .map_err(|e| failed(io::Error::new(ErrorKind::InvalidData, e)))?;
    check(&config, request).map_err(|why| Error::Create {
        id: entry.id.clone(),
        why: why.to_owned(),
    })?;
    let cgroup = adapt(&mut config, request).map_err(failed)?;
    fs::create_dir(&folder).map_err(failed)?;
    let path = folder.join(FILE);
    write_whole(&path, config.to_string().as_bytes()).map_err(|e| Error::store(&path, e))?;
    Ok(cgroup.into())
}

/// The cgroup of a container whose record cannot be read, or is not there.
pub fn cgroup(entry: &Entry) -> Option<Cgroup> {
    let text = fs::read(entry.bundle_folder().join(FILE)).ok()?;
    let config: Value = serde_json::from_slice(&text).ok()?;
    let path = config["linux"]["cgroupsPath"].as_str()?;
    Some(Cgroup {
        id: entry.id.clone(),
        path: path.into(),
        systemd: !path.starts_with('/'),
    })
}

/// What libcontainer would not refuse, or not in words that help.
fn check(config: &Value, request: &Request) -> Result<(), &'static str> {
    let namespaces = config["linux"]["namespaces"].as_array();
    let is_mount = |namespace: &Value| namespace["type"] == "mount";
    if !namespaces.is_some_and(|all| all.iter().any(is_mount)) {
        // libcontainer would mount on the host, and leave it there.
        return Err("its mounts would be the host's: add {\"type\":\"mount\"} to linux.namespaces");
    }
    if config["process"].is_null() {
        return Err("config.json has no process");
    }
    let terminal = config["process"]["terminal"] == true;
    let detached = request.args.run.as_ref().is_none_or(|run| run.detach);
    match (terminal, &request.args.console_socket) {
        (true, None) if detached => {
            Err("process.terminal is true: name a console socket with --console-socket")
        }
        (false, Some(_)) => {
            Err("--console-socket is of no use without a terminal: set process.terminal to true")
        }
        _ => Ok(()),
    }
}

/// Makes of the caller's configuration the monitor's; gives the cgroup's path.
fn adapt(config: &mut Value, request: &Request) -> io::Result<String> {
    let bundle = request.bundle;
    // Relative paths would start at our folder.
    if let Some(rootfs) = bundle.rootfs_path() {
        config["root"]["path"] = rootfs.to_string_lossy().into();
    }
    // Nobody works there: runc would make a folder that the image lacks, libcontainer fails.
    config["process"]["cwd"] = "/".into();
    // Optional where nothing is executed, but libcontainer wants some.
    let args = &mut config["process"]["args"];
    if args.is_null() {
        *args = json!([]);
    }
    // A guest has no use for the container's cgroup files, and under cgroups v1 with a
    // shared pid namespace libcontainer 0.7 cannot mount them.
    if let Some(mounts) = config["mounts"].as_array_mut() {
        mounts.retain(|mount| !matches!(mount["type"].as_str(), Some("cgroup" | "cgroup2")));
    }
    hook::wrap(&mut config["hooks"], &bundle.path)?;
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

/// The cgroup of a container whose configuration names none, as runc's.
fn default_cgroup(request: &Request) -> String {
    let id = &request.args.id;
    match request.globals.systemd_cgroup {
        // libcgroups knows the slice: the system's, or the user's.
        true => format!(":runu:{id}"),
        false => format!("/{id}"),
    }
}
