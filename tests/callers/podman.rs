//! podman. It has no daemon: each call is a podman of its own, and conmon stays with
//! the container.

use std::fs;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

use crate::caller::{Caller, Mode, ok};
use crate::kind::Workload;
use harness::containerd::{self, Node};
use harness::images::Image;
use harness::program::wait_for;

/// Whether something that podman needs is missing, said aloud with the cure.
pub fn cannot_start() -> bool {
    let programs = [("podman", "podman"), ("conmon", "conmon")];
    containerd::cannot_start() || containerd::is_missing(&programs)
}

pub struct Podman {
    node: Node,
    /// Clients that stay with their containers.
    attached: Vec<Child>,
}

impl Podman {
    pub fn start() -> Self {
        Self {
            node: Node::new().unwrap(),
            attached: Vec::new(),
        }
    }
}

impl Caller for Podman {
    fn node(&self) -> &Node {
        &self.node
    }

    fn client(&self) -> Command {
        let mut podman = self.node.command("podman");
        let dirs = [
            ("--root", "root"),
            ("--runroot", "runroot"),
            ("--tmpdir", "tmp"),
            ("--network-config-dir", "networks"),
        ];
        for (flag, dir) in dirs {
            podman.arg(flag).arg(self.node.dir().join(dir));
        }
        podman.arg("--runtime").arg(harness::runu());
        // Its overlay's own mount comes and goes as its calls do.
        podman.args(["--storage-driver", "vfs"]);
        // The others are systemd's and the journal's.
        podman.args(["--cgroup-manager", "cgroupfs", "--events-backend", "none"]);
        podman
    }

    fn root(&self) -> PathBuf {
        PathBuf::from("/run/runc") // podman gives none
    }

    fn import(&self, image: &Image) {
        let archive = self.node.dir().join("image.tar");
        image.write(&archive).unwrap();
        let mut load = self.client();
        load.args(["load", "--input"]).arg(&archive);
        ok(load);
        fs::remove_file(&archive).unwrap();
    }

    fn run_flags(&self) -> Vec<String> {
        [
            "--cgroup-parent",
            self.node.cgroup(),
            "--log-driver",
            "k8s-file",
            // A root without CAP_SYS_RESOURCE cannot raise them.
            "--ulimit",
            "nofile=1024:1024",
            "--ulimit",
            "nproc=1000:1000",
            // Its tmpfs has an option of runc's own, `tmpcopyup`.
            "--tmpfs",
            "/scratch",
        ]
        .map(str::to_owned)
        .to_vec()
    }

    fn run_by_what_crashes(&mut self, name: &str, workload: &Workload) {
        let mut run = self.run_command(name, Mode::Attached, workload);
        run.stdin(Stdio::null()).stdout(Stdio::null());
        self.attached.push(run.spawn().unwrap());
        wait_for(&format!("{name} to run"), || {
            let names = self.verb(&["ps", "--format", "{{.Names}}"]);
            names.lines().any(|line| line == name).then_some(())
        });
    }

    fn crash(&mut self) {
        for mut client in self.attached.drain(..) {
            let pid = Node::entered(&client).unwrap();
            kill(Pid::from_raw(pid as i32), Signal::SIGKILL).unwrap();
            client.wait().unwrap();
        }
    }

    fn restart(&mut self) {} // the next call does
}
