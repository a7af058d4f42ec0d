//! What containerd and CNI's plugins are told on a node.

use std::fs;
use std::io;
use std::path::Path;

use super::node::{self, Node};
use crate::images;

/// Where Debian's containernetworking-plugins puts them.
const CNI_BIN: &str = "/usr/lib/cni";

/// Writes all of it into the node's directory; `runtime_binary` is the default runtime.
pub(super) fn write(node: &Node, runtime_binary: &Path, mtu: u16) -> io::Result<()> {
    fs::create_dir(node.dir().join("cni"))?;
    fs::write(node.dir().join("cni/10-runu.conf"), cni(node, mtu))?;
    let config = containerd(node, runtime_binary);
    fs::write(node.dir().join("config.toml"), config)
}

/// containerd's configuration, version 2 (containerd-config.toml(5), and
/// docs/cri/config.md of containerd 1.6).
fn containerd(node: &Node, runtime_binary: &Path) -> String {
    let dir = node.dir().display();
    let runtime = |name: &str, binary: &Path| {
        format!(
            r#"
[plugins."io.containerd.grpc.v1.cri".containerd.runtimes.{name}]
runtime_type = "io.containerd.runc.v2"
# `*` does not cross a slash.
pod_annotations = ["runu.dev/*"]
[plugins."io.containerd.grpc.v1.cri".containerd.runtimes.{name}.options]
BinaryName = "{}"
"#,
            binary.display()
        )
    };
    format!(
        r#"version = 2
root = "{dir}/root"
state = "{dir}/state"
# Not needed, and each with something of its own: /opt/containerd, devices, a network.
disabled_plugins = [
  "io.containerd.internal.v1.opt",
  "io.containerd.internal.v1.tracing",
  "io.containerd.snapshotter.v1.aufs",
  "io.containerd.snapshotter.v1.btrfs",
  "io.containerd.snapshotter.v1.devmapper",
  "io.containerd.snapshotter.v1.zfs",
  "io.containerd.tracing.processor.v1.otlp",
]
[grpc]
address = "{socket}"
[plugins."io.containerd.grpc.v1.cri"]
sandbox_image = "{pause}"
stream_server_address = "127.0.0.1"
stream_server_port = "0"
disable_apparmor = true
# A root without CAP_SYS_RESOURCE cannot lower it.
restrict_oom_score_adj = true
[plugins."io.containerd.grpc.v1.cri".cni]
bin_dir = "{CNI_BIN}"
conf_dir = "{dir}/cni"
[plugins."io.containerd.grpc.v1.cri".containerd]
default_runtime_name = "runu"
{runu}{runc}"#,
        socket = node.dir().join("containerd.sock").display(),
        pause = images::PAUSE,
        runu = runtime("runu", runtime_binary),
        runc = runtime("runc", &which::which("runc").unwrap_or("runc".into())),
    )
}

/// CNI's bridge plugin with addresses from a file (cni.dev, "bridge" and "host-local").
fn cni(node: &Node, mtu: u16) -> String {
    serde_json::json!({
        "cniVersion": "0.4.0",
        "name": "runu",
        "type": "bridge",
        "bridge": node::BRIDGE,
        "isGateway": true,
        "mtu": mtu,
        "ipam": {
            "type": "host-local",
            "subnet": node::SUBNET,
            "dataDir": node.dir().join("leases"),
        },
    })
    .to_string()
}
