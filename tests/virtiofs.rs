//! A guest's files by virtiofsd: the process beside the monitor, from `create` to the end.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::Stdio;

use harness::bundle::Bundle;
use harness::guard::Container;
use harness::program::{Outcome, Program, wait_for};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use serde_json::json;
use tempfile::TempDir;

/// What containerd gives a container, of what virtiofsd could use: CHOWN, DAC_OVERRIDE, FSETID,
/// SETGID, SETUID, MKNOD.
const CAPABILITIES: [&str; 6] = [
    "CAP_CHOWN",
    "CAP_DAC_OVERRIDE",
    "CAP_FSETID",
    "CAP_SETGID",
    "CAP_SETUID",
    "CAP_MKNOD",
];
/// The same without MKNOD, as proc_pid_status(5) has it.
const MASK: &str = "00000000000000d3";

fn bundle(id: &str, guest: &str) -> Bundle {
    let bundle = Bundle::unikernel(id, guest, "pvh", &[guest, "exit=7"]);
    bundle
        .annotate("runu.dev/rootfs", "virtiofs")
        .with(|config| {
            let sets = ["bounding", "effective", "permitted"];
            for set in sets {
                config["process"]["capabilities"][set] = json!(CAPABILITIES);
            }
        })
}

fn cannot_serve() -> bool {
    harness::cannot_boot() || harness::no_virtiofsd()
}

/// The processes in the container's cgroup beside its monitor and KVM's kernel thread.
fn servers(container: &Container) -> Vec<i32> {
    let cgroup = harness::cgroups(&format!("runu-test-{}", container.id));
    let text = fs::read_to_string(cgroup[0].join("cgroup.procs")).unwrap();
    let pids = text.lines().map(|line| line.parse().unwrap());
    pids.filter(|pid| proc(*pid, "comm").starts_with("virtiofsd"))
        .collect()
}

fn proc(pid: i32, name: &str) -> String {
    fs::read_to_string(format!("/proc/{pid}/{name}")).unwrap_or_default()
}

/// Whether nothing of a process is left but perhaps a zombie, which is its parent's.
fn has_ended(pid: i32) -> bool {
    let stat = proc(pid, "stat");
    stat.is_empty() || stat.rsplit(')').next().unwrap().starts_with(" Z")
}

/// The one that serves: the first process of a namespace of its own, whose parent waits for it.
#[track_caller]
fn server(container: &Container) -> i32 {
    let all = servers(container);
    let is_first = |pid: &&i32| {
        let status = proc(**pid, "status");
        let pids = status.lines().find(|line| line.starts_with("NSpid:"));
        pids.is_some_and(|line| line.ends_with("\t1"))
    };
    let server = all.iter().find(is_first);
    *server.unwrap_or_else(|| panic!("{all:?}"))
}

#[test]
fn it_has_the_containers_rights_and_its_tree() {
    if cannot_serve() {
        return;
    }
    let program = Program::new();
    let volume = tempfile::tempdir().unwrap();
    fs::write(volume.path().join("key"), "value").unwrap();
    let bundle = bundle("served", "spin").with(|config| {
        let mounts = config["mounts"].as_array_mut().unwrap();
        let options = ["rbind", "ro"];
        mounts.push(json!({ "destination": "/a volume", "type": "bind", "source": volume.path(), "options": options }));
        config["process"]["oomScoreAdj"] = 500.into();
    });
    let container = Container::new(&program, "served", &bundle);
    container.start();
    container.wait_output("spinning");
    let server = server(&container);
    let status = proc(server, "status");
    for line in [
        &format!("CapPrm:\t{MASK}"),
        &format!("CapEff:\t{MASK}"),
        "CapBnd:\t0000000000000000",
        "NoNewPrivs:\t1",
        "Seccomp:\t2",
    ] {
        assert!(status.contains(line), "{line}: {status}");
    }
    assert_eq!(proc(server, "oom_score_adj").trim(), "500");
    let root = format!("/proc/{server}/root");
    let key = fs::read_to_string(format!("{root}/a volume/key"));
    assert_eq!(key.unwrap(), "value");
    assert!(Path::new(&format!("{root}/unikraft/bin/kernel")).exists());
    for dir in ["proc", "dev/pts"] {
        let entries = fs::read_dir(format!("{root}/{dir}")).unwrap();
        assert_eq!(entries.count(), 0, "{dir}");
    }
    // Of the host's mounts there are none, nor of the kernel's own.
    let mounts = proc(server, "mountinfo");
    let places = mounts.lines().map(|line| line.split(' ').nth(4).unwrap());
    let mut places: Vec<_> = places.collect();
    places.sort_unstable();
    assert_eq!(places, ["/", "/a\\040volume", "/dev", "/dev/shm"]);
    let volume = mounts.lines().find(|line| line.contains("volume"));
    assert!(volume.unwrap().contains(" ro,"), "{mounts}");
    for namespace in ["mnt", "net", "pid"] {
        let of = |pid: &str| fs::read_link(format!("/proc/{pid}/ns/{namespace}")).unwrap();
        let theirs = [of("self"), of(&container.pid().to_string())];
        assert!(!theirs.contains(&of(&server.to_string())), "{namespace}");
    }
    // It holds nothing of its caller's: the container's output for one.
    let fds = fs::read_dir(format!("/proc/{server}/fd")).unwrap();
    let mut fds = fds.map(|fd| fs::read_link(fd.unwrap().path()).unwrap());
    assert!(fds.all(|fd| !fd.starts_with(bundle.path())));
    assert_eq!(
        program.ok(&["ps", "--format", "json", "served"]).trim(),
        format!("[{}]", container.pid())
    );
}

#[test]
fn it_ends_with_the_monitor_however_that_ends() {
    if cannot_serve() {
        return;
    }
    let program = Program::new();
    for how in ["killed", "by itself", "created", "deleted", "paused"] {
        let guest = if how == "by itself" { "exit" } else { "spin" };
        let bundle = bundle("ending", guest);
        let container = Container::new(&program, "ending", &bundle);
        assert_eq!(container.create().code, 0, "{}", container.stderr());
        let servers = servers(&container);
        assert!(!servers.is_empty());
        let have_ended = || servers.iter().all(|pid| has_ended(*pid));
        if how != "created" {
            program.ok(&["start", "ending"]);
        }
        match how {
            "killed" => kill(Pid::from_raw(container.pid()), Signal::SIGKILL).unwrap(),
            "paused" => drop(program.ok(&["pause", "ending"])),
            _ => {}
        }
        if matches!(how, "killed" | "by itself") {
            wait_for("virtiofsd's end", || have_ended().then_some(()));
            assert_eq!(container.wait(), if how == "killed" { 137 } else { 7 });
        }
        program.ok(&["delete", "--force", "ending"]);
        assert!(have_ended(), "{how}");
        program.assert_nothing_left("ending", &bundle);
    }
}

#[test]
fn a_start_without_it_fails_with_the_reason() {
    if cannot_serve() {
        return;
    }
    let program = Program::new();
    let bundle = bundle("bereft", "spin");
    for (signal, words) in [
        (Signal::SIGKILL, "the server of share fs0 has ended"),
        (Signal::SIGSTOP, "the server of share fs0 does not answer"),
    ] {
        let container = Container::new(&program, "bereft", &bundle);
        assert_eq!(container.create().code, 0, "{}", container.stderr());
        kill(Pid::from_raw(server(&container)), signal).unwrap();
        let started = program.call(&["start", "bereft"]);
        assert_eq!((started.code, started.stderr.lines().count()), (1, 1));
        assert!(started.stderr.contains(words), "{}", started.stderr);
        program.ok(&["delete", "--force", "bereft"]);
        program.assert_nothing_left("bereft", &bundle);
    }
}

/// A node with this script in virtiofsd's place.
fn node_with(script: &str) -> (TempDir, String) {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("virtiofsd");
    fs::write(&path, format!("#!/bin/sh\n{script}\n")).unwrap();
    fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).unwrap();
    let config = dir.path().join("config.toml");
    fs::write(&config, format!("virtiofsd = {path:?}\n")).unwrap();
    let config = config.to_str().unwrap().to_owned();
    (dir, config)
}

#[track_caller]
fn refused(bundle: &Bundle, id: &str, config: Option<&str>, words: &str) {
    let program = Program::new();
    let container = Container::new(&program, id, bundle);
    let _ = fs::remove_file(bundle.path().join(format!("{id}.stderr")));
    let mut command = container.create_command();
    command.stdin(Stdio::null());
    command.envs(config.iter().map(|path| ("RUNU_CONFIG", path)));
    let Outcome { code, stderr, .. } = container.spawn(&mut command);
    assert_eq!(code, 1);
    assert_eq!(stderr.lines().count(), 1, "{stderr}");
    assert!(stderr.contains(words), "{stderr}");
    program.assert_nothing_left(id, bundle);
}

#[test]
fn what_cannot_be_served_is_refused_in_one_line() {
    if cannot_serve() {
        return;
    }
    let id = "refused";
    let user = bundle(id, "spin").with(|config| config["process"]["user"]["uid"] = 1000.into());
    refused(&user, id, None, "the container's user is 1000");
    let mapped = bundle(id, "spin").with(|config| {
        let namespaces = config["linux"]["namespaces"].as_array_mut().unwrap();
        namespaces.push(json!({ "type": "user" }));
        let map = json!([{ "containerID": 0, "hostID": 100_000, "size": 65_536 }]);
        config["linux"]["uidMappings"] = map.clone();
        config["linux"]["gidMappings"] = map;
    });
    refused(&mapped, id, None, "in a user namespace");
    let bundle = bundle(id, "spin");
    let (dir, config) = node_with("echo in vain; echo sorry >&2; exit 3");
    refused(&bundle, id, Some(&config), "it said: sorry");
    let (_dir, mute) = node_with("exec sleep 1000");
    refused(&bundle, id, Some(&mute), "it does not answer --help");
    fs::remove_file(dir.path().join("virtiofsd")).unwrap();
    refused(&bundle, id, Some(&config), "install virtiofsd");
    let legacy = bundle.annotate("runu.dev/virtio", "mmio-legacy");
    refused(&legacy, id, None, "before virtio 1.0");
}

/// The real name of the place that it is told is the container's tree too: the Rust virtiofsd asks
/// for that before it goes there.
#[test]
fn it_is_told_of_no_place_that_is_another_s() {
    if cannot_serve() {
        return;
    }
    let script = r#"
source=${4#source=}; source=${source%%,*}
cd "$source" && cd "$(pwd -P)" && echo "$(pwd -P):" * >&2
exit 1"#;
    let (_dir, config) = node_with(script);
    let bundle = bundle("place", "spin");
    let words = "it said: /run/runu: dev proc unikraft";
    refused(&bundle, "place", Some(&config), words);
}

#[test]
fn a_create_that_is_killed_half_way_leaves_what_delete_removes() {
    if cannot_serve() {
        return;
    }
    let (dir, config) =
        node_with("[ $1 != --help ] || exit; echo $$ >\"${0%/*}/pid\"; exec sleep 1000");
    let program = Program::new();
    let bundle = bundle("halfway", "spin");
    let container = Container::new(&program, "halfway", &bundle);
    let mut command = container.create_command();
    command.env("RUNU_CONFIG", &config).stdin(Stdio::null());
    let mut create = command.spawn().unwrap();
    let server = wait_for("virtiofsd", || {
        let text = fs::read_to_string(dir.path().join("pid")).ok()?;
        text.trim().parse().ok()
    });
    create.kill().unwrap();
    create.wait().unwrap();
    assert!(!has_ended(server));
    program.ok(&["delete", "--force", "halfway"]);
    assert!(has_ended(server));
    program.assert_nothing_left("halfway", &bundle);
}
