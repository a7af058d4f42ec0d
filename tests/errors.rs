//! Every verb in every state, by runc on an ordinary container and by runu on a unikernel:
//! the same exit code and the same words, but where a unikernel is something else.

use std::fs;

use harness::bundle::Bundle;
use harness::guard::Container;
use harness::program::{Outcome, Program};
use serde_json::Value;

/// A state, and the calls that lead there from a created container.
type State = (&'static str, &'static [&'static [&'static str]]);

const STATES: &[State] = &[
    ("created", &[]),
    ("created and paused", &[&["pause", ID]]),
    ("running", &[&["start", ID]]),
    ("paused", &[&["start", ID], &["pause", ID]]),
    ("stopped", &[&["start", ID], &["kill", ID, "KILL"]]),
];

const ID: &str = "matrix";

/// The calls; `BUNDLE` becomes the bundle's directory. Those that end the container are last.
const CALLS: &[&[&str]] = &[
    &["state", ID],
    &["kill", ID, "0"],
    &["kill", "--all", ID, "0"],
    &["kill", ID, "NOSUCH"],
    &["kill", ID, "9", "9"],
    &["exec", ID, "/bin/busybox", "true"],
    &["ps", ID],
    &["ps", "--format", "json", ID],
    &["ps", "--format", "xml", ID],
    &["checkpoint", ID],
    &["create", "--bundle", "BUNDLE", ID],
    &["run", "--detach", "--bundle", "BUNDLE", ID],
    &["create", "--bundle", "BUNDLE", "a/b"],
    &["state", "--frob", ID],
    &["delete", "--force=maybe", ID],
    &["start", ID],
    &["pause", ID],
    &["resume", ID],
    &["kill", ID, "9"],
    &["kill", "--all", ID, "9"],
    &["delete", ID],
    &["delete", "--force", ID],
];

/// Where runu answers otherwise: the verb, the state ("" is any), the code and a word of
/// the answer.
const OTHERWISE: &[(&str, &str, i32, &str)] = &[
    // Nothing can be started beside a unikernel.
    (
        "exec",
        "created",
        255,
        "exec failed: cannot exec in container",
    ),
    (
        "exec",
        "running",
        255,
        "exec failed: cannot exec in container",
    ),
    // runc's goes on to name a flag, which would not help here.
    (
        "exec",
        "created and paused",
        255,
        "cannot exec in a paused container",
    ),
    ("exec", "paused", 255, "cannot exec in a paused container"),
    // CRIU knows processes, not machines.
    (
        "checkpoint",
        "",
        1,
        "CRIU saves processes, not virtual machines",
    ),
];

/// One runtime with one container.
struct Side<'a> {
    program: &'a Program,
    container: Container<'a>,
    bundle: &'a Bundle,
    cgroup: &'static str,
}

impl<'a> Side<'a> {
    fn new(program: &'a Program, bundle: &'a Bundle, cgroup: &'static str) -> Self {
        Self {
            program,
            container: Container::new(program, ID, bundle),
            bundle,
            cgroup,
        }
    }

    /// A fresh container in the state.
    fn reach(&self, (_, calls): &State) {
        self.program.call(&["delete", "--force", ID]);
        let created = self.container.create();
        assert_eq!(created.code, 0, "{created:?}");
        calls.iter().for_each(|call| drop(self.program.ok(call)));
        if calls.last().is_some_and(|call| call[0] == "kill") {
            self.program.wait_status(ID, "stopped");
        }
    }

    /// What the call comes to.
    fn call(&self, call: &[&str]) -> Outcome {
        let bundle = self.bundle.path().to_str().unwrap();
        let call: Vec<_> = call
            .iter()
            .map(|word| word.replace("BUNDLE", bundle))
            .collect();
        self.program.call(&call)
    }

    /// As [`Side::call`]; an error is also one line of JSON in the log, with the words that
    /// stderr has.
    fn call_and_look_at_the_log(&self, call: &[&str]) -> Outcome {
        let _ = fs::remove_file(self.program.log());
        let outcome = self.call(call);
        let messages: Vec<_> = self.program.log_lines();
        let messages: Vec<_> = messages
            .iter()
            .map(|line| (&line["level"], &line["msg"]))
            .collect();
        let told: Vec<_> = outcome.stderr.lines().map(Value::from).collect();
        let error = Value::from("error");
        let expected: Vec<_> = told.iter().map(|line| (&error, line)).collect();
        assert_eq!(messages, expected, "{call:?}: {outcome:?}");
        assert_eq!(told.len(), usize::from(outcome.code != 0), "{outcome:?}");
        outcome
    }

    fn status(&self) -> Value {
        let outcome = self.program.call(&["state", ID]);
        let state: Value = serde_json::from_str(&outcome.stdout).unwrap_or_default();
        state["status"].clone()
    }
}

/// runc's error, without what depends on runc's name.
fn words(outcome: &Outcome) -> &str {
    let text = outcome.stderr.trim();
    if text.contains(" argument(s)") {
        return &text[text.find('"').unwrap()..];
    }
    ["runc create failed: ", "runc run failed: "]
        .iter()
        .find_map(|prefix| text.strip_prefix(prefix))
        .unwrap_or(text)
}

#[test]
fn verbs_in_states() {
    if harness::cannot_boot() {
        return;
    }
    let Some((ours, theirs)) = Program::beside_runc() else {
        return;
    };
    let unikernel = Bundle::unikernel("matrix-ours", "spin", "pvh", &["spin"]);
    let ordinary = Bundle::busybox("matrix-theirs", &["/bin/busybox", "sleep", "1000"]);
    let ours = Side::new(&ours, &unikernel, "matrix-ours");
    let theirs = Side::new(&theirs, &ordinary, "matrix-theirs");

    for call in CALLS.iter().filter(|call| !call.contains(&"BUNDLE")) {
        compare(
            "missing",
            call,
            &ours.call_and_look_at_the_log(call),
            &theirs.call(call),
        );
    }
    for state in STATES {
        let reach = || {
            [&ours, &theirs]
                .into_iter()
                .for_each(|side| side.reach(state))
        };
        reach();
        for call in CALLS {
            let before = theirs.status();
            assert_eq!(ours.status(), before, "{} before {call:?}", state.0);
            let outcome = ours.call_and_look_at_the_log(call);
            compare(state.0, call, &outcome, &theirs.call(call));
            // Its end takes its time.
            if outcome.code == 0 && call.last() == Some(&"9") {
                ours.program.wait_status(ID, "stopped");
                theirs.program.wait_status(ID, "stopped");
            }
            let after = [ours.status(), theirs.status()];
            // runc's freezes and thaws for --all, so that a paused container goes on.
            if !(before == "paused" && call.contains(&"--all")) {
                assert_eq!(after[0], after[1], "{} after {call:?}", state.0);
            }
            if after != [before.clone(), before] {
                reach();
            }
        }
    }
    ours.program.call(&["delete", "--force", ID]);
    ours.program.assert_nothing_left(ours.cgroup, &unikernel);
}

fn compare(state: &str, call: &[&str], ours: &Outcome, theirs: &Outcome) {
    let told = format!("{call:?} of one that is {state}: {ours:?}, runc: {theirs:?}");
    let otherwise = OTHERWISE
        .iter()
        .find(|(verb, when, ..)| *verb == call[0] && (*when == state || when.is_empty()))
        .filter(|_| state != "missing");
    if let Some((_, _, code, word)) = otherwise {
        assert!(ours.code == *code && ours.stderr.contains(word), "{told}");
        return;
    }
    assert_eq!(ours.code, theirs.code, "{told}");
    assert!(ours.stderr.contains(words(theirs)), "{told}");
}

#[test]
fn what_a_killed_create_has_left() {
    if harness::cannot_boot() {
        return;
    }
    let Some((ours, theirs)) = Program::beside_runc() else {
        return;
    };
    let unikernel = Bundle::unikernel("matrix-half", "spin", "pvh", &["spin"]);
    let ordinary = Bundle::busybox("matrix-half", &["/bin/busybox", "true"]);
    let ours = Side::new(&ours, &unikernel, "matrix-half");
    let theirs = Side::new(&theirs, &ordinary, "matrix-half");
    for call in CALLS {
        for dir in [ours.program.store(), theirs.program.root()] {
            fs::create_dir_all(dir.join(ID)).unwrap();
        }
        let (mine, runcs) = (ours.call_and_look_at_the_log(call), theirs.call(call));
        match call {
            // runc deletes it, and then says that it was not there.
            ["delete", id] => assert_eq!((mine.code, runcs.code), (0, 1), "{id}"),
            ["exec", ..] => assert!(mine.code == 255 && mine.stderr.contains("does not exist")),
            _ => compare("missing", call, &mine, &runcs),
        }
        let left = [ours.program.store(), theirs.program.root()].map(|f| f.join(ID).exists());
        assert_eq!(left[0], left[1], "{call:?}");
    }
    ours.program.assert_nothing_left("matrix-half", &unikernel);
}

#[test]
fn without_a_runc_nobody_has_the_container() {
    let config = tempfile::NamedTempFile::new().unwrap();
    fs::write(&config, "runtimes = [\"/nowhere/runc\"]\n").unwrap();
    let program = Program::new();
    let call = |args: &[&str]| {
        let mut command = program.command(args);
        let outcome = program.capture(command.env("RUNU_CONFIG", config.path()));
        (outcome.code, outcome.stderr)
    };
    let gone = "container does not exist: gone\n";
    assert_eq!(call(&["state", "gone"]), (1, gone.to_owned()));
    assert_eq!(call(&["kill", "gone", "9"]), (1, gone.to_owned()));
    assert_eq!(call(&["delete", "gone"]), (1, gone.to_owned()));
    assert_eq!(call(&["exec", "gone", "sh"]), (255, gone.to_owned()));
    assert_eq!(call(&["delete", "--force", "gone"]), (0, String::new()));
    // One that runc has made: only runc can say what became of it.
    fs::create_dir_all(program.root().join("gone")).unwrap();
    for call in [
        call(&["kill", "gone", "9"]),
        call(&["delete", "--force", "gone"]),
    ] {
        assert!(call.0 == 1 && call.1.contains("install runc"), "{call:?}");
    }
}

#[test]
fn a_kernel_that_is_not_there_is_dockers_127() {
    // moby, daemon/start: 127 for these words, whatever their case; podman likewise.
    for case in ["kernel-missing", "initrd-missing"] {
        let bundle = Bundle::fixture(case);
        let path = bundle.path().to_str().unwrap();
        let outcome = Program::new().call(&["create", "--bundle", path, "missing"]);
        let told = outcome.stderr.to_lowercase();
        assert_eq!(outcome.code, 1, "{outcome:?}");
        assert!(told.contains("no such file or directory"), "{outcome:?}");
    }
}
