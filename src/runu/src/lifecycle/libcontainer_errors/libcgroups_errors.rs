//! The errors of libcgroups, in the words of config.json's `linux.resources`.

use std::path::Path;

use crate::lifecycle::libcontainer_errors::config_key::config_key;
use crate::lifecycle::libcontainer_errors::debug_text::{field, quoted, system_error};

/// Controllers of cgroups in libcgroups' errors, and the keys of `linux.resources` that need
/// them.
const CONTROLLERS: [(&str, &str); 14] = [
    ("SwappinessOutOfRange", "memory.swappiness"),
    ("HugeTlb", "hugepageLimits"),
    ("NetworkPriority", "network.priorities"),
    ("NetworkClassifier", "network.classID"),
    ("CpuSet", "cpu.cpus"),
    ("RealtimeV2", "cpu.realtimeRuntime"),
    ("Cpu", "cpu"),
    ("Swap", "memory.swap"),
    ("Memory", "memory"),
    ("UnableToSet", "memory.limit"),
    ("Pids", "pids"),
    ("Blkio", "blockIO"),
    ("Io", "blockIO"),
    ("Unified", "unified"),
];

/// An error of libcgroups, by its debug text: with the key of config.json, and the cgroup's file
/// that does not take its value where there is one.
pub(in crate::lifecycle) fn describe(error: &str) -> String {
    let cause = system_error(error).or_else(|| field(error, "message"));
    let cause = cause.unwrap_or_else(|| "it cannot be done".to_owned());
    let path = field(error, "path");
    let file = path.as_deref().and_then(|path| Path::new(path).file_name());
    let file = file.map(|name| name.to_string_lossy());
    match (file, path.as_deref(), field(error, "data")) {
        (Some(file), _, Some(data)) => {
            let key = config_key(&file);
            format!("{key}: the cgroup's {file} does not take {data:?}: {cause}")
        }
        (_, Some(path), _) if error.contains("CreateDir") => {
            format!("linux.cgroupsPath: cannot make the cgroup {path:?}: {cause}")
        }
        (Some(file), Some(path), None) => {
            format!("{}: the cgroup's file {path:?}: {cause}", config_key(&file))
        }
        _ => of_controller(error),
    }
}

/// An error of libcgroups that is of no file.
fn of_controller(error: &str) -> String {
    let known = CONTROLLERS.iter().find(|(name, _)| error.contains(name));
    let key = known.map_or("linux.resources".to_owned(), |(_, key)| {
        format!("linux.resources.{key}")
    });
    if error.contains("CGroupRequired") {
        return format!("{key}: this host has no cgroup controller for it: leave it out");
    }
    if let Some(value) = field(error, "supplied") {
        return format!("{key}: {value} is not from 0 to 100");
    }
    if let Some(value) = field(error, "target") {
        return format!("{key}: {value} is not possible");
    }
    match quoted(error) {
        Some(why) => format!("{key}: {why}"),
        None => format!("{key}: the cgroup does not take it"),
    }
}
