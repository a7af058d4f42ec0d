//! A node of its own for one caller of runtimes (containerd, dockerd, podman):
//! fresh pid, mount and network namespaces, an own `/run`, one bridge.
//!
//! Whatever runs in it ends with its first process, and that one ends with the
//! test's thread, so that nothing survives a test however the test ends.

use std::fs;
use std::io::{self, BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use tempfile::TempDir;

use super::census::Census;
use crate::netns;

/// The node's bridge; pods get their addresses from [`SUBNET`].
pub const BRIDGE: &str = "runu0";
/// Exists in the node's network namespace only.
pub const SUBNET: &str = "10.88.77.0/24";

/// What the node's first process does: an own /run (runc's, runu's and
/// containerd's state, names of network namespaces), own directories where callers
/// write whatever they are told (CNI's leases, podman's locks and its cache),
/// the network, then sleep. It ignores SIGCHLD so that the kernel reaps the
/// orphans, as an init would.
///
/// Where cgroups v1 lie on a tmpfs, that is read-only: podman would make plain
/// directories there for the hierarchies that are not mounted.
const INIT: &str = r#"
for directory in /var/lib/cni /var/lib/containers /dev/shm; do
	mkdir -p "$directory"
	mount -t tmpfs tmpfs "$directory"
done
mount -t tmpfs -o mode=755 tmpfs /run
if [ "$(stat -f -c %T /sys/fs/cgroup)" = tmpfs ]; then
	mount -o remount,bind,ro /sys/fs/cgroup
fi
ip link set lo up
ip link add "$1" type bridge
ip link set "$1" up
echo ready
exec env --ignore-signal=CHLD sleep infinity >/dev/null
"#;

pub struct Node {
    /// `unshare`, which waits for the first process and would kill it with itself.
    unshare: Child,
    /// The first process's pid, as seen from outside.
    init: u32,
    /// A cgroup for the node's pods, in every hierarchy, from its root.
    cgroup: String,
    dir: TempDir,
}

impl Node {
    /// Makes the node. Needs root.
    pub fn new() -> io::Result<Node> {
        // Short: a unix socket's path has 108 bytes.
        let dir = tempfile::Builder::new()
            .prefix("runu-node.")
            .tempdir_in("/tmp")?;
        let name = dir
            .path()
            .file_name()
            .expect("a temporary directory's name");
        let cgroup = format!("/{}", name.to_string_lossy());

        let mut unshare = Command::new("setpriv")
            .args(["--pdeathsig", "KILL"])
            .args(["unshare", "--mount", "--net", "--pid", "--mount-proc"])
            .args(["--fork", "--kill-child=KILL"])
            .args(["sh", "-ec", INIT, "sh", BRIDGE])
            .stdout(Stdio::piped())
            .spawn()?;
        let mut line = String::new();
        let stdout = unshare.stdout.take().expect("stdout is piped");
        BufReader::new(stdout).read_line(&mut line)?;
        if line != "ready\n" {
            unshare.wait()?;
            return Err(io::Error::other(
                "unshare: could not make a node's namespaces",
            ));
        }
        let init = only_child(unshare.id())?;
        Ok(Node {
            unshare,
            init,
            cgroup,
            dir,
        })
    }

    /// A directory for the node's files; gone with the node.
    pub fn dir(&self) -> &Path {
        self.dir.path()
    }

    /// The pods' parent cgroup.
    pub fn cgroup(&self) -> &str {
        &self.cgroup
    }

    /// A command that will run inside the node.
    pub fn command(&self, program: impl AsRef<std::ffi::OsStr>) -> Command {
        let mut command = Command::new("nsenter");
        command
            .args(["--target", &self.init.to_string()])
            .args(["--mount", "--net", "--pid", "--"])
            .arg(program);
        command
    }

    /// The host's pid of the process that `nsenter` (a child made with
    /// [`Node::command`]) runs in the node: it forks to enter a pid namespace.
    pub fn entered(nsenter: &Child) -> io::Result<u32> {
        only_child(nsenter.id())
    }

    /// A path of the node (`/run/...`) as a path that can be opened from outside.
    pub fn path(&self, path: &str) -> PathBuf {
        PathBuf::from(format!("/proc/{}/root{path}", self.init))
    }

    /// Sends `signal` to a process of the node, by the node's own pid for it.
    pub fn signal(&self, pid: i64, signal: &str) -> io::Result<()> {
        let pid = pid.to_string();
        let mut kill = self.command(super::BUSYBOX);
        let status = kill.args(["kill", "-s", signal, &pid]).status()?;
        match status.success() {
            true => Ok(()),
            false => Err(io::Error::other(format!(
                "kill -s {signal} {pid}: {status}"
            ))),
        }
    }

    /// Ends a process of the node by `signal` and waits until it is gone, reaped by its shim.
    pub fn end(&self, pid: i64, signal: &str) -> io::Result<()> {
        self.signal(pid, signal)?;
        match wait_gone(&self.path(&format!("/proc/{pid}"))) {
            true => Ok(()),
            false => Err(io::Error::other(format!("{pid} lives on after {signal}"))),
        }
    }

    /// Does `work` in the node's own network namespace, as the kubelet does.
    pub fn within<T: Send>(&self, work: impl FnOnce() -> T + Send) -> T {
        netns::within(Path::new(&format!("/proc/{}/ns/net", self.init)), work)
    }

    /// Does `work` in the network namespace of a process of the node.
    pub fn within_that_of<T: Send>(&self, pid: i64, work: impl FnOnce() -> T + Send) -> T {
        netns::within(&self.path(&format!("/proc/{pid}/ns/net")), work)
    }

    /// What there is in the network namespace of a process of the node: devices, addresses,
    /// and what is done with packets.
    pub fn network_of(&self, pid: i64) -> io::Result<String> {
        let mut said = String::new();
        for look in [
            "ip -o link",
            "ip -o address",
            "ip route",
            "tc qdisc",
            "tc filter show dev eth0 ingress",
        ] {
            let namespace = format!("--net=/proc/{pid}/ns/net");
            let mut nsenter = self.command("nsenter");
            let output = nsenter.arg(namespace).args(look.split(' ')).output()?;
            if !output.status.success() {
                return Err(io::Error::other(format!("{look}: {output:?}")));
            }
            said += &String::from_utf8_lossy(&output.stdout);
        }
        Ok(said)
    }

    /// Counts all that a runtime could leave behind.
    pub fn census(&self) -> io::Result<Census> {
        Census::take(self)
    }

    /// Waits until all is as it was `before`: shims take a moment to go.
    /// Panics with the difference if that does not happen.
    #[track_caller]
    pub fn assert_nothing_left_since(&self, before: &Census) {
        let mut difference = Vec::new();
        let same = super::poll(std::time::Duration::from_secs(10), || {
            difference = self.census().expect("a census").since(before);
            difference.is_empty().then_some(())
        });
        assert!(same.is_some(), "left behind:\n{}", difference.join("\n"));
    }

    /// The first process's pid, as seen from outside.
    pub fn init(&self) -> u32 {
        self.init
    }
}

impl Drop for Node {
    fn drop(&mut self) {
        // Ends `unshare`, its child (--kill-child), and with that one all
        // processes of the pid namespace; their namespaces and mounts follow.
        let _ = self.unshare.kill();
        let _ = self.unshare.wait();
        wait_gone(Path::new(&format!("/proc/{}", self.init)));
        for cgroup in super::census::cgroups_under(&self.cgroup).iter().rev() {
            let _ = fs::remove_dir(cgroup);
        }
    }
}

/// Whether the process with this directory goes. One that is the init of a namespace is
/// gone only when all the others are: then the cgroups are empty.
fn wait_gone(proc: &Path) -> bool {
    let gone = || (!proc.exists()).then_some(());
    super::poll(std::time::Duration::from_secs(10), gone).is_some()
}

fn only_child(pid: u32) -> io::Result<u32> {
    let children = fs::read_to_string(format!("/proc/{pid}/task/{pid}/children"))?;
    children
        .trim()
        .parse()
        .map_err(|_| io::Error::other(format!("process {pid}: not one child: {children:?}")))
}
