//! What a unikernel uses, as `events` tells it, and the kernel's OOM kill.

use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use harness::bundle::Bundle;
use harness::guard::Container;
use harness::program::Program;
use serde_json::Value;

const MIB: u64 = 1 << 20;

#[test]
fn stats_are_the_monitors_in_runcs_form() {
    if harness::cannot_boot() {
        return;
    }
    let program = Program::new();
    let unikernel = Bundle::unikernel("stats", "spin", "pvh", &["spin"]);
    let container = Container::new(&program, "stats", &unikernel);
    container.start();
    container.wait_output("spinning");
    let once = || stats(&program, "stats");
    let event = once();
    assert_eq!(event["type"], "stats");
    assert_eq!(event["id"], "stats");
    let data = &event["data"];
    assert_eq!(data["memory"]["usage"]["limit"], 64 * MIB);
    let used = data["memory"]["usage"]["usage"].as_u64().unwrap();
    assert!(
        (MIB / 4..64 * MIB).contains(&used),
        "{used} bytes of memory"
    );
    assert!(data["pids"]["current"].as_u64() >= Some(2), "{data}");
    let total = |event: &Value| event["data"]["cpu"]["usage"]["total"].as_u64().unwrap();
    // A guest that spins takes a second of CPU time in a second or some.
    let before = total(&event);
    harness::program::wait_for("a tenth of a second of CPU time", || {
        (total(&once()) > before + 100_000_000).then_some(())
    });

    // Whoever reads runc's finds every field.
    let bundle = Bundle::busybox("stats-runc", &["/bin/busybox", "sleep", "1000"]);
    let ordinary = Container::new(&program, "stats-runc", &bundle);
    ordinary.start();
    let missing = without(&stats(&program, "stats-runc"), &once(), "");
    assert!(missing.is_empty(), "runc has besides: {missing:?}");
}

fn stats(program: &Program, id: &str) -> Value {
    serde_json::from_str(&program.ok(&["events", "--stats", id])).unwrap()
}

/// The fields of `a` that `b` lacks. Those that a kernel, a device or a use of huge pages
/// decides about are left out.
fn without(a: &Value, b: &Value, path: &str) -> Vec<String> {
    let optional = ["/data/hugetlb", "/data/blkio"];
    let Value::Object(fields) = a else {
        return Vec::new();
    };
    let mut missing = Vec::new();
    for (key, value) in fields {
        let path = format!("{path}/{key}");
        match b.get(key) {
            _ if optional.contains(&&*path) => {}
            Some(other) => missing.extend(without(value, other, &path)),
            None => missing.push(path),
        }
    }
    missing
}

#[test]
fn an_oom_kill_is_an_event() {
    if harness::cannot_boot() {
        return;
    }
    let program = Program::new();
    // The kernel's choice in this cgroup is the monitor.
    let bundle = Bundle::unikernel("oom", "sleep", "pvh", &["sleep"])
        .with(|config| config["process"]["oomScoreAdj"] = 1000.into());
    let container = Container::new(&program, "oom", &bundle);
    container.start();
    container.wait_output("tick");
    let mut watcher = program.command(&["events", "--interval=100ms", "oom"]);
    let mut watcher = Ended(watcher.stdout(Stdio::piped()).spawn().unwrap());
    let lines = BufReader::new(watcher.0.stdout.take().unwrap()).lines();
    let mut events = lines.map(|line| serde_json::from_str::<Value>(&line.unwrap()).unwrap());
    assert_eq!(events.next().unwrap()["type"], "stats");

    let hog = Ended(hog(&memory_cgroup("runu-test-oom")));
    assert_eq!(container.wait(), 137);
    drop(hog);
    let rest: Vec<_> = events.collect();
    let oom = serde_json::json!({ "type": "oom", "id": "oom" });
    assert_eq!(
        rest.iter().find(|event| event["type"] != "stats"),
        Some(&oom)
    );
    assert!(watcher.0.wait().unwrap().success());
    assert_eq!(program.state("oom")["status"], "stopped");
    program.ok(&["delete", "oom"]);
    program.assert_nothing_left("oom", &bundle);
}

/// A process that is killed and waited for.
struct Ended(Child);

impl Drop for Ended {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// Takes more memory than the cgroup has: the kernel ends the monitor first, and then this.
fn hog(cgroup: &Path) -> Child {
    let script = "echo $$ >\"$0/cgroup.procs\"; exec dd if=/dev/zero of=/dev/null bs=128M count=64";
    let mut command = Command::new("/bin/busybox");
    command.args(["sh", "-c", script]).arg(cgroup);
    command.stderr(Stdio::null()).spawn().unwrap()
}

fn memory_cgroup(name: &str) -> PathBuf {
    let all = harness::cgroups(name);
    let is_memorys = |dir: &PathBuf| dir.join("memory.stat").exists();
    all.into_iter().find(is_memorys).expect("a memory cgroup")
}

#[test]
fn an_oom_kill_before_start_is_a_stopped_container() {
    if harness::cannot_boot() {
        return;
    }
    let program = Program::new();
    let bundle = Bundle::unikernel("oomearly", "sleep", "pvh", &["sleep"])
        .with(|config| config["process"]["oomScoreAdj"] = 1000.into());
    let container = Container::new(&program, "oomearly", &bundle);
    assert_eq!(container.create().code, 0);
    let hog = Ended(hog(&memory_cgroup("runu-test-oomearly")));
    assert_eq!(container.wait(), 137);
    drop(hog);
    let outcome = program.call(&["start", "oomearly"]);
    assert_eq!(outcome.code, 1);
    assert!(outcome.stderr.contains("that has stopped"), "{outcome:?}");
    program.ok(&["delete", "oomearly"]);
    program.assert_nothing_left("oomearly", &bundle);
}

#[test]
fn what_cannot_be_watched_saved_or_restored_is_refused() {
    if harness::cannot_boot() {
        return;
    }
    let program = Program::new();
    let bundle = Bundle::unikernel("refusals", "spin", "pvh", &["spin"]);
    let container = Container::new(&program, "refusals", &bundle);
    container.start();
    let refused = |args: &[&str], words: &str| {
        let outcome = program.call(args);
        assert_eq!(outcome.code, 1, "{args:?}: {outcome:?}");
        assert!(outcome.stderr.contains(words), "{args:?}: {outcome:?}");
        assert_eq!(outcome.stderr.lines().count(), 1, "{outcome:?}");
    };
    refused(
        &["events", "--interval", "soon", "refusals"],
        "--interval \"soon\" is no time",
    );
    refused(
        &["checkpoint", "refusals"],
        "CRIU saves processes, not virtual machines",
    );
    // As containerd restores: a bundle, and an image of CRIU's. It never reaches runc.
    let path = bundle.path().to_str().unwrap();
    let restore = [
        "restore",
        "--detach",
        "--bundle",
        path,
        "--image-path",
        path,
        "restored",
    ];
    refused(&restore, "there are no checkpoints of unikernels");
    assert_eq!(program.state("refusals")["status"], "running");
    program.ok(&["kill", "refusals", "KILL"]);
    assert_eq!(container.wait(), 137);
    refused(&["events", "--stats", "refusals"], "container not running");
}
