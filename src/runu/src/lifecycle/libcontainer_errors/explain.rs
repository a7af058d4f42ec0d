//! One line of what libcontainer's processes have said.

use std::error::Error;
use std::io::PipeReader;
use std::path::Path;

use serde_json::Value;

use crate::exit::chain;
use crate::lifecycle::libcontainer_errors::debug_text::{field, quoted, system_error};
use crate::lifecycle::libcontainer_errors::event::Event;
use crate::lifecycle::libcontainer_errors::libcgroups_errors;
use crate::lifecycle::libcontainer_errors::pipe::read;

/// How libcontainer 0.7 begins to log an error that it has logged before, as each of its processes
/// ends.
const OUTER: [&str; 3] = [
    "failed to initialize container process",
    "failed to run intermediate process",
    "failed to run container process",
];

/// How an event begins that comes from one key of config.json, and that key.
const KEYS: [(&str, &str); 9] = [
    ("failed to set sysctl", "linux.sysctl"),
    ("sysctl ", "linux.sysctl"),
    (
        "failed to write to /proc/self/oom_score_adj",
        "process.oomScoreAdj",
    ),
    ("error setting scheduler", "process.scheduler"),
    ("failed to set io priority", "process.ioPriority"),
    ("failed to find a mounted resctrl", "linux.intelRdt"),
    ("time namespace offsets", "linux.timeOffsets"),
    ("user namespace mappings", "linux.uidMappings"),
    (
        "failed to validate spec for new user namespace",
        "linux.uidMappings or gidMappings",
    ),
];

/// Why libcontainer could not make the container. Its processes report it as a text.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub(in crate::lifecycle) struct LibcontainerError(String);

/// Why there is this error, in one line: what the processes wrote to the pipe, in the words of
/// config.json's key where that is known, and the system's error where the error keeps one.
/// `config` is the caller's config.json.
pub(in crate::lifecycle) fn explain(
    pipe: PipeReader,
    error: &(dyn Error + 'static),
    config: &Value,
) -> LibcontainerError {
    let mut events = read(pipe);
    if events.is_empty() {
        // What is refused before there is another process is not logged.
        events.push(Event::of(&chain(error)));
    }
    let keyed = events
        .iter()
        .find_map(|event| keyed(event, &events, config));
    LibcontainerError(keyed.unwrap_or_else(|| {
        let text = deepest(&events);
        let mut root = error;
        while let Some(source) = root.source() {
            root = source;
        }
        match root.downcast_ref::<std::io::Error>() {
            Some(cause) if !text.contains(&cause.to_string()) => format!("{text}: {cause}"),
            _ => text,
        }
    }))
}

/// Events are written on the errors' way out, the deepest first: those that only say which process
/// has ended are left out.
fn deepest(events: &[Event]) -> String {
    let is_outer = |event: &Event| OUTER.iter().any(|outer| event.message.starts_with(outer));
    let inner: Vec<_> = events.iter().take_while(|event| !is_outer(event)).collect();
    match inner.is_empty() {
        true => events[0].sentence(),
        false => inner
            .into_iter()
            .map(Event::sentence)
            .collect::<Vec<_>>()
            .join("; "),
    }
}

/// An event in the words of config.json's key; `None` where it says nothing of one.
fn keyed(event: &Event, all: &[Event], config: &Value) -> Option<String> {
    let message = event.message.as_str();
    let error = event.field("err");
    if message.starts_with("failed to apply cgroup") || message.starts_with("failed to add task") {
        return Some(libcgroups_errors::describe(error?));
    }
    if message.starts_with("failed to mount Mount {") {
        return Some(of_mount(message, all, config));
    }
    if let Some(limit) = event.field("rlimit") {
        return Some(of_rlimit(limit, error));
    }
    if let Some(namespace) = event.field("namespace") {
        return Some(of_namespace(namespace, error));
    }
    if message.contains("is not a valid device path") {
        return Some(format!("linux.devices: {message}"));
    }
    if let Some(value) = error.and_then(|e| e.strip_prefix("UnknownRootfsPropagation")) {
        let value = quoted(value).unwrap_or_default();
        return Some(format!(
            "linux.rootfsPropagation: {value:?} is unknown: write shared, slave, private or unbindable"
        ));
    }
    if message.contains("BrokenChannel") {
        return Some("its process has ended before it was ready: was it killed?".to_owned());
    }
    if message.contains("open subpath in procfs failed") {
        return unknown_sysctl(config);
    }
    for key in ["hostname", "domainname"] {
        if let Some(name) = event.field(key) {
            let cause = error.and_then(system_error).unwrap_or_default();
            return Some(format!("{key} {name}: {cause}"));
        }
    }
    let key = KEYS.iter().find(|(start, _)| message.starts_with(start));
    key.map(|(_, key)| format!("{key}: {}", event.sentence()))
}

/// A mount, by its index in config.json. The system's error is in a later event.
fn of_mount(message: &str, all: &[Event], config: &Value) -> String {
    let destination = field(message, "destination").unwrap_or_default();
    let kind = field(message, "typ").filter(|kind| kind != "None");
    let mounts = config["mounts"].as_array();
    let at = mounts.and_then(|all| {
        all.iter().rposition(|mount| {
            let is_kind = kind.is_none() || mount["type"].as_str() == kind.as_deref();
            mount["destination"] == destination.as_str() && is_kind
        })
    });
    let key = at.map_or("mounts".to_owned(), |at| format!("mounts[{at}]"));
    let texts = all.iter().flat_map(Event::texts);
    let cause = texts.filter_map(system_error).next();
    let cause = cause.unwrap_or_else(|| "it cannot be done".to_owned());
    let source = field(message, "source").filter(|source| source != "None");
    let source = source.map_or(String::new(), |source| format!("{source:?} at "));
    let kind = kind.map_or(String::new(), |kind| format!(", type {kind:?}"));
    format!("{key}: cannot mount {source}{destination:?}{kind}: {cause}")
}

/// `PosixRlimit { typ: RlimitNofile, hard: 1, soft: 5 }`.
fn of_rlimit(limit: &str, error: Option<&str>) -> String {
    let value = |name| field(limit, name).unwrap_or_default();
    let kind = value("typ");
    let kind = kind.strip_prefix("Rlimit").unwrap_or(&kind);
    let name = format!("RLIMIT_{}", kind.to_ascii_uppercase());
    let (soft, hard) = (value("soft"), value("hard"));
    let cause = error.and_then(system_error).unwrap_or_default();
    format!("process.rlimits: {name} of soft {soft} and hard {hard}: {cause}")
}

/// `LinuxNamespace { typ: Network, path: Some("/x") }`.
fn of_namespace(namespace: &str, error: Option<&str>) -> String {
    let value = |name| field(namespace, name).unwrap_or_default();
    let (kind, path) = (value("typ").to_ascii_lowercase(), value("path"));
    let cause = error.and_then(system_error).unwrap_or_default();
    match path.as_str() {
        "None" => format!("linux.namespaces: a new {kind} namespace: {cause}"),
        path => format!("linux.namespaces: the {kind} namespace {path:?}: {cause}"),
    }
}

/// The first key of `linux.sysctl` that this kernel does not have.
fn unknown_sysctl(config: &Value) -> Option<String> {
    let mut names = config["linux"]["sysctl"].as_object()?.keys();
    let file = |name: &str| Path::new("/proc/sys").join(name.replace('.', "/"));
    let name = names.find(|name| !file(name).exists())?;
    Some(format!("linux.sysctl: this kernel has no {name:?}"))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn event(message: &str, fields: &[(&str, &str)]) -> Event {
        let owned = |(name, value): &(&str, &str)| ((*name).to_owned(), (*value).to_owned());
        Event {
            message: message.to_owned(),
            fields: fields.iter().map(owned).collect(),
        }
    }

    fn explained(events: &[Event], config: &Value) -> String {
        let known = events.iter().find_map(|one| keyed(one, events, config));
        known.unwrap_or_else(|| deepest(events))
    }

    #[test]
    fn the_deepest_events_are_reported() {
        let events = [
            event("failed to mount it", &[("path", "\"/x\"")]),
            event("no rootfs", &[]),
            event("failed to initialize container process: no rootfs", &[]),
            event("failed to run container process", &[]),
        ];
        assert_eq!(
            deepest(&events),
            "failed to mount it, path \"/x\"; no rootfs"
        );
        let outer = "failed to initialize container process: io error";
        assert_eq!(deepest(&[event(outer, &[])]), outer);
    }

    #[test]
    fn keys_of_config_json_are_named() {
        let config = json!({
            "mounts": [{ "destination": "/x", "type": "a" }, { "destination": "/x", "type": "b" }],
            "linux": { "sysctl": { "kernel.shmmax": "1", "net.no.such": "1" } },
        });
        let cases = [
            (
                event(
                    "failed to apply cgroup",
                    &[("err", "V1(CGroupRequired(HugeTlb))")],
                ),
                "linux.resources.hugepageLimits: this host has no cgroup controller for it: leave it out",
            ),
            (
                event(
                    "failed to apply cgroup",
                    &[("err", "V1(X(SwappinessOutOfRange { supplied: 500 }))")],
                ),
                "linux.resources.memory.swappiness: 500 is not from 0 to 100",
            ),
            (
                event(
                    "failed to mount Mount { destination: \"/x\", typ: Some(\"b\"), source: None }: syscall, err Nix(ENODEV)",
                    &[],
                ),
                "mounts[1]: cannot mount \"/x\", type \"b\": No such device (ENODEV)",
            ),
            (
                event(
                    "failed to set rlimit",
                    &[
                        ("err", "Nix(EPERM)"),
                        (
                            "rlimit",
                            "PosixRlimit { typ: RlimitNofile, hard: 9, soft: 5 }",
                        ),
                    ],
                ),
                "process.rlimits: RLIMIT_NOFILE of soft 5 and hard 9: Operation not permitted (EPERM)",
            ),
            (
                event(
                    "failed to open namespace file",
                    &[
                        ("err", "ENOENT"),
                        (
                            "namespace",
                            "LinuxNamespace { typ: Network, path: Some(\"/n\") }",
                        ),
                    ],
                ),
                "linux.namespaces: the network namespace \"/n\": No such file or directory (ENOENT)",
            ),
            (
                event(
                    "failed to initialize container process: open subpath in procfs failed",
                    &[],
                ),
                "linux.sysctl: this kernel has no \"net.no.such\"",
            ),
            (
                event(
                    "failed to prepare rootfs",
                    &[("err", "UnknownRootfsPropagation(\"x\")")],
                ),
                "linux.rootfsPropagation: \"x\" is unknown: write shared, slave, private or unbindable",
            ),
        ];
        for (event, words) in cases {
            assert_eq!(explained(&[event], &config), words);
        }
    }
}
