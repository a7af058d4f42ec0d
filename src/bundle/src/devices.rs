//! The block devices that config.json gives to a container: a pod's `volumeDevices` among them.

use std::path::PathBuf;

use serde::Deserialize;

use super::Config;

/// `linux.devices[]` (runtime-spec, config-linux.md).
#[derive(Debug, Deserialize)]
pub struct Device {
    pub path: Option<PathBuf>,
    #[serde(rename = "type")]
    pub kind: Option<String>,
    pub major: Option<i64>,
    pub minor: Option<i64>,
}

/// `linux.resources.devices[]`.
#[derive(Debug, Deserialize)]
pub struct DeviceRule {
    pub allow: Option<bool>,
    /// Without it, and with `a`, of any type.
    #[serde(rename = "type")]
    pub kind: Option<String>,
    /// Without it, any.
    pub major: Option<i64>,
    pub minor: Option<i64>,
    /// Letters of `rwm`; none are all.
    pub access: Option<String>,
}

/// A block device's node in the container.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BlockNode {
    /// As the container sees it.
    pub path: PathBuf,
    pub major: u32,
    pub minor: u32,
    pub read_only: bool,
}

impl Config {
    /// The block devices of `linux.devices`; those that the container's device rules do not let
    /// it write are read-only.
    pub fn block_nodes(&self) -> Vec<BlockNode> {
        let linux = self.linux.as_ref();
        let devices = linux.and_then(|linux| linux.devices.as_deref());
        let devices = devices.unwrap_or_default().iter().flatten();
        let node = |device: &Device| {
            let is_block = device.kind.as_deref() == Some("b");
            let number = |number: Option<i64>| u32::try_from(number?).ok();
            let (major, minor) = (number(device.major)?, number(device.minor)?);
            is_block.then_some(BlockNode {
                path: device.path.clone()?,
                major,
                minor,
                read_only: !self.may_write(major, minor),
            })
        };
        devices.filter_map(node).collect()
    }

    /// Whether the device rules let the container write a block device: the last that speaks of
    /// it decides.
    fn may_write(&self, major: u32, minor: u32) -> bool {
        let linux = self.linux.as_ref();
        let resources = linux.and_then(|linux| linux.resources.as_ref());
        let rules = resources.and_then(|resources| resources.devices.as_deref());
        let rules = rules.unwrap_or_default().iter().flatten();
        let mut of_it = rules.filter(|rule| rule.is_of(major, minor) && rule.is_of_writing());
        of_it
            .next_back()
            .is_some_and(|rule| rule.allow == Some(true))
    }
}

impl DeviceRule {
    fn is_of(&self, major: u32, minor: u32) -> bool {
        // Negative ones are wildcards too (runc 1.1, libcontainer/devices).
        let fits = |rule: Option<i64>, number: u32| {
            rule.is_none_or(|rule| rule < 0 || rule == i64::from(number))
        };
        let kind = self.kind.as_deref().unwrap_or("a");
        let is_kind = matches!(kind, "" | "a" | "b");
        is_kind && fits(self.major, major) && fits(self.minor, minor)
    }

    fn is_of_writing(&self) -> bool {
        let access = self.access.as_deref().unwrap_or_default();
        access.is_empty() || access.contains('w')
    }
}

#[cfg(test)]
mod tests {
    use super::*;

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
