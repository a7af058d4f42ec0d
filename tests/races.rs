//! `start` and `delete` that are killed midway, and `kill` beside `start`: the container is
//! afterwards in a state from which it goes on, and nobody waits in vain.

use std::fs;
use std::path::Path;
use std::process::{Child, Stdio};
use std::time::Duration;

use harness::bundle::Bundle;
use harness::guard::Container;
use harness::program::{Program, wait_for};
use serde_json::{Value, json};

/// A call whose output nobody reads.
fn spawn(program: &Program, args: &[&str]) -> Child {
    let mut command = program.command(args);
    command.stdout(Stdio::null()).stderr(Stdio::null());
    command.spawn().unwrap()
}

/// Starts a call and kills it after so many microseconds.
fn kill_midway(program: &Program, args: &[&str], after: u64) {
    let mut call = spawn(program, args);
    std::thread::sleep(Duration::from_micros(after));
    call.kill().unwrap();
    call.wait().unwrap();
}

#[test]
fn a_killed_start_has_started_or_can_be_repeated() {
    if harness::cannot_boot() {
        return;
    }
    let program = Program::new();
    let bundle = Bundle::unikernel("unstarted-start", "spin", "pvh", &["spin"]);
    let (mut started, mut waiting) = (0, 0);
    for after in (0..8000).step_by(250).chain((8000..100_000).step_by(8000)) {
        let container = Container::new(&program, "unstarted-start", &bundle);
        let _ = std::fs::remove_file(bundle.path().join("unstarted-start.stdout"));
        assert_eq!(container.create().code, 0);
        kill_midway(&program, &["start", "unstarted-start"], after);
        let again = program.call(&["start", "unstarted-start"]);
        match again.code {
            0 => waiting += 1,
            _ => {
                let told = "cannot start an already running container";
                assert!(again.stderr.contains(told), "after {after} us: {again:?}");
                started += 1;
            }
        }
        container.wait_output("spinning");
        assert_eq!(program.state("unstarted-start")["status"], "running");
        program.ok(&["kill", "unstarted-start", "TERM"]);
        assert_eq!(container.wait(), 143, "after {after} us");
        program.ok(&["delete", "unstarted-start"]);
        program.assert_nothing_left("unstarted-start", &bundle);
    }
    assert!(started > 0 && waiting > 0, "{started} {waiting}: no race");
}

#[test]
fn a_start_that_was_killed_behind_the_gate_is_known() {
    if harness::cannot_boot() {
        return;
    }
    let program = Program::new();
    let bundle = Bundle::unikernel("gate", "spin", "pvh", &["spin"]).with(|config| {
        // The monitor is past the gate, and does not look like it for a while.
        let hook = json!({ "path": "/bin/busybox", "args": ["sleep", "3"] });
        config["hooks"]["startContainer"] = json!([hook]);
    });
    bundle.add("/bin/busybox", Path::new("/bin/busybox"));
    let container = Container::new(&program, "gate", &bundle);
    container.start();
    // As if the call had been killed before it could say so.
    let path = program.store().join("gate/container/gate/state.json");
    let mut state: Value = serde_json::from_slice(&fs::read(&path).unwrap()).unwrap();
    assert_eq!(state["status"], "running");
    state["status"] = "created".into();
    fs::write(&path, state.to_string()).unwrap();
    let again = program.call(&["start", "gate"]);
    let told = "cannot start an already running container";
    assert!(again.code == 1 && again.stderr.contains(told), "{again:?}");
    container.wait_output("spinning");
    assert_eq!(program.state("gate")["status"], "running");
}

#[test]
fn a_killed_delete_of_a_running_one_can_be_repeated() {
    if harness::cannot_boot() {
        return;
    }
    let program = Program::new();
    let bundle = Bundle::unikernel("undeleted-run", "spin", "pvh", &["spin"]);
    for after in (0..20_000).step_by(1000) {
        let container = Container::new(&program, "undeleted-run", &bundle);
        container.start();
        kill_midway(&program, &["delete", "--force", "undeleted-run"], after);
        // Whatever is left, it answers.
        let state = program.call(&["state", "undeleted-run"]);
        assert!(
            state.code == 0 || state.stderr.contains("does not exist"),
            "after {after} us: {state:?}"
        );
        program.ok(&["delete", "--force", "undeleted-run"]);
        assert_eq!(container.wait(), 137);
        program.assert_nothing_left("undeleted-run", &bundle);
    }
}

#[test]
fn a_signal_beside_start_ends_it() {
    if harness::cannot_boot() {
        return;
    }
    let program = Program::new();
    let bundle = Bundle::unikernel("both-at-once", "spin", "pvh", &["spin"]);
    for (signal, status) in [("TERM", 143), ("KILL", 137)] {
        for after in (0..8000).step_by(500) {
            let container = Container::new(&program, "both-at-once", &bundle);
            assert_eq!(container.create().code, 0);
            let mut start = spawn(&program, &["start", "both-at-once"]);
            std::thread::sleep(Duration::from_micros(after));
            program.ok(&["kill", "both-at-once", signal]);
            assert_eq!(container.wait(), status, "{signal} after {after} us");
            // It may have come too late for there to be something to start.
            wait_for("start to end", || start.try_wait().unwrap());
            assert_eq!(program.state("both-at-once")["status"], "stopped");
            program.ok(&["delete", "both-at-once"]);
            program.assert_nothing_left("both-at-once", &bundle);
        }
    }
}
