//! A private containerd on a node of its own, driven over CRI as a kubelet
//! would drive it.
//!
//! [`Containerd::start`] takes the runtime to test and makes it the default;
//! runc is there beside it as the runtime handler `runc`, to compare with.

mod api;
mod census;
mod config;
mod container;
mod cri;
mod limits;
mod node;
mod pods;
mod tally;

use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

pub use api::{ContainerState, PodSandboxState, unary};
pub use census::{Census, TEST_ID};
pub use container::{Container, ContainerSpec, Mount};
pub use cri::{Pod, PodSpec};
pub use node::Node;
pub use pods::{Server, ordinary};
pub use tally::Tally;

use super::images::{self, Image};

/// Debian's busybox-static: the pause and the ordinary image are made from it.
pub const BUSYBOX: &str = "/bin/busybox";
/// Whether what a private containerd needs is missing, said aloud with the cure.
pub fn cannot_start() -> bool {
    if !nix::unistd::geteuid().is_root() {
        return super::skip("a private containerd needs root");
    }
    let programs = [
        ("containerd", "containerd"),
        ("ctr", "containerd"),
        ("containerd-shim-runc-v2", "containerd"),
        ("runc", "runc"),
        ("ip", "iproute2"),
        ("tc", "iproute2"),
        ("iptables", "iptables"),
        ("nsenter", "util-linux"),
        ("setpriv", "util-linux"),
        ("unshare", "util-linux"),
        (BUSYBOX, "busybox-static"),
        ("/usr/lib/cni/bridge", "containernetworking-plugins"),
        ("/usr/lib/cni/host-local", "containernetworking-plugins"),
        ("/usr/lib/cni/loopback", "containernetworking-plugins"),
    ];
    is_missing(&programs)
}

/// Whether one of these programs, each with its package, is missing, said aloud.
pub fn is_missing(programs: &[(&str, &str)]) -> bool {
    let missing = programs
        .iter()
        .find(|(program, _)| which::which(program).is_err());
    missing.is_some_and(|(program, package)| {
        super::skip(&format!("{program} is missing: apt-get install {package}"))
    })
}

/// Ethernet's own.
const MTU: u16 = 1500;

/// A running containerd. Dropping it ends it and all that it started; if the
/// test has failed, its log is printed first.
pub struct Containerd {
    daemon: Child,
    node: Node,
    /// runu's configuration, in place of the node's usual file.
    runu_config: Option<PathBuf>,
    /// CRI's calls are made one at a time, on this thread.
    executor: tokio::runtime::Runtime,
}

impl Containerd {
    /// Starts containerd with `runtime_binary` as the `BinaryName` of its
    /// default runtime, and the pause and busybox images in it. Returns when
    /// CRI says that runtime and network are ready.
    pub fn start(runtime_binary: &Path) -> io::Result<Containerd> {
        Containerd::with_mtu(runtime_binary, MTU)
    }

    /// As [`Containerd::start`]; packets on the pods' network may have `mtu` bytes.
    pub fn with_mtu(runtime_binary: &Path, mtu: u16) -> io::Result<Containerd> {
        let node = Node::new()?;
        config::write(&node, runtime_binary, mtu)?;
        let containerd = Containerd {
            daemon: spawn(&node, None)?,
            node,
            runu_config: None,
            executor: tokio::runtime::Builder::new_current_thread()
                .enable_all()
                .build()?,
        };
        containerd.wait_ready()?;
        containerd.import(&images::pause()?)?;
        containerd.import(&images::busybox()?)?;
        Ok(containerd)
    }

    /// Ends containerd with SIGKILL, as a crash would; shims and containers
    /// stay. [`Containerd::restart`] must follow.
    pub fn kill(&mut self) -> io::Result<()> {
        let pid = self.pid_of_daemon()?;
        kill(Pid::from_raw(pid as i32), Signal::SIGKILL)?;
        self.daemon.wait()?;
        Ok(())
    }

    /// Starts containerd again after [`Containerd::kill`]. Returns when it is ready.
    pub fn restart(&mut self) -> io::Result<()> {
        self.daemon = spawn(&self.node, self.runu_config.as_deref())?;
        self.wait_ready()
    }

    /// From here on runu decides by this policy file too, where a pod is new.
    pub fn use_policy(&mut self, policy: &Path) -> io::Result<()> {
        let dir = self.node.dir().join("policy.d");
        fs::create_dir(&dir)?;
        fs::copy(policy, dir.join("site.toml"))?;
        let config = self.node.dir().join("runu.toml");
        fs::write(&config, format!("policy = {dir:?}\n"))?;
        self.runu_config = Some(config);
        self.kill_and_restart()
    }

    /// Brings an image into one of containerd's namespaces.
    pub fn import_into(&self, namespace: &str, image: &Image) -> io::Result<()> {
        let archive = self.node.dir().join("image.tar");
        image.write(&archive)?;
        let mut import = self.ctr(namespace);
        let output = import.args(["image", "import"]).arg(&archive).output()?;
        fs::remove_file(&archive)?;
        if !output.status.success() {
            let error = String::from_utf8_lossy(&output.stderr).into_owned();
            return Err(io::Error::other(format!("ctr image import: {error}")));
        }
        Ok(())
    }

    /// [`Containerd::kill`] and [`Containerd::restart`].
    pub fn kill_and_restart(&mut self) -> io::Result<()> {
        self.kill()?;
        self.restart()
    }

    /// Brings an image in. Returns when CRI knows it too.
    pub fn import(&self, image: &Image) -> io::Result<()> {
        self.import_into("k8s.io", image)?;
        // CRI learns of it by an event.
        poll(Duration::from_secs(10), || {
            self.has_image(&image.name).then_some(())
        })
        .ok_or_else(|| io::Error::other(format!("CRI does not see the image {}", image.name)))
    }

    /// The node that it runs on.
    pub fn node(&self) -> &Node {
        &self.node
    }

    /// [`Node::census`].
    pub fn census(&self) -> io::Result<Census> {
        self.node.census()
    }

    /// [`Node::assert_nothing_left_since`].
    #[track_caller]
    pub fn assert_nothing_left_since(&self, before: &Census) {
        self.node.assert_nothing_left_since(before);
    }

    /// `ctr`, spoken to in one of containerd's namespaces; CRI's is `k8s.io`.
    pub fn ctr(&self, namespace: &str) -> Command {
        let mut ctr = self.node.command("ctr");
        ctr.arg("--address").arg(self.socket());
        ctr.args(["--namespace", namespace]);
        ctr
    }

    /// What `ctr` with these arguments prints in one of containerd's namespaces.
    pub fn ask_ctr(&self, namespace: &str, args: &[&str]) -> io::Result<String> {
        let output = self.ctr(namespace).args(args).output()?;
        if !output.status.success() {
            let error = String::from_utf8_lossy(&output.stderr).into_owned();
            return Err(io::Error::other(format!("ctr {args:?}: {error}")));
        }
        Ok(String::from_utf8_lossy(&output.stdout).into_owned())
    }

    /// containerd's own pid, as the host sees it.
    fn pid_of_daemon(&self) -> io::Result<u32> {
        // The child is nsenter; containerd is the child of that.
        Node::entered(&self.daemon)
    }

    /// Its gRPC socket.
    pub fn socket(&self) -> PathBuf {
        self.node.dir().join("containerd.sock")
    }

    fn wait_ready(&self) -> io::Result<()> {
        poll(Duration::from_secs(30), || self.is_ready().then_some(()))
            .ok_or_else(|| io::Error::other(format!("containerd is not ready:\n{}", self.log())))
    }

    /// The last part of containerd's own log.
    fn log(&self) -> String {
        let log = fs::read_to_string(self.node.dir().join("log")).unwrap_or_default();
        let lines: Vec<_> = log.lines().collect();
        lines[lines.len().saturating_sub(60)..].join("\n")
    }
}

impl Drop for Containerd {
    fn drop(&mut self) {
        if std::thread::panicking() {
            eprintln!("--- the end of containerd's log\n{}\n---", self.log());
        }
        // The node's end would end it too, but nsenter is ours to wait for.
        if self.kill().is_err() {
            let _ = self.daemon.kill();
            let _ = self.daemon.wait();
        }
    }
}

fn spawn(node: &Node, runu_config: Option<&Path>) -> io::Result<Child> {
    let log = File::options()
        .create(true)
        .append(true)
        .open(node.dir().join("log"))?;
    node.command("containerd")
        .arg("--config")
        .arg(node.dir().join("config.toml"))
        // Its shims inherit it, and runu theirs.
        .envs(runu_config.map(|config| ("RUNU_CONFIG", config)))
        .stdin(Stdio::null())
        .stdout(log.try_clone()?)
        .stderr(log)
        .spawn()
}

/// Asks until there is an answer, for `limit` at most.
pub fn poll<T>(limit: Duration, mut ask: impl FnMut() -> Option<T>) -> Option<T> {
    let end = Instant::now() + limit;
    loop {
        if let Some(answer) = ask() {
            return Some(answer);
        }
        if Instant::now() > end {
            return None;
        }
        std::thread::sleep(Duration::from_millis(20));
    }
}
