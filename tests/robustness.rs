//! Calls that are killed, that come at once, and containers whose files or
//! processes were meddled with: `delete --force` always leaves nothing.

use std::fs;
use std::process::{Child, Stdio};
use std::time::Duration;

use harness::bundle::Bundle;
use harness::guard::Container;
use harness::program::Program;
use nix::libc::SIGKILL;
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use serde_json::{Value, json};

#[test]
fn a_killed_create_leaves_what_delete_removes() {
    if harness::cannot_boot() {
        return;
    }
    let program = Program::new();
    let bundle = Bundle::unikernel("killed", "spin", "pvh", &["spin"]);
    let container = Container::new(&program, "killed", &bundle);
    // Delays over the whole of a `create`, and most where it forks.
    for delay in (0..12_000)
        .step_by(400)
        .chain((12_000..60_000).step_by(4_000))
    {
        let mut create = container
            .create_command()
            .stdin(Stdio::null())
            .spawn()
            .unwrap();
        std::thread::sleep(Duration::from_micros(delay));
        create.kill().unwrap();
        create.wait().unwrap();
        program.ok(&["delete", "--force", "killed"]);
        program.assert_nothing_left("killed", &bundle);
    }
    container.start();
    container.wait_output("spinning");
}

#[test]
fn a_killed_delete_can_be_repeated() {
    if harness::cannot_boot() {
        return;
    }
    let program = Program::new();
    let bundle = Bundle::unikernel("undeleted", "spin", "pvh", &["spin"]);
    let container = Container::new(&program, "undeleted", &bundle);
    for delay in (0..20_000).step_by(2_000) {
        assert_eq!(container.create().code, 0);
        let mut delete = program.command(&["delete", "undeleted"]).spawn().unwrap();
        std::thread::sleep(Duration::from_micros(delay));
        delete.kill().unwrap();
        delete.wait().unwrap();
        program.ok(&["delete", "--force", "undeleted"]);
        program.assert_nothing_left("undeleted", &bundle);
    }
}

#[test]
fn of_calls_at_once_one_wins() {
    if harness::cannot_boot() {
        return;
    }
    let program = Program::new();
    let bundle = Bundle::unikernel("raced", "spin", "pvh", &["spin"]);
    let container = Container::new(&program, "raced", &bundle);
    let create = container.create_command();
    // Less the flags before the verb.
    let create: Vec<_> = create.get_args().skip(6).map(ToOwned::to_owned).collect();
    for _ in 0..5 {
        let spawn = |args: &[&str]| quiet(&program, args).spawn().unwrap();
        let creates = [0; 3].map(|_| quiet::<&str>(&program, &[]).args(&create).spawn().unwrap());
        assert_eq!(successes(creates), 1, "creates");
        assert_eq!(program.state("raced")["status"], "created");
        assert_eq!(
            successes([0; 3].map(|_| spawn(&["start", "raced"]))),
            1,
            "starts"
        );
        assert_eq!(program.state("raced")["status"], "running");
        assert_eq!(
            successes([0; 3].map(|_| spawn(&["delete", "--force", "raced"]))),
            3,
            "deletes"
        );
        program.assert_nothing_left("raced", &bundle);

        // Whatever comes first, nothing is left in the end.
        let creating = quiet::<&str>(&program, &[]).args(&create).spawn().unwrap();
        std::thread::sleep(Duration::from_millis(3));
        assert_eq!(
            successes([creating, spawn(&["delete", "--force", "raced"])]).max(1),
            2
        );
        program.ok(&["delete", "--force", "raced"]);
        program.assert_nothing_left("raced", &bundle);
    }
}

/// A call whose output nobody reads.
fn quiet<S: AsRef<std::ffi::OsStr>>(program: &Program, args: &[S]) -> std::process::Command {
    let mut command = program.command(args);
    command.stdout(Stdio::null()).stderr(Stdio::null());
    command
}

fn successes<const N: usize>(children: [Child; N]) -> usize {
    let succeeded = children.map(|mut child| child.wait().unwrap().success());
    succeeded.into_iter().filter(|success| *success).count()
}

#[test]
fn a_monitor_killed_from_outside_is_a_stopped_container() {
    if harness::cannot_boot() {
        return;
    }
    let program = Program::new();
    let bundle = Bundle::unikernel("shot", "spin", "pvh", &["spin"]);
    let container = Container::new(&program, "shot", &bundle);
    assert_eq!(container.create().code, 0);
    kill(Pid::from_raw(container.pid()), Signal::SIGKILL).unwrap();
    program.wait_status("shot", "stopped");
    let start = program.call(&["start", "shot"]);
    assert!(
        start
            .stderr
            .contains("cannot start a container that has stopped"),
        "{start:?}"
    );
    assert_eq!(container.wait(), 128 + SIGKILL);
    program.ok(&["delete", "shot"]);
    program.assert_nothing_left("shot", &bundle);
}

#[test]
fn signals_end_one_that_is_not_started() {
    if harness::cannot_boot() {
        return;
    }
    let program = Program::new();
    let bundle = Bundle::unikernel("waiting", "spin", "pvh", &["spin"]);
    let container = Container::new(&program, "waiting", &bundle);
    for (signal, status) in [("TERM", 143), ("INT", 130), ("HUP", 129)] {
        assert_eq!(container.create().code, 0);
        program.ok(&["kill", "waiting", signal]);
        assert_eq!(container.wait(), status, "{signal}");
        program.ok(&["delete", "waiting"]);
        program.assert_nothing_left("waiting", &bundle);
    }
}

#[test]
fn corrupt_files_are_reported_and_deleted_by_force() {
    if harness::cannot_boot() {
        return;
    }
    let program = Program::new();
    let bundle = Bundle::unikernel("corrupt", "spin", "pvh", &["spin"]);
    let container = Container::new(&program, "corrupt", &bundle);
    let dir = program.store().join("corrupt");
    let corrupt: [(&str, &dyn Fn()); 5] = [
        ("record.json", &|| {
            fs::write(dir.join("record.json"), "{").unwrap()
        }),
        ("does not exist", &|| {
            fs::remove_file(dir.join("record.json")).unwrap()
        }),
        ("EOF while parsing", &|| {
            fs::write(dir.join("container/corrupt/state.json"), "{").unwrap();
        }),
        ("No such file", &|| {
            fs::remove_dir_all(dir.join("container")).unwrap()
        }),
        ("does not exist", &|| {
            fs::remove_file(dir.join("record.json")).unwrap();
            fs::remove_dir_all(dir.join("container")).unwrap();
        }),
    ];
    for (words, change) in corrupt {
        let created = container.create();
        assert_eq!(created.code, 0, "{created:?}");
        change();
        let start = program.call(&["start", "corrupt"]);
        assert_eq!(
            (start.code, start.stderr.lines().count()),
            (1, 1),
            "{start:?}"
        );
        assert!(start.stderr.contains(words), "{words}: {start:?}");
        program.ok(&["delete", "--force", "corrupt"]);
        assert_eq!(container.wait(), 128 + SIGKILL);
        program.assert_nothing_left("corrupt", &bundle);
    }
}

#[test]
fn a_record_of_another_life_touches_no_stranger() {
    if harness::cannot_boot() {
        return;
    }
    let program = Program::new();
    let bundle = Bundle::unikernel("stale", "spin", "pvh", &["spin"]);
    let container = Container::new(&program, "stale", &bundle);
    assert_eq!(container.create().code, 0);
    // As after a reboot: the pid is another's, this test's.
    let path = program.store().join("stale/record.json");
    let mut record: Value = serde_json::from_slice(&fs::read(&path).unwrap()).unwrap();
    record["process"] = json!({ "pid": std::process::id(), "start_time": 1 });
    fs::write(&path, record.to_string()).unwrap();
    assert_eq!(program.state("stale")["status"], "stopped");
    program.ok(&["delete", "stale"]);
    assert_eq!(container.wait(), 128 + SIGKILL);
    program.assert_nothing_left("stale", &bundle);
}

#[test]
fn an_edited_or_missing_bundle_changes_nothing() {
    if harness::cannot_boot() {
        return;
    }
    let program = Program::new();
    for remove in [false, true] {
        let bundle = Bundle::unikernel("unbundled", "spin", "pvh", &["spin"]);
        let container = Container::new(&program, "unbundled", &bundle);
        assert_eq!(container.create().code, 0);
        fs::write(bundle.path().join("config.json"), "{").unwrap();
        if remove {
            fs::remove_file(bundle.path().join("config.json")).unwrap();
            fs::remove_dir_all(bundle.rootfs()).unwrap();
        }
        program.ok(&["start", "unbundled"]);
        container.wait_output("spinning");
        program.ok(&["delete", "--force", "unbundled"]);
        program.assert_nothing_left("unbundled", &bundle);
    }
}

#[test]
fn a_full_disk_is_told_and_nothing_stays() {
    if harness::cannot_boot() {
        return;
    }
    let program = Program::new();
    let bundle = Bundle::unikernel("full", "spin", "pvh", &["spin"]);
    let container = Container::new(&program, "full", &bundle);
    let create = container.create_command();
    // In a mount namespace of its own, a /run of so many 4 KiB pages: each write fails in turn.
    for pages in 1..=4 {
        let script = format!(
            "mount -t tmpfs -o size={} none /run && exec \"$@\"",
            pages * 4096
        );
        let mut full = std::process::Command::new("unshare");
        full.args(["--mount", "sh", "-c", &script, "sh"]);
        full.arg(create.get_program()).args(create.get_args());
        let outcome = program.capture(full.stdin(Stdio::null()));
        let told = "No space left on device";
        assert!(
            outcome.code == 1 && outcome.stderr.contains(told),
            "{pages}: {outcome:?}"
        );
        assert_eq!(
            outcome.stderr.lines().count(),
            1,
            "{pages}: {}",
            outcome.stderr
        );
        program.assert_nothing_left("full", &bundle);
    }
}
