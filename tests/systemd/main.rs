//! Containers under systemd's cgroup driver: `--systemd-cgroup`, cgroups v2.

mod limits;

use std::fs::{self, Permissions};
use std::os::unix::fs::{PermissionsExt, chown};
use std::os::unix::process::ExitStatusExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use harness::bundle::Bundle;
use harness::guard::Container;
use harness::program::{Program, wait_for};

/// Whether what these tests need is missing, said aloud.
fn cannot_run() -> bool {
    harness::cannot_boot()
        || (!Path::new("/run/systemd/system").exists()
            && harness::skip("systemd is not the first process: tests/machine/tests.sh --systemd"))
}

/// runu under systemd's driver.
fn runu() -> Program {
    Program::new().with_flag("--systemd-cgroup")
}

fn systemctl(args: &[&str]) -> Output {
    Command::new("systemctl").args(args).output().unwrap()
}

/// A scope of systemd's, by the cgroup that systemd gives it.
struct Scope {
    cgroup: String,
}

impl Scope {
    /// That of `runu-test.slice:test:<name>`.
    fn of(name: &str) -> Self {
        Self {
            cgroup: format!("/runu.slice/runu-test.slice/test-{name}.scope"),
        }
    }

    fn dir(&self) -> PathBuf {
        Path::new("/sys/fs/cgroup").join(self.cgroup.trim_start_matches('/'))
    }

    /// A file of the cgroup's.
    fn file(&self, name: &str) -> String {
        let path = self.dir().join(name);
        let text = fs::read_to_string(&path).unwrap_or_else(|e| panic!("{}: {e}", path.display()));
        text.trim().to_owned()
    }

    /// What systemd says of it.
    fn property(&self, name: &str) -> String {
        let unit = self.cgroup.rsplit('/').next().unwrap();
        let output = systemctl(&["show", "--value", "-p", name, unit]);
        String::from_utf8(output.stdout).unwrap().trim().to_owned()
    }

    #[track_caller]
    fn assert_holds(&self, pid: i32) {
        let cgroup = fs::read_to_string(format!("/proc/{pid}/cgroup")).unwrap();
        assert_eq!(cgroup.trim(), format!("0::{}", self.cgroup));
    }

    /// systemd forgets a unit a little after its last process.
    #[track_caller]
    fn assert_gone(&self) {
        wait_for(&format!("{} to be forgotten", self.cgroup), || {
            (self.property("LoadState") == "not-found").then_some(())
        });
        assert!(!self.dir().exists(), "{} is left", self.cgroup);
    }
}

/// Puts a bundle into the scope of its name.
fn scoped(bundle: Bundle, name: &str) -> Bundle {
    let path = format!("runu-test.slice:test:{name}");
    bundle.with(|config| config["linux"]["cgroupsPath"] = path.into())
}

fn unikernel(name: &str) -> Bundle {
    scoped(Bundle::unikernel(name, "spin", "pvh", &["spin"]), name)
}

fn ordinary(name: &str) -> Bundle {
    scoped(
        Bundle::busybox(name, &["/bin/busybox", "sleep", "1000"]),
        name,
    )
}

#[test]
fn from_create_to_delete() {
    if cannot_run() {
        return;
    }
    for (name, bundle) in [("ours", unikernel("ours")), ("theirs", ordinary("theirs"))] {
        let program = runu();
        let container = Container::new(&program, name, &bundle);
        let created = container.create();
        assert_eq!(created.code, 0, "{}", created.stderr);
        let scope = Scope::of(name);
        scope.assert_holds(container.pid());
        assert_eq!(program.state(name)["status"], "created");
        program.ok(&["start", name]);
        program.wait_status(name, "running");
        assert_eq!(scope.file("memory.max"), (64 << 20).to_string());

        program.ok(&["pause", name]);
        assert_eq!(program.state(name)["status"], "paused");
        assert_eq!(scope.file("cgroup.freeze"), "1");
        program.ok(&["resume", name]);
        assert_eq!(program.state(name)["status"], "running");
        assert_eq!(scope.file("cgroup.freeze"), "0");

        program.ok(&["kill", name, "KILL"]);
        assert_eq!(container.wait(), 137);
        program.ok(&["delete", name]);
        scope.assert_gone();
        program.assert_nothing_left(name, &bundle);
    }
}

/// containerd deletes so after its shim's death: without the flag.
#[test]
fn delete_by_force_needs_no_flag() {
    if cannot_run() {
        return;
    }
    let program = Program::new();
    let bundle = unikernel("dead-shim");
    let container = Container::new(&program, "dead-shim", &bundle);
    let mut create = program.command(&["--systemd-cgroup", "create", "--bundle"]);
    create.arg(bundle.path()).arg("dead-shim");
    let created = program.capture(&mut create);
    assert_eq!(created.code, 0, "{}", created.stderr);
    program.ok(&["start", "dead-shim"]);
    program.ok(&["delete", "--force", "dead-shim"]);
    Scope::of("dead-shim").assert_gone();
    program.assert_nothing_left("dead-shim", &bundle);
    drop(container);
}

#[test]
fn a_create_that_fails_leaves_no_scope() {
    if cannot_run() {
        return;
    }
    let program = runu();
    let long = "x".repeat(100_000);
    let bundle = scoped(
        Bundle::unikernel("toolong", "hello", "pvh", &["hello", &long]),
        "toolong",
    );
    let outcome = Container::new(&program, "toolong", &bundle).create();
    assert_eq!(outcome.code, 1);
    assert!(
        outcome.stderr.contains("command line"),
        "{}",
        outcome.stderr
    );
    Scope::of("toolong").assert_gone();
    program.assert_nothing_left("toolong", &bundle);
}

/// A pod's slice as the kubelet names it: systemd makes the slices above it.
#[test]
fn a_pods_slice_is_nested() {
    if cannot_run() {
        return;
    }
    let program = runu();
    for (name, bundle) in [("1111", unikernel("1111")), ("2222", ordinary("2222"))] {
        let path = format!("kubepods-besteffort-podabc_def.slice:cri-containerd:{name}");
        let bundle = bundle.with(|config| config["linux"]["cgroupsPath"] = path.into());
        let container = Container::new(&program, name, &bundle);
        container.start();
        let scope = Scope {
            cgroup: format!(
                "/kubepods.slice/kubepods-besteffort.slice/\
                 kubepods-besteffort-podabc_def.slice/cri-containerd-{name}.scope"
            ),
        };
        scope.assert_holds(container.pid());
        program.ok(&["delete", "--force", name]);
        scope.assert_gone();
    }
}

#[test]
fn without_a_path_it_is_a_scope_of_systems() {
    if cannot_run() {
        return;
    }
    let program = runu();
    for (prefix, name, bundle) in [
        ("runu", "pathless-u", unikernel("pathless-u")),
        ("runc", "pathless-o", ordinary("pathless-o")),
    ] {
        let bundle = bundle.with(|config| config["linux"]["cgroupsPath"] = "".into());
        let container = Container::new(&program, name, &bundle);
        container.start();
        let scope = Scope {
            cgroup: format!("/system.slice/{prefix}-{name}.scope"),
        };
        scope.assert_holds(container.pid());
        program.ok(&["delete", "--force", name]);
        scope.assert_gone();
    }
}

#[test]
fn a_path_of_the_other_driver_is_refused_in_runcs_words() {
    if cannot_run() {
        return;
    }
    let program = runu();
    for path in ["/a/path", "a:b", "a:b:c:d"] {
        for bundle in [unikernel("wrong"), ordinary("wrong")] {
            let bundle = bundle.with(|config| config["linux"]["cgroupsPath"] = path.into());
            let outcome = Container::new(&program, "wrong", &bundle).create();
            assert_eq!(outcome.code, 1, "{path}");
            let words = format!(
                "expected cgroupsPath to be of format \"slice:prefix:name\" for systemd cgroups, got \"{path}\" instead"
            );
            assert!(outcome.stderr.contains(&words), "{}", outcome.stderr);
        }
    }
}

#[test]
fn delete_ends_all_that_is_in_the_cgroup() {
    if cannot_run() {
        return;
    }
    let plain = Scope {
        cgroup: "/runu-test-crowd".to_owned(),
    };
    let bare = Bundle::unikernel("crowd", "spin", "pvh", &["spin"]);
    for (program, bundle, scope) in [
        (runu(), unikernel("crowd"), Scope::of("crowd")),
        (Program::new(), bare, plain),
    ] {
        let container = Container::new(&program, "crowd", &bundle);
        container.start();
        let mut other = Command::new("sleep").arg("1000").spawn().unwrap();
        fs::write(scope.dir().join("cgroup.procs"), other.id().to_string()).unwrap();
        program.ok(&["kill", "crowd", "KILL"]);
        assert_eq!(container.wait(), 137);
        program.ok(&["delete", "crowd"]);
        let ended = wait_for("the other process to end", || other.try_wait().unwrap());
        assert_eq!(ended.signal(), Some(9));
        scope.assert_gone();
    }
}

/// libcontainer takes a path that is not absolute for systemd's, where the container
/// has a user namespace of its own.
#[test]
fn a_user_namespace_does_not_change_the_driver() {
    if cannot_run() {
        return;
    }
    let program = Program::new();
    let bundle = Bundle::unikernel("userns", "spin", "pvh", &["spin"]).with(|config| {
        let linux = &mut config["linux"];
        linux["cgroupsPath"] = "runu-test-userns".into();
        linux["namespaces"]
            .as_array_mut()
            .unwrap()
            .push(serde_json::json!({ "type": "user" }));
        let all = serde_json::json!([{ "containerID": 0, "hostID": 100_000, "size": 65_536 }]);
        linux["uidMappings"] = all.clone();
        linux["gidMappings"] = all;
    });
    fs::set_permissions(bundle.path(), Permissions::from_mode(0o755)).unwrap();
    chown(bundle.rootfs(), Some(100_000), Some(100_000)).unwrap();
    let container = Container::new(&program, "userns", &bundle);
    container.start();
    let scope = Scope {
        cgroup: "/runu-test-userns".to_owned(),
    };
    scope.assert_holds(container.pid());
    program.ok(&["delete", "--force", "userns"]);
    program.assert_nothing_left("userns", &bundle);
}
