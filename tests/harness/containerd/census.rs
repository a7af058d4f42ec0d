//! What there is on a node, counted: taken before and after, the difference
//! is what a runtime left behind.

use std::collections::BTreeMap;
use std::fmt;
use std::fs;
use std::io;
use std::net::IpAddr;
use std::path::{Path, PathBuf};

use super::node::Node;

/// Directories that hold images: blobs are named as containers are.
const OF_IMAGES: &[&str] = &[
    "io.containerd.content.v1.content",
    "io.containerd.snapshotter.v1.overlayfs",
    "%images",
];

/// How a container's name begins where a test gives it.
pub const TEST_ID: &str = "runu-test-";

/// Things of a node and how many there are of each.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Census(BTreeMap<String, usize>);

impl Census {
    /// Processes, mounts, network devices and names, cgroups, and the state
    /// that containerd, runc, runu and CNI keep for each container.
    pub(super) fn take(node: &Node) -> io::Result<Census> {
        let mut census = Census::default();
        census.processes(&node.path("/proc"))?;
        census.mounts(node.init())?;
        census.network_devices(node.init())?;
        for cgroup in cgroups_under(node.cgroup()) {
            // The parent itself stays: it is the node's; podman keeps one for every conmon.
            let parent = cgroup.ends_with(node.cgroup().trim_start_matches('/'));
            if !parent && !cgroup.ends_with("conmon") {
                census.add("cgroup", cgroup.display());
            }
        }
        for root in ["/run", "/var/lib/cni", "/var/lib/containers"] {
            census.state(&node.path(root))?;
        }
        census.state(node.dir())?;
        Ok(census)
    }

    fn add(&mut self, kind: &str, what: impl fmt::Display) {
        *self.0.entry(format!("{kind} {what}")).or_default() += 1;
    }

    fn processes(&mut self, proc: &Path) -> io::Result<()> {
        for entry in fs::read_dir(proc)? {
            let entry = entry?;
            if entry.file_name().to_string_lossy().parse::<u32>().is_err() {
                continue;
            }
            // A process that has gone since is not there.
            let Ok(cmdline) = fs::read(entry.path().join("cmdline")) else {
                continue;
            };
            let Ok(comm) = fs::read_to_string(entry.path().join("comm")) else {
                continue;
            };
            let cmdline = String::from_utf8_lossy(&cmdline).replace('\0', " ");
            self.add(
                "process",
                format_args!("{} ({})", comm.trim(), cmdline.trim()),
            );
        }
        Ok(())
    }

    fn mounts(&mut self, pid: u32) -> io::Result<()> {
        for line in fs::read_to_string(format!("/proc/{pid}/mountinfo"))?.lines() {
            // proc(5): the fifth field is the mount point.
            if let Some(point) = line.split(' ').nth(4) {
                self.add("mount", point);
            }
        }
        Ok(())
    }

    fn network_devices(&mut self, pid: u32) -> io::Result<()> {
        for line in fs::read_to_string(format!("/proc/{pid}/net/dev"))?.lines() {
            if let Some((device, _)) = line.split_once(':') {
                self.add("network device", device.trim());
            }
        }
        Ok(())
    }

    /// Files and directories that belong to one container or one pod: those with
    /// an ID or an address in their names. Directories that are made once and kept
    /// (`/run/containerd/runc/k8s.io`) are not.
    fn state(&mut self, dir: &Path) -> io::Result<()> {
        let Ok(entries) = fs::read_dir(dir) else {
            return Ok(()); // gone since
        };
        for entry in entries {
            let entry = entry?;
            let name = entry.file_name().to_string_lossy().into_owned();
            if OF_IMAGES.contains(&name.as_str()) {
                continue;
            }
            if names_one_container(&name) {
                self.add("state", entry.path().display());
            } else if entry.file_type()?.is_dir() {
                self.state(&entry.path())?;
            }
        }
        Ok(())
    }

    /// What is in `self` and was not in `before`, and the other way round;
    /// empty when both are the same.
    pub fn since(&self, before: &Census) -> Vec<String> {
        let keys = self.0.keys().chain(before.0.keys());
        let mut lines: Vec<_> = keys
            .filter_map(|key| {
                let count = |census: &Census| census.0.get(key).copied().unwrap_or(0);
                let (then, now) = (count(before), count(self));
                (then != now).then(|| format!("{key}: {then} before, {now} after"))
            })
            .collect();
        lines.sort();
        lines.dedup();
        lines
    }
}

/// An ID that a caller makes is 64 hexadecimal digits (CNI's results have it
/// within their names, a network namespace's is `cni-` and a UUID); one that a
/// test gives begins with [`TEST_ID`]; the name of a lease of CNI's host-local is
/// its address.
fn names_one_container(name: &str) -> bool {
    let id = name
        .split(|c: char| !c.is_ascii_hexdigit())
        .any(|run| run.len() == 64);
    let given = name.starts_with(TEST_ID) || name.starts_with("cni-");
    id || given || name.parse::<IpAddr>().is_ok()
}

/// The cgroup directories beneath `cgroup` (a path from the root, without it) in
/// every hierarchy that is mounted; a parent stands before its children.
pub fn cgroups_under(cgroup: &str) -> Vec<PathBuf> {
    let root = Path::new("/sys/fs/cgroup");
    let mut found = Vec::new();
    let hierarchies = subdirs(root);
    for hierarchy in hierarchies.iter().map(PathBuf::as_path).chain([root]) {
        let top = hierarchy.join(cgroup.trim_start_matches('/'));
        if top.is_dir() {
            found.push(top.clone());
            descend(&top, &mut found);
        }
    }
    found
}

fn descend(dir: &Path, found: &mut Vec<PathBuf>) {
    for dir in subdirs(dir) {
        found.push(dir.clone());
        descend(&dir, found);
    }
}

fn subdirs(dir: &Path) -> Vec<PathBuf> {
    let Ok(entries) = fs::read_dir(dir) else {
        return Vec::new();
    };
    entries
        .flatten()
        .filter(|e| e.file_type().is_ok_and(|t| t.is_dir()))
        .map(|e| e.path())
        .collect()
}
