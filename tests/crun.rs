//! crun as the delegate.

use std::path::Path;
use std::process::{Command, Stdio};

use harness::bundle::Bundle;
use harness::guard::Container;
use harness::program::{Outcome, Program};
use serde_json::Value;
use tempfile::TempDir;

/// Says a line, and ends with 3 when it is asked to.
const SHELL: [&str; 4] = [
    "/bin/busybox",
    "sh",
    "-c",
    "trap 'exit 3' TERM; echo up; while :; do /bin/busybox sleep 0.05; done",
];

fn cannot_run() -> bool {
    harness::cannot_boot()
        || (!Path::new("/usr/bin/crun").exists() && harness::skip("/usr/bin/crun is not installed"))
}

/// crun 1.8 refuses a hybrid host: in a mount namespace this one has cgroups v1 alone.
const HOST: &str = "[ ! -d /sys/fs/cgroup/unified ] || mount -t tmpfs none /sys/fs/cgroup/unified || exit; exec \"$@\"";

/// A node whose runtime for ordinary containers is crun.
struct Node {
    program: Program,
    dir: TempDir,
}

impl Node {
    fn new() -> Self {
        let node = Self {
            program: Program::new(),
            dir: tempfile::tempdir().unwrap(),
        };
        node.configure("/usr/bin/crun");
        node
    }

    fn configure(&self, runtime: &str) {
        let text = format!("runtimes = [{runtime:?}]\n");
        std::fs::write(self.dir.path().join("config.toml"), text).unwrap();
    }

    /// The call as podman makes it: without PATH.
    fn on_host(&self, call: &Command) -> Command {
        let mut host = Command::new("/usr/bin/unshare");
        host.args(["--mount", "/bin/sh", "-c", HOST, "sh"])
            .arg(call.get_program())
            .args(call.get_args())
            .env_clear()
            .env("RUNU_CONFIG", self.dir.path().join("config.toml"))
            .stdin(Stdio::null());
        host
    }

    fn call(&self, args: &[&str]) -> Outcome {
        self.program
            .capture(&mut self.on_host(&self.program.command(args)))
    }

    #[track_caller]
    fn ok(&self, args: &[&str]) -> String {
        let outcome = self.call(args);
        assert_eq!(outcome.code, 0, "{args:?}: {outcome:?}");
        outcome.stdout
    }

    fn status(&self, id: &str) -> Value {
        serde_json::from_str::<Value>(&self.ok(&["state", id])).unwrap()["status"].take()
    }

    fn create(&self, container: &Container) {
        let created = container.spawn(&mut self.on_host(&container.create_command()));
        assert_eq!(created.code, 0, "{created:?}");
    }
}

#[test]
fn an_ordinary_container_from_create_to_delete_beside_a_unikernel() {
    if cannot_run() {
        return;
    }
    let node = Node::new();
    let guest = Bundle::unikernel("beside-crun", "spin", "pvh", &["spin"]);
    let unikernel = Container::new(&node.program, "beside-crun", &guest);
    node.create(&unikernel);
    let bundle = Bundle::busybox("cruns", &SHELL);
    let container = Container::new(&node.program, "cruns", &bundle);
    node.create(&container);
    assert!(
        node.program.root().join("cruns/status").exists(),
        "crun has it"
    );
    assert_eq!(node.status("cruns"), "created");
    node.ok(&["start", "cruns"]);
    container.wait_output("up");
    let exec = node.call(&[
        "exec",
        "cruns",
        "/bin/busybox",
        "sh",
        "-c",
        "echo in; exit 5",
    ]);
    assert_eq!((exec.code, &*exec.stdout), (5, "in\n"), "{exec:?}");
    let mut ids: Vec<_> = node
        .ok(&["list", "-q"])
        .lines()
        .map(str::to_owned)
        .collect();
    ids.sort();
    assert_eq!(ids, ["beside-crun", "cruns"]);
    node.ok(&["kill", "cruns", "TERM"]);
    assert_eq!(container.wait(), 3);
    assert_eq!(node.status("cruns"), "stopped");
    node.ok(&["delete", "cruns"]);
    node.ok(&["delete", "beside-crun"]);
    node.program.assert_nothing_left("cruns", &bundle);
    node.program.assert_nothing_left("beside-crun", &guest);
    assert_eq!(node.call(&["state", "cruns"]).code, 1);
}

/// Without `--root` crun's state is not where runc's is.
#[test]
fn an_id_of_cruns_is_nobody_elses() {
    if cannot_run() {
        return;
    }
    let node = Node::new();
    let run = tempfile::tempdir().unwrap();
    let bare = |verb: &[&str]| {
        let mut call = Command::new(harness::runu());
        let mut command = node.on_host(call.args(verb));
        node.program
            .capture(command.env("XDG_RUNTIME_DIR", run.path()))
    };
    let ordinary = Bundle::busybox("cruns-own", &SHELL);
    let theirs = [
        "create",
        "--bundle",
        ordinary.path().to_str().unwrap(),
        "cruns-own",
    ];
    let created = bare(&theirs);
    let _end = End(run.path());
    assert_eq!(created.code, 0, "{created:?}");
    assert!(run.path().join("crun/cruns-own").exists());

    let guest = Bundle::unikernel("cruns-own", "spin", "pvh", &["spin"]);
    let again = bare(&[
        "create",
        "--bundle",
        guest.path().to_str().unwrap(),
        "cruns-own",
    ]);
    assert_eq!(again.code, 1);
    assert!(
        again
            .stderr
            .contains("container with given ID already exists"),
        "{again:?}"
    );

    // crun is gone, its container is not.
    node.configure("/nowhere/crun");
    let deleted = bare(&["delete", "--force", "cruns-own"]);
    assert_eq!(deleted.code, 1, "{deleted:?}");
    assert!(
        deleted
            .stderr
            .contains("no runtime for ordinary containers"),
        "{deleted:?}"
    );
    let other = bare(&["delete", "--force", "nobodys"]);
    assert_eq!(other.code, 0, "{other:?}");
}

/// Deletes the container by crun itself.
struct End<'a>(&'a Path);

impl Drop for End<'_> {
    fn drop(&mut self) {
        let mut crun = Command::new("/usr/bin/crun");
        crun.args(["delete", "--force", "cruns-own"]);
        let _ = crun.env("XDG_RUNTIME_DIR", self.0).status();
    }
}
