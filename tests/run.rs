//! `run`: create, start, wait and delete in one call.

use std::fs::{self, File};

use harness::bundle::Bundle;
use harness::guard::Container;
use harness::program::{Program, wait_for};
use serde_json::json;

#[test]
fn run_in_the_foreground_gives_the_status_and_cleans_up() {
    if harness::cannot_boot() {
        return;
    }
    let program = Program::new();
    let bundle = Bundle::unikernel("fore", "exit", "linux64", &["exit", "exit=9"]);
    let run = program.call(&["run", "--bundle", bundle.path().to_str().unwrap(), "fore"]);
    assert_eq!(run.code, 9, "{}", run.stderr);
    program.assert_nothing_left("fore", &bundle);

    let bundle = Bundle::unikernel("detached", "sleep", "pvh", &["sleep"]);
    let container = Container::new(&program, "detached", &bundle);
    let path = bundle.path().to_str().unwrap();
    program.ok(&["run", "-d", "--bundle", path, "detached"]);
    program.wait_status("detached", "running");
    drop(container);
    program.assert_nothing_left("detached", &bundle);
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
    program.assert_nothing_left("signalled", &bundle);
}

#[test]
fn a_signal_while_it_creates_is_the_guests_too() {
    if harness::cannot_boot() {
        return;
    }
    let program = Program::new();
    for delay in (0..40).step_by(2) {
        let bundle = Bundle::unikernel("early", "spin", "pvh", &["spin"]);
        let path = bundle.path().to_str().unwrap();
        let mut run = program
            .command(&["run", "--bundle", path, "early"])
            .stdout(std::process::Stdio::null())
            .spawn()
            .unwrap();
        std::thread::sleep(std::time::Duration::from_millis(delay));
        let pid = nix::unistd::Pid::from_raw(run.id() as i32);
        nix::sys::signal::kill(pid, nix::sys::signal::Signal::SIGTERM).unwrap();
        // Before `run` has looked at the bundle, the signal ends `run` itself.
        let code = run.wait().unwrap().code();
        assert!(
            matches!(code, Some(143) | None),
            "{code:?} after {delay} ms"
        );
        program.assert_nothing_left("early", &bundle);
    }
}

/// podman with `--systemd=always`: a mount among the cgroup's files.
#[test]
fn a_mount_among_the_cgroups_files() {
    if harness::cannot_boot() {
        return;
    }
    let program = Program::new();
    let bundle = Bundle::unikernel("systemd", "exit", "pvh", &["exit=0"]).with(|config| {
        config["mounts"].as_array_mut().unwrap().extend([
            json!({ "destination": "/sys", "type": "sysfs", "source": "sysfs" }),
            json!({ "destination": "/sys/fs/cgroup", "type": "cgroup", "source": "cgroup" }),
            json!({
                "destination": "/sys/fs/cgroup/systemd",
                "type": "bind",
                "source": "/sys/fs/cgroup",
                "options": ["rbind"],
            }),
        ]);
    });
    program.ok(&[
        "run",
        "--bundle",
        bundle.path().to_str().unwrap(),
        "systemd",
    ]);
    program.assert_nothing_left("systemd", &bundle);
}

/// What runc knows of mounts beyond the OCI specification, and callers use.
#[test]
fn runcs_own_words_for_mounts() {
    if harness::cannot_boot() {
        return;
    }
    let program = Program::new();
    for propagation in ["rshared", "rslave", "rprivate", "runbindable", "slave"] {
        let bundle = Bundle::unikernel("mounts", "exit", "pvh", &["exit=0"]).with(|config| {
            config["linux"]["rootfsPropagation"] = propagation.into();
            config["mounts"].as_array_mut().unwrap().push(json!({
                "destination": "/scratch",
                "type": "tmpfs",
                "source": "tmpfs",
                "options": ["rw", "rprivate", "tmpcopyup"],
            }));
        });
        program.ok(&["run", "--bundle", bundle.path().to_str().unwrap(), "mounts"]);
        program.assert_nothing_left("mounts", &bundle);
    }
}
