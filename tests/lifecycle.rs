//! A unikernel's life through the program, on the host's KVM.

use std::fs;

use harness::bundle::Bundle;
use harness::guard::Container;
use harness::program::{Program, wait_for};
use serde_json::Value;

#[test]
fn from_create_to_delete() {
    if harness::cannot_boot() {
        return;
    }
    let program = Program::new();
    let bundle =
        Bundle::unikernel("life", "spin", "pvh", &["spin"]).annotate("org.example.note", "kept");
    let container = Container::new(&program, "life", &bundle);
    let created = container.create();
    assert_eq!(created.code, 0, "{}", created.stderr);

    // Created: the pid file's process is the monitor, in its final cgroup, and waits.
    let state = program.state("life");
    assert_eq!(state["status"], "created");
    assert_eq!(state["pid"], container.pid());
    assert_eq!(state["bundle"], bundle.path().to_str().unwrap());
    assert_eq!(state["annotations"]["org.example.note"], "kept");
    let cgroup = fs::read_to_string(format!("/proc/{}/cgroup", container.pid())).unwrap();
    assert!(
        cgroup
            .lines()
            .any(|line| line.ends_with(":/runu-test-life")),
        "{cgroup}"
    );
    assert_eq!(container.stdout(), "");

    program.ok(&["start", "life"]);
    container.wait_output("spinning");
    assert_eq!(program.state("life")["status"], "running");
    refused(
        &program,
        &["start", "life"],
        "cannot start an already running container",
    );
    refused(
        &program,
        &["delete", "life"],
        "cannot delete container life that is not stopped",
    );
    refused(&program, &["resume", "life"], "container not paused");
    let exec = program.call(&["exec", "life", "sh"]);
    assert_eq!(exec.code, 255);
    assert!(exec.stderr.contains("it is a unikernel"), "{}", exec.stderr);
    refused(
        &program,
        &["checkpoint", "life"],
        "cannot checkpoint container life",
    );
    assert_eq!(
        program.ok(&["ps", "--format", "json", "life"]).trim(),
        format!("[{}]", container.pid())
    );
    assert!(
        program
            .ok(&["ps", "life"])
            .contains(&container.pid().to_string())
    );

    program.ok(&["kill", "life", "TERM"]);
    assert_eq!(container.wait(), 143);
    let state = program.state("life");
    assert_eq!(
        (&state["status"], &state["pid"]),
        (&"stopped".into(), &0.into())
    );
    refused(&program, &["kill", "life", "9"], "container not running");
    program.ok(&["kill", "--all", "life", "9"]);
    refused(
        &program,
        &["start", "life"],
        "cannot start a container that has stopped",
    );
    program.ok(&["delete", "life"]);
    refused(&program, &["state", "life"], "does not exist");
    program.ok(&["delete", "--force", "life"]);
    program.assert_nothing_left("life", &bundle);
}

/// A call that must fail with code 1 and this text.
#[track_caller]
fn refused(program: &Program, args: &[&str], text: &str) {
    let outcome = program.call(args);
    assert_eq!(outcome.code, 1, "{args:?}: {outcome:?}");
    assert!(
        outcome.stderr.contains(text),
        "{args:?}: {}",
        outcome.stderr
    );
}

#[test]
fn a_created_one_can_be_deleted_and_killed() {
    if harness::cannot_boot() {
        return;
    }
    let program = Program::new();
    let bundle = Bundle::unikernel("unstarted", "spin", "linux64", &["spin"]);
    let container = Container::new(&program, "unstarted", &bundle);
    assert_eq!(container.create().code, 0);
    program.ok(&["delete", "unstarted"]);
    assert_eq!(container.wait(), 137);
    program.assert_nothing_left("unstarted", &bundle);

    assert_eq!(container.create().code, 0);
    program.ok(&["kill", "unstarted", "KILL"]);
    assert_eq!(container.wait(), 137);
    program.ok(&["delete", "unstarted"]);
    program.assert_nothing_left("unstarted", &bundle);
}

#[test]
fn force_deletes_what_runs() {
    if harness::cannot_boot() {
        return;
    }
    let program = Program::new();
    let bundle = Bundle::unikernel("forced", "spin", "multiboot1", &["spin"]);
    let container = Container::new(&program, "forced", &bundle);
    container.start();
    container.wait_output("spinning");
    program.ok(&["delete", "--force", "forced"]);
    assert_eq!(container.wait(), 137);
    program.assert_nothing_left("forced", &bundle);
}

#[test]
fn pause_stops_the_guest_and_resume_lets_it_go_on() {
    if harness::cannot_boot() {
        return;
    }
    let program = Program::new();
    let bundle = Bundle::unikernel("paused", "spin", "pvh", &["spin"]);
    let container = Container::new(&program, "paused", &bundle);
    container.start();
    container.wait_output("spinning");
    program.ok(&["pause", "paused"]);
    assert_eq!(program.state("paused")["status"], "paused");
    let ticks = || cpu_ticks(container.pid());
    let before = ticks();
    std::thread::sleep(std::time::Duration::from_millis(300));
    assert_eq!(ticks(), before, "it ran while paused");
    program.ok(&["resume", "paused"]);
    assert_eq!(program.state("paused")["status"], "running");
    wait_for("the guest to run again", || {
        (ticks() > before + 5).then_some(())
    });

    // SIGKILL also ends a paused one.
    program.ok(&["pause", "paused"]);
    program.ok(&["kill", "paused", "SIGKILL"]);
    assert_eq!(container.wait(), 137);
    program.ok(&["delete", "paused"]);
    program.assert_nothing_left("paused", &bundle);
}

/// User and system time of a process in clock ticks (proc_pid_stat(5), 14 and 15).
fn cpu_ticks(pid: i32) -> u64 {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).unwrap();
    let fields: Vec<_> = stat
        .rsplit_once(')')
        .unwrap()
        .1
        .split_whitespace()
        .collect();
    fields[11].parse::<u64>().unwrap() + fields[12].parse::<u64>().unwrap()
}

#[test]
fn a_machine_that_cannot_be_made_is_an_error_of_create() {
    if harness::cannot_boot() {
        return;
    }
    let program = Program::new();
    let long = "x".repeat(100_000);
    let bundle = Bundle::unikernel("toolong", "hello", "pvh", &["hello", &long]);
    let container = Container::new(&program, "toolong", &bundle);
    let outcome = container.create();
    assert_eq!(outcome.code, 1);
    assert!(
        outcome.stderr.contains("command line"),
        "{}",
        outcome.stderr
    );
    assert_eq!(outcome.stderr.lines().count(), 1, "{}", outcome.stderr);
    program.assert_nothing_left("toolong", &bundle);
}

#[test]
fn an_id_belongs_to_one_side() {
    if harness::cannot_boot() {
        return;
    }
    let program = Program::new();
    let unikernel = Bundle::unikernel("shared", "spin", "pvh", &["spin"]);
    let ordinary = Bundle::busybox("shared", &["/bin/busybox", "sleep", "1000"]);
    let exists = "container with given ID already exists";
    {
        let ours = Container::new(&program, "shared", &unikernel);
        ours.start();
        for bundle in [&unikernel, &ordinary] {
            let path = bundle.path().to_str().unwrap();
            refused(&program, &["create", "--bundle", path, "shared"], exists);
        }
        assert_eq!(program.state("shared")["status"], "running");
    }
    let theirs = Container::new(&program, "shared", &ordinary);
    theirs.start();
    let path = unikernel.path().to_str().unwrap();
    refused(&program, &["create", "--bundle", path, "shared"], exists);
    assert_eq!(program.state("shared")["status"], "running");
}

#[test]
fn list_shows_both_kinds() {
    if harness::cannot_boot() {
        return;
    }
    let program = Program::new();
    let unikernel = Bundle::unikernel("list-ours", "spin", "pvh", &["spin"]);
    let ordinary = Bundle::busybox("list-theirs", &["/bin/busybox", "sleep", "1000"]);
    let ours = Container::new(&program, "list-ours", &unikernel);
    let theirs = Container::new(&program, "list-theirs", &ordinary);
    theirs.start();
    assert_eq!(program.ok(&["list", "-q"]), "list-theirs\n");
    ours.start();
    assert_eq!(program.ok(&["list", "-q"]), "list-ours\nlist-theirs\n");
    let json: Value = serde_json::from_str(&program.ok(&["list", "--format=json"])).unwrap();
    let [a, b] = json.as_array().unwrap().as_slice() else {
        panic!("{json}")
    };
    assert_eq!(
        (&a["id"], &a["pid"]),
        (&"list-ours".into(), &ours.pid().into())
    );
    assert_eq!(
        (&b["id"], &b["pid"]),
        (&"list-theirs".into(), &theirs.pid().into())
    );
    let keys = |row: &Value| row.as_object().unwrap().keys().cloned().collect::<Vec<_>>();
    let shared: Vec<_> = keys(a)
        .into_iter()
        .filter(|key| key != "annotations")
        .collect();
    assert_eq!(
        shared,
        keys(b)
            .into_iter()
            .filter(|key| key != "annotations")
            .collect::<Vec<_>>()
    );
    let table = program.ok(&["list"]);
    assert!(
        table.starts_with("ID  ") && table.lines().count() == 3,
        "{table}"
    );
}

#[test]
fn update_changes_the_limits_but_never_below_the_guest() {
    if harness::cannot_boot() {
        return;
    }
    let program = Program::new();
    let bundle = Bundle::unikernel("updated", "spin", "pvh", &["spin"]);
    let container = Container::new(&program, "updated", &bundle);
    container.start();
    let limit = |file: &str| {
        let cgroups = harness::cgroups("runu-test-updated");
        let read = |dir: &std::path::PathBuf| fs::read_to_string(dir.join(file)).ok();
        cgroups
            .iter()
            .find_map(read)
            .map(|text| text.trim().to_owned())
    };
    // v1 and v2 name the files otherwise.
    let memory = || {
        limit("memory.limit_in_bytes")
            .or_else(|| limit("memory.max"))
            .unwrap()
    };
    assert_eq!(memory(), (64 << 20).to_string());

    program.ok(&["update", "--memory", "128m", "--pids-limit=50", "updated"]);
    assert_eq!(memory(), (128 << 20).to_string());
    assert_eq!(limit("pids.max").unwrap(), "50");

    let file = bundle.path().join("resources.json");
    fs::write(&file, r#"{"memory":{"limit":100663296}}"#).unwrap();
    program.ok(&["update", "-r", file.to_str().unwrap(), "updated"]);
    assert_eq!(memory(), (96 << 20).to_string());
    assert_eq!(limit("pids.max").unwrap(), "50");

    // As dockerd says `--cpus 0.5`: a 0 changes nothing.
    let docker = r#"{"memory":{"limit":0,"reservation":0,"kernel":0},"blockIO":{"weight":0},
        "cpu":{"quota":50000,"period":100000,"cpus":"","mems":""}}"#;
    fs::write(&file, docker).unwrap();
    program.ok(&["update", "-r", file.to_str().unwrap(), "updated"]);
    let quota = || limit("cpu.cfs_quota_us").or_else(|| limit("cpu.max"));
    assert!(quota().unwrap().starts_with("50000"), "{:?}", quota());
    assert_eq!(memory(), (96 << 20).to_string());

    let too_little = ["update", "--memory=32m", "updated"];
    refused(&program, &too_little, "its guest has 55.5 MiB of memory");
    refused(
        &program,
        &["update", "--memory=lots", "updated"],
        "no amount",
    );
    assert_eq!(memory(), (96 << 20).to_string());
}
