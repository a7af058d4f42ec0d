//! Runtimes that are put in each other's place while containers run.

use std::fs;
use std::path::PathBuf;

use harness::bundle::Bundle;
use harness::guard::Container;
use harness::program::Program;
use serde_json::Value;

const SIGKILL: i32 = 9;

fn runc() -> PathBuf {
    which::which("runc").unwrap_or_else(|_| "/usr/sbin/runc".into())
}

/// Says a line, and ends with 3 when it is asked to.
const SHELL: [&str; 4] = [
    "/bin/busybox",
    "sh",
    "-c",
    "trap 'exit 3' TERM; echo up; while :; do /bin/busybox sleep 0.05; done",
];

#[test]
fn what_runc_made_goes_on_under_runu() {
    if harness::cannot_boot() {
        return;
    }
    let before = Program::of(runc());
    let after = before.replaced_by(harness::runu());
    let bundle = Bundle::busybox("theirs", &SHELL);
    let created = Container::new(&before, "theirs", &bundle);
    assert_eq!(created.create().code, 0);
    after.ok(&["start", "theirs"]);
    created.wait_output("up");
    rules(&after, &created);
    after.ok(&["delete", "theirs"]);
    after.assert_nothing_left("theirs", &bundle);
}

/// Every verb of a life, on a container of [`SHELL`].
fn rules(program: &Program, container: &Container) {
    let id = &*container.id;
    assert_eq!(program.state(id)["pid"], container.pid());
    let exec = program.call(&["exec", id, "/bin/busybox", "sh", "-c", "echo in; exit 5"]);
    assert_eq!((exec.code, &*exec.stdout), (5, "in\n"), "{exec:?}");
    program.ok(&["pause", id]);
    assert_eq!(program.state(id)["status"], "paused");
    program.ok(&["resume", id]);
    assert_eq!(program.ok(&["list", "-q"]), format!("{id}\n"));
    program.ok(&["kill", id, "TERM"]);
    assert_eq!(container.wait(), 3);
    assert_eq!(program.state(id)["status"], "stopped");
}

#[test]
fn after_runu_is_taken_away_runc_rules_its_own() {
    if harness::cannot_boot() {
        return;
    }
    let with = Program::new();
    let without = with.replaced_by(runc());
    let bundle = Bundle::busybox("taken", &SHELL);
    let ordinary = Container::new(&with, "taken", &bundle);
    let guest = Bundle::unikernel("beside", "spin", "pvh", &["spin"]);
    let unikernel = Container::new(&with, "beside", &guest);
    ordinary.start();
    unikernel.start();
    ordinary.wait_output("up");
    // runc does not know that there is another.
    rules(&without, &ordinary);
    without.ok(&["delete", "taken"]);
    assert!(harness::cgroups("runu-test-taken").is_empty());
    // Back again: the unikernel has gone on all the while.
    unikernel.wait_output("spinning");
    assert_eq!(with.state("beside")["status"], "running");
    with.ok(&["delete", "--force", "beside"]);
    with.assert_nothing_left("beside", &guest);
}

/// As a package's upgrade does it: another file is renamed over the program's.
#[test]
fn a_unikernel_goes_on_under_another_runu() {
    if harness::cannot_boot() {
        return;
    }
    let dir = tempfile::tempdir().unwrap();
    let [installed, newer] = ["runu", "runu.new"].map(|name| dir.path().join(name));
    for path in [&installed, &newer] {
        fs::copy(harness::runu(), path).unwrap();
    }
    let program = Program::of(installed.clone());
    let bundle = Bundle::unikernel("upgraded", "spin", "pvh", &["spin"]);
    let container = Container::new(&program, "upgraded", &bundle);
    assert_eq!(container.create().code, 0);
    fs::rename(newer, installed).unwrap();

    program.ok(&["start", "upgraded"]);
    container.wait_output("spinning");
    unikernel_rules(&program, &container);
    program.assert_nothing_left("upgraded", &bundle);
}

/// Every verb of a life, on a unikernel that runs.
fn unikernel_rules(program: &Program, container: &Container) {
    let id = &*container.id;
    assert_eq!(program.state(id)["pid"], container.pid());
    program.ok(&["update", "--memory=128m", id]);
    program.ok(&["pause", id]);
    assert_eq!(program.state(id)["status"], "paused");
    program.ok(&["resume", id]);
    program.ok(&["kill", id, "TERM"]);
    assert_eq!(container.wait(), 143);
    assert_eq!(program.state(id)["status"], "stopped");
    program.ok(&["delete", id]);
}

/// `fixtures/records/N.json` is a record as version N wrote it: as long as such a
/// container may run, this program must rule it.
#[test]
fn records_of_every_version_are_read() {
    if harness::cannot_boot() {
        return;
    }
    let program = Program::new();
    let bundle = Bundle::unikernel("record", "spin", "pvh", &["spin"]);
    let mut newest = Value::Null;
    for version in 1.. {
        let path = harness::repository().join(format!("fixtures/records/{version}.json"));
        let Ok(old) = fs::read_to_string(path) else {
            break;
        };
        let container = Container::new(&program, "record", &bundle);
        container.start();
        container.wait_output("spinning");
        let file = program.store().join("record/record.json");
        newest = serde_json::from_str(&fs::read_to_string(&file).unwrap()).unwrap();
        let old = old
            .replace("ID\"", "record\"")
            .replace("BUNDLE", bundle.path().to_str().unwrap())
            .replace("PID", &container.pid().to_string())
            .replace("START", &newest["process"]["start_time"].to_string());
        fs::write(&file, &old).unwrap();
        assert_eq!(
            program.state("record")["annotations"]["org.example.note"],
            "kept"
        );
        unikernel_rules(&program, &container);
        program.assert_nothing_left("record", &bundle);
        let old: Value = serde_json::from_str(&old).unwrap();
        if old["version"] == newest["version"] {
            // Another field is another version.
            assert_eq!(fields(&old), fields(&newest));
            return;
        }
    }
    panic!("fixtures/records has none of version {}", newest["version"]);
}

fn fields(record: &Value) -> Vec<String> {
    let names = |value: &Value| {
        value
            .as_object()
            .unwrap()
            .keys()
            .cloned()
            .collect::<Vec<_>>()
    };
    [
        names(record),
        names(&record["plan"]),
        record["plan"]["recipe"]
            .as_object()
            .map_or(Vec::new(), |_| names(&record["plan"]["recipe"])),
        names(&record["process"]),
    ]
    .concat()
}

#[test]
fn a_record_of_a_later_version_is_left_to_its_runu() {
    if harness::cannot_boot() {
        return;
    }
    let program = Program::new();
    let bundle = Bundle::unikernel("later", "spin", "pvh", &["spin"]);
    let container = Container::new(&program, "later", &bundle);
    container.start();
    let file = program.store().join("later/record.json");
    fs::write(&file, r#"{"version":3,"something":"new"}"#).unwrap();
    for verb in ["state", "start", "kill", "pause", "delete"] {
        let outcome = program.call(&[verb, "later"]);
        assert_eq!(outcome.code, 1, "{verb}: {outcome:?}");
        let words = "is of version 3, this runu knows versions up to 2: use the runu that made the container";
        assert!(outcome.stderr.contains(words), "{verb}: {outcome:?}");
    }
    program.ok(&["delete", "--force", "later"]);
    assert_eq!(container.wait(), 128 + SIGKILL);
    program.assert_nothing_left("later", &bundle);
}
