//! What a decision needs of config.json, and no more.
//!
//! `oci_spec::runtime::Spec` is the whole of it, and is what the container
//! around a unikernel is built from. Here a smaller view serves: a value that
//! this build's `Spec` does not know (a capability, a namespace of next year's
//! kernel) must not keep an ordinary container from runc. For the same reason a
//! `null` is what Go makes of it: nothing.

use std::collections::BTreeMap;
use std::path::PathBuf;

use serde::Deserialize;

use crate::devices::{self, BlockNode, Device, DeviceRule};
use crate::keys;

/// The parts of config.json that are looked at (runtime-spec, config.md).
#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Config {
    /// A value may be `null`, which is none.
    pub annotations: Option<BTreeMap<String, Option<String>>>,
    /// The root file system.
    pub root: Option<Root>,
    /// The container's first process.
    pub process: Option<Process>,
    /// What Linux has for it.
    pub linux: Option<Linux>,
    /// A virtual machine's description.
    pub vm: Option<Vm>,
    /// As Go writes it, which may be empty.
    pub hostname: Option<String>,
}

/// `vm` (runtime-spec, config-vm.md), without its hypervisor, which is runu.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Vm {
    /// What boots.
    pub kernel: Option<VmKernel>,
    /// A root image, which runu does not do.
    pub image: Option<VmImage>,
    /// What the machine has.
    #[serde(alias = "hwconfig")]
    pub hw_config: Option<HwConfig>,
}

/// `vm.kernel`. Go writes an empty path where there is none.
#[derive(Debug, Deserialize)]
pub struct VmKernel {
    pub path: Option<String>,
    pub parameters: Option<Vec<String>>,
    pub initrd: Option<String>,
}

/// `vm.image`, likewise.
#[derive(Debug, Deserialize)]
pub struct VmImage {
    pub path: Option<String>,
}

/// `vm.hwConfig`.
#[derive(Debug, Deserialize)]
pub struct HwConfig {
    pub vcpus: Option<i64>,
    /// Bytes.
    pub memory: Option<i64>,
}

/// `root`.
#[derive(Debug, Deserialize)]
pub struct Root {
    /// Absolute, or relative to the bundle.
    pub path: PathBuf,
    pub readonly: Option<bool>,
}

/// `process`.
#[derive(Debug, Deserialize)]
pub struct Process {
    pub args: Option<Vec<String>>,
    pub env: Option<Vec<String>>,
    pub cwd: Option<String>,
    pub terminal: Option<bool>,
}

/// `linux`.
#[derive(Debug, Deserialize)]
pub struct Linux {
    pub resources: Option<Resources>,
    pub devices: Option<Vec<Option<Device>>>,
    pub namespaces: Option<Vec<Namespace>>,
}

/// One of `linux.namespaces`.
#[derive(Debug, Deserialize)]
pub struct Namespace {
    #[serde(rename = "type")]
    pub kind: Option<String>,
}

/// `linux.resources`.
#[derive(Debug, Deserialize)]
pub struct Resources {
    pub memory: Option<Memory>,
    pub cpu: Option<Cpu>,
    pub devices: Option<Vec<Option<DeviceRule>>>,
}

/// `linux.resources.memory`.
#[derive(Debug, Deserialize)]
pub struct Memory {
    /// Bytes; -1 is unlimited.
    pub limit: Option<i64>,
}

/// `linux.resources.cpu`.
#[derive(Debug, Default, Deserialize)]
pub struct Cpu {
    /// Microseconds of CPU time in each period; what is not positive is unlimited.
    pub quota: Option<i64>,
    /// Microseconds; without it, the kernel's own 100 ms.
    pub period: Option<u64>,
}

/// `cpu.cfs_period_us` where nobody sets it (Linux's Documentation/scheduler/sched-bwc.rst).
const DEFAULT_PERIOD: u64 = 100_000;

impl Config {
    /// Reads the text of a config.json.
    ///
    /// # Errors
    /// For what is no JSON, a value of another type, and a key that runc would read and this
    /// view does not see.
    pub fn parse(text: &[u8]) -> serde_json::Result<Self> {
        let config = serde_json::from_slice(text)?;
        keys::check(text).map(|()| config)
    }

    /// A configuration that says no more than this; `memory_limit` in bytes.
    pub fn of(annotations: BTreeMap<String, String>, memory_limit: Option<i64>) -> Self {
        let memory = Memory {
            limit: memory_limit,
        };
        let annotations = annotations
            .into_iter()
            .map(|(key, value)| (key, Some(value)));
        Self {
            annotations: Some(annotations.collect()),
            linux: Some(Linux {
                resources: Some(Resources {
                    memory: Some(memory),
                    cpu: None,
                    devices: None,
                }),
                devices: None,
                namespaces: None,
            }),
            ..Self::default()
        }
    }

    /// An annotation's value.
    pub fn annotation(&self, key: &str) -> Option<&str> {
        self.annotations.as_ref()?.get(key)?.as_deref()
    }

    /// All annotations that have a value, by key.
    pub fn annotations(&self) -> impl Iterator<Item = (&str, &str)> {
        let all = self.annotations.iter().flatten();
        all.filter_map(|(key, value)| Some((key.as_str(), value.as_deref()?)))
    }

    /// `process.args`, empty where there are none.
    pub fn args(&self) -> &[String] {
        self.process
            .as_ref()
            .and_then(|p| p.args.as_deref())
            .unwrap_or_default()
    }

    /// `root.readonly`.
    pub fn has_read_only_root(&self) -> bool {
        self.root.as_ref().and_then(|root| root.readonly) == Some(true)
    }

    /// `process.env`, empty where there is none.
    pub fn env(&self) -> &[String] {
        let env = self.process.as_ref().and_then(|p| p.env.as_deref());
        env.unwrap_or_default()
    }

    /// `process.cwd`.
    pub fn cwd(&self) -> Option<&str> {
        self.process.as_ref()?.cwd.as_deref()
    }

    /// `hostname`; Go writes an empty one where there is none.
    pub fn hostname(&self) -> Option<&str> {
        self.hostname.as_deref().filter(|name| !name.is_empty())
    }

    /// `process.terminal`.
    pub fn wants_terminal(&self) -> bool {
        self.process.as_ref().and_then(|p| p.terminal) == Some(true)
    }

    /// Whether there are namespaces, but none of the network.
    pub fn has_host_network(&self) -> bool {
        let linux = self.linux.as_ref();
        let namespaces = linux.and_then(|linux| linux.namespaces.as_deref());
        let is_network = |namespace: &Namespace| namespace.kind.as_deref() == Some("network");
        namespaces.is_some_and(|all| !all.iter().any(is_network))
    }

    /// The block devices of `linux.devices`; those that the container's device rules do not let
    /// it write are read-only.
    pub fn block_nodes(&self) -> Vec<BlockNode> {
        let devices = self.linux.as_ref().and_then(|l| l.devices.as_deref());
        let rules = self.resources().and_then(|r| r.devices.as_deref());
        devices::block_nodes(devices.unwrap_or_default(), rules.unwrap_or_default())
    }

    fn resources(&self) -> Option<&Resources> {
        self.linux.as_ref()?.resources.as_ref()
    }

    /// How many CPUs `linux.resources.cpu` gives at a time, rounded up, where its quota limits
    /// anything.
    pub fn cpu_limit(&self) -> Option<u64> {
        let cpu = self.resources()?.cpu.as_ref()?;
        let quota = u64::try_from(cpu.quota?).ok().filter(|&quota| quota > 0)?;
        let period = cpu.period.filter(|&period| period > 0);
        Some(quota.div_ceil(period.unwrap_or(DEFAULT_PERIOD)))
    }

    /// `linux.resources.memory.limit` in bytes, where it limits anything.
    pub fn memory_limit(&self) -> Option<u64> {
        let limit = self.resources()?.memory.as_ref()?.limit?;
        u64::try_from(limit).ok().filter(|&bytes| bytes > 0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_quota_is_so_many_cpus() {
        let limit = |cpu: &str| {
            let text = format!(r#"{{"linux": {{"resources": {{"cpu": {cpu}}}}}}}"#);
            Config::parse(text.as_bytes()).unwrap().cpu_limit()
        };
        assert_eq!(limit(r#"{"quota": 200000, "period": 100000}"#), Some(2));
        assert_eq!(limit(r#"{"quota": 150000, "period": 100000}"#), Some(2));
        assert_eq!(limit(r#"{"quota": 1000, "period": 100000}"#), Some(1));
        assert_eq!(limit(r#"{"quota": 300000}"#), Some(3));
        assert_eq!(limit(r#"{"quota": 300000, "period": 0}"#), Some(3));
        for none in ["{}", "null", r#"{"quota": -1}"#, r#"{"quota": 0}"#] {
            assert_eq!(limit(none), None, "{none}");
        }
    }

    fn nodes(rules: &str) -> Vec<BlockNode> {
        let text = format!(
            r#"{{"linux": {{
                "devices": [
                    null,
                    {{"path": "/dev/fuse", "type": "c", "major": 10, "minor": 229}},
                    {{"path": "/dev/xvda", "type": "b", "major": 8, "minor": 16}},
                    {{"path": "/dev/none", "type": "b", "major": -1, "minor": 0}}
                ],
                "resources": {{"devices": {rules}}}
            }}}}"#
        );
        Config::parse(text.as_bytes()).unwrap().block_nodes()
    }

    #[test]
    fn the_rules_say_whether_it_may_be_written() {
        for (rules, read_only) in [
            ("null", true),
            (r#"[{"allow": false, "access": "rwm"}]"#, true),
            (r#"[{"allow": true}]"#, false),
            (
                r#"[null, {"allow": true, "type": "b", "major": 8, "minor": 16, "access": "mrw"}]"#,
                false,
            ),
            (
                r#"[{"allow": true, "type": "b", "major": 8, "minor": 16, "access": "mr"}]"#,
                true,
            ),
            (
                r#"[{"allow": true, "type": "b", "major": 8, "minor": 17, "access": "rwm"}]"#,
                true,
            ),
            (r#"[{"allow": true, "type": "c", "access": "rwm"}]"#, true),
            (
                r#"[{"allow": true, "major": 8, "minor": -1}, {"allow": false, "type": "b", "access": "w"}]"#,
                true,
            ),
            (
                r#"[{"allow": false, "access": "rwm"}, {"allow": true, "type": "a", "major": 8}]"#,
                false,
            ),
        ] {
            let nodes = nodes(rules);
            let [node] = &nodes[..] else {
                panic!("{nodes:?}")
            };
            assert_eq!(node.path.to_str(), Some("/dev/xvda"));
            assert_eq!((node.major, node.minor), (8, 16));
            assert_eq!(node.read_only, read_only, "{rules}");
        }
    }
}
