//! dockerd, with runu as its default runtime, and the client `docker`.

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use serde_json::{Value, json};

use crate::caller::{Caller, call, ok};
use harness::containerd::{self, Containerd, Node};
use harness::images::Image;
use harness::program::wait_for;

/// Debian's, whatever else lies in PATH.
const DOCKER: &str = "/usr/bin/docker";
const DOCKERD: &str = "/usr/sbin/dockerd";

/// Whether something that dockerd needs is missing, said aloud with the cure.
pub fn cannot_start() -> bool {
    let programs = [(DOCKER, "docker.io"), (DOCKERD, "docker.io")];
    containerd::cannot_start() || containerd::is_missing(&programs)
}

pub struct Docker {
    daemon: Child,
    containerd: Containerd,
}

impl Docker {
    /// One that makes no network.
    pub fn start() -> Self {
        Self::configured(json!({ "bridge": "none", "iptables": false, "ip-forward": false }))
    }

    /// One that makes its own bridge, and lets packets pass.
    pub fn with_network() -> Self {
        Self::configured(json!({}))
    }

    fn configured(network: Value) -> Self {
        // With runc as its own default: what is run by runu is dockerd's doing.
        let runc = which::which("runc").unwrap();
        let containerd = Containerd::start(&runc).unwrap();
        let file = containerd.node().dir().join("daemon.json");
        fs::write(file, configuration(&containerd, network)).unwrap();
        let docker = Self {
            daemon: spawn(containerd.node()),
            containerd,
        };
        docker.wait_ready();
        docker
    }

    fn wait_ready(&self) {
        wait_for("dockerd to be ready", || {
            let mut info = self.client();
            info.arg("info");
            (call(info).code == 0).then_some(())
        });
    }
}

impl Caller for Docker {
    fn node(&self) -> &Node {
        self.containerd.node()
    }

    fn client(&self) -> Command {
        let mut docker = self.node().command(DOCKER);
        docker
            .env("DOCKER_CONFIG", self.node().dir().join("docker"))
            .args(["--host", &socket(self.node().dir())]);
        docker
    }

    fn root(&self) -> PathBuf {
        // By the type of the shim, not by the runtime's name.
        self.node().dir().join("exec/runtime-runc/moby")
    }

    fn import(&self, image: &Image) {
        let archive = self.node().dir().join("rootfs.tar");
        image.write_rootfs(&archive).unwrap();
        let mut import = self.client();
        let cmd = format!("CMD {}", json!(image.cmd));
        import.args(["import", "--change", &cmd]);
        import.arg(&archive).arg(&image.name);
        ok(import);
        fs::remove_file(&archive).unwrap();
    }

    fn crash(&mut self) {
        let pid = Node::entered(&self.daemon).unwrap();
        kill(Pid::from_raw(pid as i32), Signal::SIGKILL).unwrap();
        self.daemon.wait().unwrap();
    }

    fn restart(&mut self) {
        self.daemon = spawn(self.node());
        self.wait_ready();
    }

    /// dockerd reads the output itself, and a pipe that both ends have left is empty:
    /// so it is with runc too.
    fn keeps_last_words(&self) -> bool {
        false
    }
}

impl Drop for Docker {
    fn drop(&mut self) {
        if std::thread::panicking() {
            let log = fs::read_to_string(self.node().dir().join("dockerd.log"));
            eprintln!("--- dockerd's log\n{}\n---", log.unwrap_or_default());
        }
        if let Ok(pid) = Node::entered(&self.daemon) {
            let _ = kill(Pid::from_raw(pid as i32), Signal::SIGKILL);
        }
        let _ = self.daemon.wait();
    }
}

fn spawn(node: &Node) -> Child {
    let log = File::options()
        .create(true)
        .append(true)
        .open(node.dir().join("dockerd.log"))
        .unwrap();
    node.command(DOCKERD)
        .arg("--config-file")
        .arg(node.dir().join("daemon.json"))
        .stdin(Stdio::null())
        .stdout(log.try_clone().unwrap())
        .stderr(log)
        .spawn()
        .unwrap()
}

fn socket(dir: &Path) -> String {
    format!("unix://{}/docker.sock", dir.display())
}

/// dockerd's configuration: what `dockerd --help` has as flags, those of its network given. Its
/// containers outlive it (`live-restore`).
fn configuration(containerd: &Containerd, network: Value) -> String {
    let node = containerd.node();
    let dir = node.dir();
    let mut configuration = json!({
        "runtimes": { "runu": { "path": harness::runu() } },
        "default-runtime": "runu",
        "live-restore": true,
        "containerd": containerd.socket(),
        "data-root": dir.join("data"),
        "exec-root": dir.join("exec"),
        "pidfile": dir.join("docker.pid"),
        "hosts": [socket(dir)],
        "cgroup-parent": node.cgroup(),
        "storage-driver": "vfs",
        // A root without CAP_SYS_RESOURCE cannot lower it.
        "oom-score-adjust": 0,
    });
    for (name, value) in network.as_object().unwrap() {
        configuration[name] = value.clone();
    }
    configuration.to_string()
}
