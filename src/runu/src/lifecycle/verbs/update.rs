//! `update`: other limits for the cgroup of a monitor that runs.
//!
//! The guest's memory is what it was given at `create`; a limit that would not
//! hold it is refused, for the kernel would kill the monitor.

use std::fs::File;
use std::io::{self, Read};

use libcontainer::oci_spec::runtime::LinuxResources;
use serde_json::{Value, json};

use crate::cli::Update;
use crate::lifecycle::cgroup::Cgroup;
use crate::lifecycle::error::Error;
use crate::lifecycle::unikernel::Unikernel;
use crate::lifecycle::verbs::error::UpdateError;
use decision::plan::overhead;
use guest::Root;

/// The most of a resources file that is read, in bytes.
const MAX: u64 = 1 << 20;

/// runc's flags and the fields of `linux.resources` that they set.
const FLAGS: [(&str, &str, &str); 9] = [
    ("memory", "memory", "limit"),
    ("memory-reservation", "memory", "reservation"),
    ("memory-swap", "memory", "swap"),
    ("cpu-period", "cpu", "period"),
    ("cpu-quota", "cpu", "quota"),
    ("cpu-share", "cpu", "shares"),
    ("cpuset-cpus", "cpu", "cpus"),
    ("cpuset-mems", "cpu", "mems"),
    ("pids-limit", "pids", "limit"),
];

/// Changes the limits to those of a resources file (`-` is stdin), or of flags.
///
/// # Errors
/// When it has stopped, the limits cannot be read, or the cgroup does not take them.
pub(in crate::lifecycle) fn update(unikernel: &Unikernel, args: &Update) -> Result<(), Error> {
    let id = unikernel.id();
    let Some(process) = unikernel.process() else {
        return Err(Error::NotRunning { id: id.to_owned() });
    };
    let resources = resources(args).map_err(|e| Error::verb("update", id, e))?;
    let plan = &unikernel.record.plan;
    let limit = resources
        .memory()
        .as_ref()
        .and_then(|memory| memory.limit());
    holds_guest(limit, plan.memory, plan.root).map_err(|e| Error::verb("update", id, e))?;
    let cgroup = Cgroup::from(&unikernel.record);
    let applied = cgroup.apply(&resources, process);
    applied.map_err(|e| Error::verb("update", id, e))
}

fn resources(args: &Update) -> Result<LinuxResources, UpdateError> {
    let mut value = match &args.resources {
        Some(path) if path.as_os_str() == "-" => read("stdin", io::stdin())?,
        Some(path) => {
            let file = File::open(path).map_err(|source| UpdateError::Open {
                path: path.clone(),
                source,
            })?;
            read(&path.display().to_string(), file)?
        }
        None => from_flags(&args.settings)?,
    };
    leave_unset(&mut value);
    serde_json::from_value(value).map_err(UpdateError::Resources)
}

/// Takes out what leaves a limit as it is: dockerd names every field, and 0 or an empty
/// list of CPUs is to runc as if it were not there. These two have a 0 of their own.
fn leave_unset(resources: &mut Value) {
    let has_zero = |field: &str| matches!(field, "swappiness" | "idle");
    for group in ["memory", "cpu", "pids", "blockIO"] {
        if let Some(fields) = resources.get_mut(group).and_then(Value::as_object_mut) {
            fields.retain(|field, value| has_zero(field) || (*value != 0 && *value != ""));
        }
    }
}

fn read(name: &str, source: impl Read) -> Result<Value, UpdateError> {
    serde_json::from_reader(source.take(MAX)).map_err(|source| UpdateError::Json {
        name: name.to_owned(),
        source,
    })
}

fn from_flags(settings: &[(String, String)]) -> Result<Value, UpdateError> {
    let mut value = json!({});
    for (name, setting) in settings {
        let known = FLAGS.iter().find(|(flag, ..)| flag == name);
        let Some((_, group, field)) = known else {
            return Err(UpdateError::Flag { name: name.clone() });
        };
        value[group][field] = match *field {
            "cpus" | "mems" => json!(setting),
            _ => json!(amount(setting).ok_or_else(|| UpdateError::Amount {
                name: name.clone(),
                text: setting.clone(),
            })?),
        };
    }
    Ok(value)
}

/// `-1`, `1000`, `64m`, `1G`: as runc reads them (docker's go-units, `RAMInBytes`).
fn amount(text: &str) -> Option<i64> {
    let text = text.to_ascii_lowercase();
    let text = text.strip_suffix('b').unwrap_or(&text);
    let units = [("k", 10), ("m", 20), ("g", 30), ("t", 40)];
    let unit = units
        .iter()
        .find_map(|(unit, shift)| Some((text.strip_suffix(unit)?, shift)));
    let (number, shift) = unit.unwrap_or((text, &0));
    number.parse::<i64>().ok()?.checked_mul(1 << shift)
}

/// Whether a memory limit (bytes; below 0 is none) leaves the guest its memory.
fn holds_guest(limit: Option<i64>, memory: u64, root: Root) -> Result<(), UpdateError> {
    let Some(limit) = limit.and_then(|limit| u64::try_from(limit).ok()) else {
        return Ok(());
    };
    if limit.saturating_sub(overhead(limit, root)) >= memory {
        return Ok(());
    }
    Err(UpdateError::TooSmall { memory, limit })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn amounts_and_flags() {
        for (text, bytes) in [
            ("-1", -1),
            ("1000", 1000),
            ("64m", 64 << 20),
            ("2GB", 2 << 30),
        ] {
            assert_eq!(amount(text), Some(bytes), "{text}");
        }
        for text in ["", "m", "1.5g", "9999999999g", "x"] {
            assert_eq!(amount(text), None, "{text}");
        }
        let flag = |name: &str, value: &str| (name.to_owned(), value.to_owned());
        let value = from_flags(&[flag("memory", "64m"), flag("cpuset-cpus", "0-1")]).unwrap();
        assert_eq!(
            value,
            json!({ "memory": { "limit": 64 << 20 }, "cpu": { "cpus": "0-1" } })
        );
        assert!(from_flags(&[flag("l3-cache-schema", "x")]).is_err());
    }

    #[test]
    fn zero_leaves_a_limit_as_it_is() {
        let mut value = json!({
            "memory": { "limit": 0, "kernel": 0, "swappiness": 0 },
            "cpu": { "quota": 50000, "shares": 0, "cpus": "" },
            "blockIO": { "weight": 0 },
        });
        leave_unset(&mut value);
        let left = json!({
            "memory": { "swappiness": 0 },
            "cpu": { "quota": 50000 },
            "blockIO": {},
        });
        assert_eq!(value, left);
    }

    #[test]
    fn a_limit_must_hold_the_guest() {
        let memory = 64 << 20;
        let holds = |limit, root| holds_guest(limit, memory, root).is_ok();
        assert!(holds(None, Root::None));
        assert!(holds(Some(-1), Root::None));
        assert!(holds(Some(80 << 20), Root::P9));
        assert!(!holds(Some(64 << 20), Root::None));
        // virtiofsd is in it too.
        assert!(!holds(Some(80 << 20), Root::Virtiofs));
        assert!(holds(Some(88 << 20), Root::Virtiofs));
    }
}
