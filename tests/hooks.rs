//! Hooks: what each is told, and what comes of one that fails.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use harness::bundle::Bundle;
use harness::guard::Container;
use harness::program::Program;
use serde_json::{Value, json};

/// A hook that writes the state on its stdin to `DIR/KIND`, and its arguments
/// and environment to `DIR/KIND.args`.
fn recorder(dir: &Path) -> PathBuf {
    let path = dir.join("hook.sh");
    let script = format!(
        "#!/bin/sh\ncat >'{0}'/$KIND\necho \"$0 $*\" >'{0}'/$KIND.args\n",
        dir.display()
    );
    fs::write(&path, script).unwrap();
    fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).unwrap();
    path
}

#[test]
fn each_is_told_the_state_and_the_callers_bundle() {
    if harness::cannot_boot() {
        return;
    }
    let dir = tempfile::tempdir().unwrap();
    let hook = recorder(dir.path());
    let kinds = [
        ("prestart", "creating"),
        ("createRuntime", "creating"),
        ("createContainer", "creating"),
        ("poststart", "running"),
        ("poststop", "stopped"),
    ];
    let program = Program::new();
    let bundle = Bundle::unikernel("hooked", "spin", "pvh", &["spin"]).with(|config| {
        config["annotations"]["org.example.note"] = "kept".into();
        for (kind, _) in kinds {
            let env = [format!("KIND={kind}"), "PATH=/usr/bin:/bin".to_owned()];
            let args = ["hook", "--flag", "a b"];
            config["hooks"][kind] = json!([{ "path": hook, "args": args, "env": env }]);
        }
    });
    // Inside, the container's own files are in sight.
    bundle.add("/bin/busybox", Path::new("/bin/busybox"));
    let script = "/bin/busybox cat >/told; echo $FROM >/environment";
    let bundle = bundle.with(|config| {
        config["process"]["env"] = json!(["FROM=the container"]);
        config["hooks"]["startContainer"] =
            json!([{ "path": "/bin/busybox", "args": ["sh", "-c", script] }]);
    });
    let container = Container::new(&program, "hooked", &bundle);
    container.start();
    container.wait_output("spinning");
    let pid = container.pid();
    let inside = |name: &str| fs::read_to_string(bundle.rootfs().join(name)).unwrap();
    let told: Value = serde_json::from_str(&inside("told")).unwrap();
    assert_eq!((&told["id"], &told["pid"]), (&"hooked".into(), &1.into()));
    assert_eq!(told["status"], "created");
    assert_eq!(told["bundle"], bundle.path().to_str().unwrap());
    assert_eq!(told["annotations"]["org.example.note"], "kept");
    assert_eq!(inside("environment"), "the container\n");
    program.ok(&["delete", "--force", "hooked"]);
    for (kind, status) in kinds {
        let read = |name: &str| fs::read_to_string(dir.path().join(name)).unwrap();
        let state: Value = serde_json::from_str(&read(kind)).unwrap();
        assert_eq!(state["id"], "hooked", "{kind}");
        assert_eq!(state["status"], status, "{kind}");
        assert_eq!(state["bundle"], bundle.path().to_str().unwrap(), "{kind}");
        assert_eq!(state["annotations"]["org.example.note"], "kept", "{kind}");
        // createContainer's runs in the container's own pid namespace.
        let seen = if kind == "createContainer" { 1 } else { pid };
        assert_eq!(state["pid"], seen, "{kind}");
        // A script's own name is its path; the name that the hook was given is lost.
        let args = format!("{} --flag a b\n", hook.display());
        assert_eq!(read(&format!("{kind}.args")), args, "{kind}");
    }
}

#[test]
fn one_that_fails() {
    if harness::cannot_boot() {
        return;
    }
    let program = Program::new();
    for (kind, hook, told) in [
        ("prestart", "/bin/false", "prestart hooks"),
        ("createRuntime", "/bin/false", "create runtime hooks"),
        (
            "createRuntime",
            "/nowhere/hook",
            "hook /nowhere/hook: No such file",
        ),
        ("createContainer", "/bin/false", "create container hooks"),
    ] {
        let bundle = failing(kind, hook);
        let container = Container::new(&program, "unhooked", &bundle);
        let outcome = container.create();
        assert_eq!(outcome.code, 1, "{kind}");
        assert!(outcome.stderr.contains(told), "{kind}: {}", outcome.stderr);
        program.assert_nothing_left("unhooked", &bundle);
    }

    // Nobody waits for this one: the container's stderr tells of it.
    let bundle = failing("startContainer", "/bin/nowhere");
    let container = Container::new(&program, "unhooked", &bundle);
    container.start();
    program.wait_status("unhooked", "stopped");
    let told = container.stderr();
    assert!(told.contains("start container hooks"), "{told:?}");
    assert_eq!(told.lines().count(), 1, "{told:?}");
    program.ok(&["delete", "unhooked"]);
    program.assert_nothing_left("unhooked", &bundle);

    // As under runc, the container that was just started is ended.
    let bundle = failing("poststart", "/bin/false");
    let container = Container::new(&program, "unhooked", &bundle);
    assert_eq!(container.create().code, 0);
    let start = program.call(&["start", "unhooked"]);
    assert!(
        start.code == 1 && start.stderr.contains("hook"),
        "{start:?}"
    );
    assert_eq!(program.state("unhooked")["status"], "stopped");
    program.ok(&["delete", "unhooked"]);
    program.assert_nothing_left("unhooked", &bundle);

    // runtime-spec, "Lifecycle": told, and otherwise as if it had succeeded.
    let bundle = failing("poststop", "/bin/false");
    let container = Container::new(&program, "unhooked", &bundle);
    assert_eq!(container.create().code, 0);
    let delete = program.call(&["delete", "unhooked"]);
    assert!(
        delete.code == 0 && delete.stderr.contains("poststop"),
        "{delete:?}"
    );
    program.assert_nothing_left("unhooked", &bundle);
}

fn failing(kind: &str, hook: &str) -> Bundle {
    Bundle::unikernel("unhooked", "spin", "pvh", &["spin"])
        .with(|config| config["hooks"] = json!({ kind: [{ "path": hook }] }))
}
