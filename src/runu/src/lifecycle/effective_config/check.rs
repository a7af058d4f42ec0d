//! What of a config.json is refused before libcontainer reads it.

use std::fs;

use libcontainer::oci_spec::runtime::Spec;
use serde_json::Value;

use crate::lifecycle::effective_config::error::ConfigError;

/// Refuses what libcontainer would accept, or refuse without a cure.
///
/// # Errors
/// The key and the cure.
pub(super) fn check(config: &Value) -> Result<(), ConfigError> {
    let namespaces = config["linux"]["namespaces"].as_array();
    let is_mount = |namespace: &Value| namespace["type"] == "mount";
    if !namespaces.is_some_and(|all| all.iter().any(is_mount)) {
        // libcontainer would mount on the host, and leave it there.
        return Err(ConfigError::HostMounts);
    }
    if namespaces.is_some_and(|all| {
        all.iter()
            .enumerate()
            .any(|(i, n)| is_repeated(&all[..i], n))
    }) {
        return Err(ConfigError::NamespaceTwice);
    }
    let process = &config["process"];
    if process.is_null() {
        return Err(ConfigError::NoProcess);
    }
    if is_set(&process["apparmorProfile"]) && !has_apparmor() {
        return Err(ConfigError::NoAppArmor);
    }
    Ok(())
}

fn is_repeated(before: &[Value], namespace: &Value) -> bool {
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

/// Checks that libcontainer can read a configuration at all: it would say why not, but not where.
///
/// # Errors
/// The key, and what is wrong with its value.
pub(super) fn check_types(config: &Value) -> Result<(), ConfigError> {
    let Some(source) = type_error(config) else {
        return Ok(());
    };
    let mut key = String::new();
    let mut pointer = String::new();
    while let Some((name, child)) = culprit(config, &pointer, &source.to_string()) {
        key += &name;
        pointer = child;
    }
    let key = key.trim_start_matches('.').to_owned();
    Err(ConfigError::Type { key, source })
}

fn type_error(config: &Value) -> Option<serde_json::Error> {
    serde_json::from_value::<Spec>(config.clone()).err()
}

/// The member of what is at `pointer` without which there is not this error: its name, and its
/// own pointer (RFC 6901).
fn culprit(config: &Value, pointer: &str, error: &str) -> Option<(String, String)> {
    let members: Vec<(String, String)> = match config.pointer(pointer)? {
        Value::Object(members) => {
            let escaped = |name: &String| name.replace('~', "~0").replace('/', "~1");
            let member = |name| (format!(".{name}"), format!("{pointer}/{}", escaped(name)));
            members.keys().map(member).collect()
        }
        Value::Array(items) => {
            let item = |at| (format!("[{at}]"), format!("{pointer}/{at}"));
            (0..items.len()).map(item).collect()
        }
        _ => return None,
    };
    members.into_iter().find(|(_, child)| {
        let rest = without(config, pointer, child);
        type_error(&rest).is_none_or(|other| other.to_string() != error)
    })
}

/// The configuration without the member `child` of what is at `pointer`.
fn without(config: &Value, pointer: &str, child: &str) -> Value {
    let mut rest = config.clone();
    let name = child[pointer.len() + 1..]
        .replace("~1", "/")
        .replace("~0", "~");
    match rest.pointer_mut(pointer) {
        Some(Value::Object(members)) => drop(members.remove(&name)),
        Some(Value::Array(items)) => {
            if let Ok(at) = name.parse::<usize>() {
                items.remove(at);
            }
        }
        _ => {}
    }
    rest
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_value_of_the_wrong_type_is_found() {
        let config = |process: Value, resources: Value, mounts: Value| {
            json!({
                "ociVersion": "1.0.2",
                "root": { "path": "rootfs" },
                "process": process,
                "mounts": mounts,
                "linux": { "resources": resources },
            })
        };
        let process = || json!({ "cwd": "/", "user": { "uid": 0, "gid": 0 }, "args": [] });
        let with = |key: &str, value: Value| {
            let mut process = process();
            process[key] = value;
            process
        };
        let none = || json!({});
        let cases = [
            (
                config(
                    with("rlimits", json!([{ "type": "X", "hard": 1, "soft": 1 }])),
                    none(),
                    json!([]),
                ),
                "process.rlimits[0].type",
            ),
            (
                config(
                    with("user", json!({ "uid": -1, "gid": 0 })),
                    none(),
                    json!([]),
                ),
                "process.user.uid",
            ),
            (
                config(process(), json!({ "cpu": { "shares": "a" } }), json!([])),
                "linux.resources.cpu.shares",
            ),
            (
                config(
                    process(),
                    none(),
                    json!([{ "destination": "/x" }, { "type": "tmpfs" }]),
                ),
                "mounts[1]",
            ),
        ];
        for (config, expected) in cases {
            match check_types(&config) {
                Err(ConfigError::Type { key, .. }) => assert_eq!(key, expected),
                other => panic!("{expected}: {other:?}"),
            }
        }
        check_types(&config(process(), none(), json!([]))).unwrap();
    }
}
