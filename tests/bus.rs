//! systemd's cgroup driver where systemd cannot be reached: no call waits for it for long.

use std::fs;
use std::os::unix::net::UnixListener;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use harness::bundle::Bundle;
use harness::guard::Container;
use harness::program::{Outcome, Program};
use tempfile::TempDir;

/// What `create` and `delete` say then.
const WORDS: [&str; 3] = [
    "cannot reach systemd over D-Bus: ",
    "it should answer at /run/dbus/system_bus_socket",
    "start dbus.service, or name its socket in DBUS_SYSTEM_BUS_ADDRESS",
];

/// A host by its looks, in a mount namespace: with cgroups v2, and with `$RUN` as its /run.
const HOST: &str = "mount -t cgroup2 none /sys/fs/cgroup && mkdir -p $RUN/runu && \
     mount --bind /run/runu $RUN/runu && mount --rbind $RUN /run && exec \"$@\"";

/// The /run of a host that systemd has booted.
fn systemds_run() -> TempDir {
    let run = tempfile::tempdir().unwrap();
    fs::create_dir_all(run.path().join("systemd/system")).unwrap();
    run
}

fn scoped(name: &str) -> Bundle {
    let bundle = Bundle::unikernel(name, "spin", "pvh", &["spin"]);
    bundle.with(|config| {
        config["linux"]["cgroupsPath"] = format!("runu-test.slice:test:{name}").into();
    })
}

/// Makes the call on the host with `run` as its /run; gives how long it took, too.
fn on_host(program: &Program, run: &Path, call: &Command) -> (Outcome, Duration) {
    fs::create_dir_all("/run/runu").unwrap();
    let mut host = Command::new("unshare");
    host.args(["--mount", "sh", "-c", HOST, "sh"])
        .arg(call.get_program())
        .args(call.get_args())
        .env("RUN", run)
        .env_remove("DBUS_SYSTEM_BUS_ADDRESS")
        .stdin(Stdio::null());
    let begin = Instant::now();
    let outcome = program.capture(&mut host);
    (outcome, begin.elapsed())
}

#[track_caller]
fn assert_says(outcome: &Outcome, words: &[&str]) {
    assert_eq!(outcome.code, 1, "{outcome:?}");
    assert_eq!(outcome.stderr.lines().count(), 1, "{outcome:?}");
    for word in words {
        assert!(outcome.stderr.contains(word), "{word}: {outcome:?}");
    }
}

#[test]
fn without_a_bus_create_fails_at_once() {
    if harness::cannot_boot() {
        return;
    }
    let program = Program::new().with_flag("--systemd-cgroup");
    let bundle = scoped("no-bus");
    let container = Container::new(&program, "no-bus", &bundle);
    let run = systemds_run();
    let (outcome, took) = on_host(&program, run.path(), &container.create_command());
    assert_says(&outcome, &WORDS);
    assert!(took < Duration::from_secs(3), "{took:?}");
    program.assert_nothing_left("no-bus", &bundle);
}

#[test]
fn a_bus_that_says_nothing_is_not_waited_for_twice() {
    if harness::cannot_boot() {
        return;
    }
    let program = Program::new().with_flag("--systemd-cgroup");
    let bundle = scoped("silent");
    let container = Container::new(&program, "silent", &bundle);
    let run = systemds_run();
    fs::create_dir(run.path().join("dbus")).unwrap();
    let _silent = UnixListener::bind(run.path().join("dbus/system_bus_socket")).unwrap();
    let (outcome, took) = on_host(&program, run.path(), &container.create_command());
    assert_says(&outcome, &WORDS);
    assert!(took < Duration::from_secs(15), "{took:?}");
    program.assert_nothing_left("silent", &bundle);
}

/// A unikernel of systemd's, by its record. First its bus is gone, then all of systemd.
#[test]
fn delete_does_not_wait_either() {
    if harness::cannot_boot() {
        return;
    }
    let program = Program::new();
    let bundle = Bundle::unikernel("orphan", "spin", "pvh", &["spin"]);
    let container = Container::new(&program, "orphan", &bundle);
    container.start();
    let file = program.store().join("orphan/record.json");
    let mut record: serde_json::Value = serde_json::from_slice(&fs::read(&file).unwrap()).unwrap();
    record["systemd_cgroup"] = true.into();
    record["cgroups_path"] = "runu-test.slice:test:orphan".into();
    fs::write(&file, record.to_string()).unwrap();

    let run = systemds_run();
    let delete = program.command(&["delete", "--force", "orphan"]);
    let (outcome, took) = on_host(&program, run.path(), &delete);
    assert_says(&outcome, &WORDS);
    assert!(took < Duration::from_secs(3), "{took:?}");
    // The monitor has ended all the same, and a later call has the rest to do.
    assert_eq!(container.wait(), 137);

    let bare = tempfile::tempdir().unwrap();
    let (outcome, took) = on_host(&program, bare.path(), &delete);
    assert_eq!(outcome.code, 0, "{outcome:?}");
    assert!(took < Duration::from_secs(3), "{took:?}");
    for cgroup in harness::cgroups("runu-test-orphan") {
        fs::remove_dir(cgroup).unwrap();
    }
    program.assert_nothing_left("orphan", &bundle);
}

#[test]
fn without_systemd_create_says_so() {
    if harness::cannot_boot() {
        return;
    }
    let program = Program::new().with_flag("--systemd-cgroup");
    let bundle = scoped("none");
    let container = Container::new(&program, "none", &bundle);
    let run = tempfile::tempdir().unwrap();
    let (outcome, took) = on_host(&program, run.path(), &container.create_command());
    let words = [
        "systemd support for managing cgroups is not available",
        "leave --systemd-cgroup out",
    ];
    assert_says(&outcome, &words);
    assert!(took < Duration::from_secs(3), "{took:?}");
    program.assert_nothing_left("none", &bundle);
}
