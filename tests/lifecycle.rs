//! A unikernel's life through the program, on the host's KVM.

mod harness;

use std::fs::{self, File};
use std::io::Write;

use harness::bundle::Bundle;
use harness::guard::Container;
use harness::program::{Program, wait_for};
use serde_json::Value;

const ABIS: [&str; 3] = ["linux64", "pvh", "multiboot1"];

#[test]
fn hello_by_every_abi() {
    if harness::cannot_boot() {
        return;
    }
    for abi in ABIS {
        let program = Program::new();
        let id = format!("hello-{abi}");
        let bundle = Bundle::unikernel(&id, "hello", abi, &["hello", "from", abi]);
        let container = Container::new(&program, &id, &bundle);
        container.start();
        assert_eq!(container.wait(), 0, "{abi}: {}", container.stderr());
        let said = container.stdout();
        for line in [
            "hello from a unikernel",
            &format!("cmdline: hello from {abi}"),
            &format!("abi: {abi}"),
        ] {
            assert!(said.contains(line), "{abi}: {line:?} is not in {said}");
        }
        assert_eq!(container.stderr(), "");
    }
}

#[test]
fn the_exit_code_is_the_guests() {
    if harness::cannot_boot() {
        return;
    }
    let program = Program::new();
    let cases = [
        ("exit", "exit=0", 0),
        ("exit", "exit=7", 7),
        ("exit", "exit=255", 255),
        ("crash", "how=reset", 0),
        ("crash", "how=poweroff", 0),
        ("crash", "how=port", 134),
        ("crash", "how=triple-fault", 139),
        ("crash", "how=halt", 139),
    ];
    for (n, (guest, argument, status)) in cases.into_iter().enumerate() {
        let id = format!("code-{n}");
        let bundle = Bundle::unikernel(&id, guest, ABIS[n % 3], &[guest, argument]);
        let container = Container::new(&program, &id, &bundle);
        container.start();
        assert_eq!(
            container.wait(),
            status,
            "{argument}: {}",
            container.stderr()
        );
        let faults = container.stderr();
        assert_eq!(
            faults.contains("the guest crashed"),
            status > 128 && status != 255,
            "{faults}"
        );
    }
}

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
        &["update", "--resources=-", "life"],
        "update is not supported",
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
    assert_nothing_left(&program, "life");
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

#[track_caller]
fn assert_nothing_left(program: &Program, id: &str) {
    assert!(
        !program.store().exists(),
        "{} is left",
        program.store().display()
    );
    let mounts = fs::read_to_string("/proc/self/mountinfo").unwrap();
    assert!(!mounts.contains(&format!("/{id}")), "{mounts}");
    let cgroups = harness::cgroups(&format!("runu-test-{id}"));
    assert!(cgroups.is_empty(), "{cgroups:?} are left");
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
    assert_nothing_left(&program, "unstarted");

    assert_eq!(container.create().code, 0);
    program.ok(&["kill", "unstarted", "KILL"]);
    assert_eq!(container.wait(), 137);
    program.ok(&["delete", "unstarted"]);
    assert_nothing_left(&program, "unstarted");
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
    assert_nothing_left(&program, "forced");
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
    assert_nothing_left(&program, "paused");
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
fn input_reaches_the_guest() {
    if harness::cannot_boot() {
        return;
    }
    for abi in ABIS {
        let program = Program::new();
        let bundle = Bundle::unikernel("echo", "echo", abi, &["echo"]);
        let container = Container::new(&program, "echo", &bundle);
        let (reader, mut writer) = std::io::pipe().unwrap();
        let created = container.create_with_stdin(reader);
        assert_eq!(created.code, 0, "{}", created.stderr);
        program.ok(&["start", "echo"]);
        container.wait_output("ready");
        // More than the serial port's FIFO holds.
        let long = "0123456789".repeat(20);
        writer
            .write_all(format!("one\n{long}\nquit\n").as_bytes())
            .unwrap();
        assert_eq!(container.wait(), 0);
        let said = container.stdout();
        assert!(said.contains("echo: one"), "{said}");
        assert!(said.contains(&format!("echo: {long}")), "{said}");
    }
}

#[test]
fn the_end_of_input_is_not_the_end_of_the_guest() {
    if harness::cannot_boot() {
        return;
    }
    let program = Program::new();
    let bundle = Bundle::unikernel("eof", "sleep", "pvh", &["sleep", "ticks=1"]);
    let container = Container::new(&program, "eof", &bundle);
    container.start();
    assert_eq!(container.wait(), 0, "{}", container.stderr());
    assert!(
        container.stdout().contains("tick 1"),
        "{}",
        container.stdout()
    );
}

#[test]
fn the_initrd_arrives_whole() {
    if harness::cannot_boot() {
        return;
    }
    let initrd: Vec<u8> = (0..70_001u32).map(|n| (n * 7 % 251) as u8).collect();
    let sum: u32 = initrd.iter().map(|&byte| u32::from(byte)).sum();
    for abi in ABIS {
        let program = Program::new();
        let bundle = Bundle::unikernel("initrd", "hello", abi, &["hello"]);
        fs::write(bundle.rootfs().join("unikraft/bin/initrd"), &initrd).unwrap();
        let container = Container::new(&program, "initrd", &bundle);
        container.start();
        assert_eq!(container.wait(), 0);
        let expected = format!("initrd: {} bytes, checksum {sum:#010x}", initrd.len());
        assert!(
            container.stdout().contains(&expected),
            "{abi}: {}",
            container.stdout()
        );
    }
}

#[test]
fn guest_memory_follows_the_limit_or_the_annotation() {
    if harness::cannot_boot() {
        return;
    }
    let program = Program::new();
    let usable = |id: &str, bundle: &Bundle| -> u64 {
        let container = Container::new(&program, id, bundle);
        container.start();
        assert_eq!(container.wait(), 0, "{}", container.stderr());
        let said = container.stdout();
        let line = said
            .lines()
            .find_map(|line| line.strip_prefix("memory: "))
            .unwrap();
        line.split(' ').next().unwrap().parse().unwrap()
    };
    let mib = |bytes: u64| bytes >> 20;
    // All but the little that lies below 1 MiB and is not memory.
    let limited = Bundle::unikernel("limited", "hello", "pvh", &["hello"]);
    let overhead = runu::plan::OVERHEAD >> 20;
    assert!((63 - overhead..=64 - overhead).contains(&mib(usable("limited", &limited))));
    let asked = Bundle::unikernel("asked", "hello", "linux64", &["hello"])
        .annotate("runu.dev/memory", "20Mi");
    assert!((19..=20).contains(&mib(usable("asked", &asked))));
    // Past the hole below 4 GiB, without a limit.
    let large = Bundle::unikernel("large", "hello", "multiboot1", &["hello"])
        .annotate("runu.dev/memory", "5Gi")
        .with(|config| config["linux"]["resources"]["memory"] = Value::Null);
    assert!((5 * 1024 - 1..=5 * 1024).contains(&mib(usable("large", &large))));
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
    assert_nothing_left(&program, "toolong");
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
fn run_in_the_foreground_gives_the_status_and_cleans_up() {
    if harness::cannot_boot() {
        return;
    }
    let program = Program::new();
    let bundle = Bundle::unikernel("fore", "exit", "linux64", &["exit", "exit=9"]);
    let run = program.call(&["run", "--bundle", bundle.path().to_str().unwrap(), "fore"]);
    assert_eq!(run.code, 9, "{}", run.stderr);
    assert_nothing_left(&program, "fore");

    let bundle = Bundle::unikernel("detached", "sleep", "pvh", &["sleep"]);
    let container = Container::new(&program, "detached", &bundle);
    let path = bundle.path().to_str().unwrap();
    program.ok(&["run", "-d", "--bundle", path, "detached"]);
    program.wait_status("detached", "running");
    drop(container);
    assert_nothing_left(&program, "detached");
}

#[test]
fn run_hands_signals_on() {
    if harness::cannot_boot() {
        return;
    }
    let program = Program::new();
    let bundle = Bundle::unikernel("signalled", "spin", "pvh", &["spin"]);
    let output = bundle.path().join("output");
    let mut run = program
        .command(&[
            "run",
            "--bundle",
            bundle.path().to_str().unwrap(),
            "signalled",
        ])
        .stdout(File::create(&output).unwrap())
        .spawn()
        .unwrap();
    wait_for("the guest", || {
        fs::read_to_string(&output)
            .unwrap()
            .contains("spin")
            .then_some(())
    });
    let pid = nix::unistd::Pid::from_raw(run.id() as i32);
    nix::sys::signal::kill(pid, nix::sys::signal::Signal::SIGINT).unwrap();
    assert_eq!(run.wait().unwrap().code(), Some(130));
    assert_nothing_left(&program, "signalled");
}
