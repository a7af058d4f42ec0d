//! The block devices that config.json gives to a container: a pod's `volumeDevices` among them.

use std::path::PathBuf;

use serde::Deserialize;

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
    /// The driver's number.
    pub major: u32,
    /// The device's, among the driver's.
    pub minor: u32,
    /// Whether the container may not write it.
    pub read_only: bool,
}

/// The block devices among `devices`; those that `rules` do not let the container write are
/// read-only.
pub(crate) fn block_nodes(
    devices: &[Option<Device>],
    rules: &[Option<DeviceRule>],
) -> Vec<BlockNode> {
    let node = |device: &Device| {
        let is_block = device.kind.as_deref() == Some("b");
        let number = |number: Option<i64>| u32::try_from(number?).ok();
        let (major, minor) = (number(device.major)?, number(device.minor)?);
        is_block.then_some(BlockNode {
            path: device.path.clone()?,
            major,
            minor,
            read_only: !may_write(rules, major, minor),
        })
    };
    devices.iter().flatten().filter_map(node).collect()
}

/// Whether the rules let the container write a block device: the last that speaks of it decides.
fn may_write(rules: &[Option<DeviceRule>], major: u32, minor: u32) -> bool {
    let rules = rules.iter().flatten();
    let mut of_it = rules.filter(|rule| rule.is_of(major, minor) && rule.is_of_writing());
    of_it
        .next_back()
        .is_some_and(|rule| rule.allow == Some(true))
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
