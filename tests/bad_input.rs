//! Bad bundles: exit 1, one line on stderr, the same line in the log, and
//! nothing left.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use harness::bundle::Bundle;
use harness::program::{Outcome, Program};
use serde_json::{Value, json};

/// What is in Rust's debug text of an error, and in no line for people.
const DEBUG_TEXT: [&str; 7] = ["Err(", "Os {", "V1(", "V2(", "WrappedIo", "Some(", "Nix("];

/// Calls `create` on a bundle that must be refused, and checks all that holds
/// for any refusal; `words` must be in the message.
#[track_caller]
fn refused(bundle: &Path, words: &[&str]) {
    let program = Program::new();
    let id = "runu-test-bad";
    let pid_file = bundle.join("pid");
    let args = [
        "create",
        "--pid-file",
        pid_file.to_str().unwrap(),
        "--bundle",
    ];
    let mut command = program.command(&args);
    command.arg(bundle).arg(id);
    check(&program, program.capture(&mut command), words);
    assert!(!pid_file.exists(), "a pid file is left");
}

#[track_caller]
fn check(program: &Program, outcome: Outcome, words: &[&str]) {
    assert_eq!(outcome.code, 1, "{outcome:?}");
    assert_eq!(outcome.stdout, "");
    let lines: Vec<_> = outcome.stderr.lines().collect();
    let [line] = lines[..] else {
        panic!("not one line: {}", outcome.stderr)
    };
    for word in words {
        assert!(line.contains(word), "{word:?} is not in {line:?}");
    }
    for mark in DEBUG_TEXT {
        assert!(!line.contains(mark), "{mark:?} is in {line:?}");
    }
    let log = program.log_lines();
    let [entry] = &log[..] else {
        panic!("not one line in the log: {log:?}")
    };
    assert_eq!(entry["msg"], line);
    assert_eq!(entry["level"], "error");
    assert!(
        !program.store().exists(),
        "state is left in {}",
        program.store().display()
    );
    assert!(
        !program.root().join("runu-test-bad").exists(),
        "runc was given it"
    );
    assert_eq!(harness::cgroups("runu-test-bad"), Vec::<PathBuf>::new());
}

#[test]
fn config_json() {
    let dir = tempfile::tempdir().unwrap();
    let config = dir.path().join("config.json");
    refused(Path::new("/nowhere"), &["/nowhere", "No such file"]);
    refused(dir.path(), &["has no config.json"]);
    fs::write(&config, "{\"ociVersion\": ").unwrap();
    refused(dir.path(), &["config.json", "line 1 column"]);
    fs::write(&config, "[]").unwrap();
    refused(dir.path(), &["config.json"]);
    let spaces = " ".repeat(10 << 20);
    fs::write(&config, format!("{{{spaces}}}")).unwrap();
    refused(
        dir.path(),
        &["config.json", "10485762 bytes", "too large", "4 MiB"],
    );
    fs::write(&config, "{}").unwrap();
    refused(dir.path(), &["names no root.path"]);
    // runc would read it.
    fs::write(&config, r#"{"root":{"path":"."},"Annotations":{}}"#).unwrap();
    refused(dir.path(), &["\"Annotations\"", "\"annotations\""]);
    fs::remove_file(&config).unwrap();
    fs::create_dir(&config).unwrap();
    refused(dir.path(), &["config.json", "not a regular file"]);
    fs::remove_dir(&config).unwrap();
    nix::unistd::mkfifo(&config, nix::sys::stat::Mode::from_bits_truncate(0o600)).unwrap();
    refused(dir.path(), &["config.json", "not a regular file"]);
}

#[test]
fn the_rootfs() {
    let bundle = Bundle::fixture("ordinary");
    fs::remove_dir_all(bundle.rootfs()).unwrap();
    refused(bundle.path(), &["rootfs", "No such file"]);
    fs::write(bundle.rootfs(), "").unwrap();
    refused(bundle.path(), &["rootfs", "Not a directory"]);
}

#[test]
fn kernels_and_annotations() {
    // Each case's whole message is in its snapshot under `explain`; here it is the same
    // message by the way that containerd sees it.
    let cases: &[(&str, &[&str])] = &[
        ("kernel-missing", &["kernel /k", "no such file"]),
        ("kernel-empty", &["/unikraft/bin/kernel", "empty"]),
        (
            "kernel-is-a-directory",
            &["/unikraft/bin/kernel", "directory"],
        ),
        (
            "kernel-leads-out",
            &["/unikraft/bin/kernel", "leads out of the rootfs"],
        ),
        ("kernel-truncated", &["/unikraft/bin/kernel", "truncated"]),
        (
            "kernel-of-another-machine",
            &["/unikraft/bin/kernel", "arm64"],
        ),
        (
            "kernel-of-no-known-abi",
            &["/unikraft/bin/kernel", "PVH", "Multiboot"],
        ),
        ("kernel-larger-than-memory", &["64 MiB", "memory"]),
        ("mode-unknown", &["runu.dev/mode", "\"vm\""]),
        ("mode-unikernel-without-kernel", &["no kernel"]),
        ("memory-of-12", &["runu.dev/memory", "12 bytes"]),
        ("memory-of-1e30", &["runu.dev/memory", "1e30"]),
        ("memory-limit-too-small", &["memory limit"]),
        ("contradiction", &["runu.dev/mode", "runu.dev/kernel"]),
        ("annotation-unknown", &["runu.dev/kernal"]),
    ];
    for (case, words) in cases {
        refused(Bundle::fixture(case).path(), words);
    }
}

#[test]
fn run_refuses_as_create_does() {
    let program = Program::new();
    let bundle = Bundle::fixture("kernel-missing");
    let args = [
        "run",
        "--bundle",
        bundle.path().to_str().unwrap(),
        "runu-test-bad",
    ];
    check(&program, program.call(&args), &["kernel /k"]);
}

#[test]
fn an_id_that_is_none() {
    let bundle = Bundle::fixture("kernel-in-image");
    for id in ["..", "a/b", "a b", "é"] {
        let program = Program::new();
        let args = ["create", "--bundle", bundle.path().to_str().unwrap(), id];
        check(
            &program,
            program.call(&args),
            &["invalid container ID format"],
        );
    }
}

#[test]
fn no_runc_is_an_error_for_ordinary_containers_only() {
    let config = tempfile::NamedTempFile::new().unwrap();
    fs::write(&config, "runtimes = [\"/nowhere/runc\"]\n").unwrap();
    let call = |case: &str| {
        let program = Program::new();
        let bundle = Bundle::fixture(case);
        let mut command = program.command(&["create", "--bundle"]);
        command
            .arg(bundle.path())
            .arg("runu-test-bad")
            .env("RUNU_CONFIG", config.path());
        let outcome = program.capture(&mut command);
        (program, outcome)
    };
    let (program, outcome) = call("ordinary");
    check(&program, outcome, &["/nowhere/runc", "install runc"]);
    let (program, outcome) = call("kernel-missing");
    check(&program, outcome, &["kernel /k"]);
}

#[test]
fn no_kvm() {
    if !nix::unistd::geteuid().is_root() && harness::skip("hiding /dev/kvm needs root") {
        return;
    }
    let program = Program::new();
    let bundle = Bundle::fixture("kernel-in-image");
    // In a mount namespace of its own, an empty /dev.
    let create = program.command(&["create", "--bundle", bundle.path().to_str().unwrap(), "x"]);
    let mut hidden = Command::new("unshare");
    hidden.args([
        "--mount",
        "sh",
        "-c",
        "mount -t tmpfs none /dev && exec \"$@\"",
        "sh",
    ]);
    hidden
        .arg(create.get_program())
        .args(create.get_args())
        .stdin(std::process::Stdio::null());
    check(
        &program,
        program.capture(&mut hidden),
        &["/dev/kvm", "needs KVM"],
    );
}

#[test]
fn what_the_container_cannot_have() {
    if harness::cannot_boot() {
        return;
    }
    type Change = fn(&mut Value);
    let cases: &[(&[&str], Change)] = &[
        (&["/nowhere/at/all", "No such file"], |config| {
            let mount = json!({ "destination": "/x", "type": "bind", "source": "/nowhere/at/all", "options": ["bind"] });
            config["mounts"].as_array_mut().unwrap().push(mount);
        }),
        (&["nofs", "/x", "ENODEV"], |config| {
            let mount = json!({ "destination": "/x", "type": "nofs", "source": "x" });
            config["mounts"].as_array_mut().unwrap().push(mount);
        }),
        (&["/run/netns/nowhere", "ENOENT"], |config| {
            let network = json!({ "type": "network", "path": "/run/netns/nowhere" });
            config["linux"]["namespaces"][4] = network;
        }),
        (&["process.rlimits", "RLIMIT_NOFILE", "EPERM"], |config| {
            let limit = json!({ "type": "RLIMIT_NOFILE", "soft": 1 << 30, "hard": 1 << 30 });
            config["process"]["rlimits"] = json!([limit]);
        }),
        // Its mounts would be made on the host and stay there.
        (&["mount", "linux.namespaces"], |config| {
            config["linux"]["namespaces"] = json!([{ "type": "pid" }, { "type": "network" }]);
        }),
        (&["config.json has no process"], |config| {
            config["process"] = Value::Null
        }),
        // `delete` ends all that is in the container's cgroup.
        (&["cgroupsPath", "of the container's own"], |config| {
            config["linux"]["cgroupsPath"] = "/".into();
        }),
        (&["cgroupsPath", "of the container's own"], |config| {
            config["linux"]["cgroupsPath"] = "/a/../..".into();
        }),
    ];
    for (words, change) in cases {
        let bundle = Bundle::unikernel("unhad", "spin", "pvh", &["spin"]).with(change);
        refused(bundle.path(), words);
        let mounts = fs::read_to_string("/proc/self/mountinfo").unwrap();
        assert_eq!(harness::cgroups("runu-test-unhad"), Vec::<PathBuf>::new());
        assert!(
            !mounts.contains(bundle.path().to_str().unwrap()),
            "{mounts}"
        );
    }
}

/// Where in config.json, a key there, its value, and words of the error.
const UNFIT: &str = r#"
linux.resources pids {"limit":1152921504606846976} .limit
linux.resources cpu {"cpus":"99999"} .cpus
linux.resources cpu {"quota":10} .quota
linux.resources cpu {"shares":"many"} .shares: invalid type
linux.resources hugepageLimits [{"pageSize":"3KB","limit":5}] :
linux sysctl {"net.no.such":"1"} this kernel has no "net.no.such"
linux sysctl {"vm.swappiness":"1"} vm.swappiness
linux rootfsPropagation "some" "some"
linux devices [{"path":"x","type":"c","major":1,"minor":3}] /dev
process rlimits [{"type":"RLIMIT_CORE","soft":5,"hard":1}] RLIMIT_CORE of soft 5 and hard 1
process rlimits [{"type":"RLIMIT_X"}] [0].type: unknown variant
process oomScoreAdj 5000 Invalid argument
process scheduler {"policy":"SCHED_FIFO","priority":1000} EINVAL
process user {"uid":-1,"gid":0} .uid: invalid value
"#;

#[test]
fn what_a_key_cannot_be_is_said_of_the_key() {
    if harness::cannot_boot() {
        return;
    }
    for line in UNFIT.trim().lines() {
        let [parent, key, value, words] = line.splitn(4, ' ').collect::<Vec<_>>()[..] else {
            panic!("{line}")
        };
        let pointer = format!("/{}", parent.replace('.', "/"));
        let value: Value = serde_json::from_str(value).unwrap();
        let bundle = Bundle::unikernel("unfit", "spin", "pvh", &["spin"])
            .with(|config| config.pointer_mut(&pointer).unwrap()[key] = value);
        refused(bundle.path(), &[&format!("{parent}.{key}"), words]);
        assert_eq!(harness::cgroups("runu-test-unfit"), Vec::<PathBuf>::new());
    }
}

#[test]
fn a_cgroup_with_others_in_it() {
    if harness::cannot_boot() {
        return;
    }
    let bundle = Bundle::unikernel("shared", "spin", "pvh", &["spin"]);
    // Any hierarchy of v1, or the one of v2.
    let top = PathBuf::from("/sys/fs/cgroup");
    let v1 = top.join("devices");
    let cgroup = if v1.exists() { v1 } else { top }.join("runu-test-shared");
    let mut other = Command::new("sleep").arg("60").spawn().unwrap();
    fs::create_dir(&cgroup).unwrap();
    fs::write(cgroup.join("cgroup.procs"), other.id().to_string()).unwrap();
    let outcome = std::panic::catch_unwind(|| {
        refused(bundle.path(), &["/runu-test-shared", "1 processes in it"])
    });
    let lived = other.try_wait().unwrap().is_none();
    other.kill().unwrap();
    other.wait().unwrap();
    fs::remove_dir(&cgroup).unwrap();
    assert!(outcome.is_ok() && lived);
}

#[test]
fn a_cgroup_of_the_other_drivers_form() {
    if harness::cannot_boot() {
        return;
    }
    let program = Program::new();
    let bundle = Bundle::unikernel("unhad", "spin", "pvh", &["spin"]);
    let create = [
        "--systemd-cgroup",
        "create",
        "--bundle",
        bundle.path().to_str().unwrap(),
        "runu-test-bad",
    ];
    check(
        &program,
        program.call(&create),
        &["slice:prefix:name", "/runu-test-unhad"],
    );
}
