//! How callers name things for `create`: bundles, roots and files by relative paths and
//! symlinks, descriptors and sockets that they hand over.

use std::fs::{self, File};
use std::os::fd::AsRawFd;
use std::os::unix::fs::symlink;
use std::os::unix::net::{UnixDatagram, UnixListener};
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Command, Stdio};

use harness::bundle::Bundle;
use harness::guard::Container;
use harness::program::{Outcome, Program, wait_for};
use serde_json::{Value, json};

const SPIN: &[&str] = &["spin"];

#[test]
fn a_bundle_by_any_path_is_told_by_its_own() {
    if harness::cannot_boot() {
        return;
    }
    let program = Program::new();
    let bundle = Bundle::unikernel("pathed", "spin", "pvh", SPIN);
    let _container = Container::new(&program, "pathed", &bundle);
    let own = bundle.path().canonicalize().unwrap();
    let links = tempfile::tempdir().unwrap();
    let link = links.path().join("link");
    symlink(&own, &link).unwrap();
    let up = Path::new("..").join(own.file_name().unwrap());
    let cases: &[(&Path, &[&str])] = &[
        (&own, &[]),
        (&own, &["--bundle", "."]),
        (&own, &["--bundle="]),
        (&own, &["-b", up.to_str().unwrap()]),
        (links.path(), &["-bundle=link"]),
        (links.path(), &["--bundle", "./link/"]),
        (Path::new("/"), &["-b", link.to_str().unwrap()]),
    ];
    for (dir, flags) in cases {
        let mut create = program.command(&["create", "--pid-file", "pid"]);
        create.args(*flags).arg("pathed").current_dir(dir);
        // Not into the host's /.
        if *dir == Path::new("/") {
            create.args(["--pid-file", links.path().join("pid").to_str().unwrap()]);
        }
        let outcome = program.capture(&mut create);
        assert_eq!(outcome.code, 0, "{flags:?}: {outcome:?}");
        let state = program.state("pathed");
        assert_eq!(state["bundle"], own.to_str().unwrap(), "{flags:?}");
        assert_eq!(state["rootfs"], own.join("rootfs").to_str().unwrap());
        // Relative to the caller's directory, not to the bundle's.
        let dir = if *dir == Path::new("/") {
            links.path()
        } else {
            dir
        };
        let pid = fs::read_to_string(dir.join("pid")).unwrap();
        assert_eq!(pid, state["pid"].to_string(), "{flags:?}");
        program.ok(&["start", "pathed"]);
        program.ok(&["delete", "--force", "pathed"]);
        program.assert_nothing_left("pathed", &bundle);
    }
}

#[test]
fn a_rootfs_may_be_the_bundle_or_around_it() {
    if harness::cannot_boot() {
        return;
    }
    let program = Program::new();
    let bundle = Bundle::unikernel("rooted", "spin", "pvh", SPIN);
    let rootfs = bundle.rootfs().canonicalize().unwrap();
    symlink(&rootfs, bundle.path().join("link")).unwrap();
    let inner = rootfs.join("inner");
    fs::create_dir(&inner).unwrap();
    let _container = Container::new(&program, "rooted", &bundle);
    for (dir, path) in [
        (bundle.path(), rootfs.to_str().unwrap()),
        (bundle.path(), "./rootfs/"),
        (bundle.path(), "link"),
        (&rootfs, "."),
        (&inner, ".."),
    ] {
        let mut config = bundle.config.clone();
        config["root"]["path"] = path.into();
        fs::write(dir.join("config.json"), config.to_string()).unwrap();
        program.ok(&["create", "--bundle", dir.to_str().unwrap(), "rooted"]);
        let state = program.state("rooted");
        assert_eq!(state["rootfs"], rootfs.to_str().unwrap(), "{path}");
        program.ok(&["start", "rooted"]);
        program.ok(&["delete", "--force", "rooted"]);
        program.assert_nothing_left("rooted", &bundle);
    }
}

#[test]
fn a_root_has_one_name_however_it_is_written() {
    if harness::cannot_boot() {
        return;
    }
    let program = Program::new();
    let bundle = Bundle::unikernel("named", "spin", "pvh", SPIN);
    let container = Container::new(&program, "named", &bundle);
    container.start();
    let root = program.root();
    let dir = root.parent().unwrap();
    let around = format!("../{}/root", dir.file_name().unwrap().display());
    for name in ["root", "./root/", "x/..//root", &around] {
        let mut state = Command::new(harness::runu());
        state.args([&format!("--root={name}"), "state", "named"]);
        let outcome = program.capture(state.current_dir(dir));
        assert_eq!(outcome.code, 0, "{name}: {outcome:?}");
    }
}

#[test]
fn a_pid_file_that_cannot_be_written_leaves_nothing() {
    if harness::cannot_boot() {
        return;
    }
    let program = Program::new();
    let bundle = Bundle::unikernel("unfiled", "spin", "pvh", SPIN);
    let path = bundle.path().to_str().unwrap();
    for verb in ["create", "run"] {
        let outcome = program.call(&[verb, "-b", path, "--pid-file", "/nowhere/pid", "unfiled"]);
        assert_eq!(outcome.code, 1, "{outcome:?}");
        let told = "pid file /nowhere/pid: No such file or directory";
        assert!(outcome.stderr.contains(told), "{outcome:?}");
        program.assert_nothing_left("unfiled", &bundle);
    }
}

#[test]
fn descriptors_that_are_handed_over_do_not_stay() {
    if harness::cannot_boot() {
        return;
    }
    let program = Program::new();
    let bundle = Bundle::unikernel("handed", "spin", "pvh", SPIN);
    let container = Container::new(&program, "handed", &bundle);
    let path = bundle.path().join("handed-over");
    let file = File::create(&path).unwrap();
    // As many sockets as a caller may say there are: it is believed for none.
    for count in ["2", "2147483647", "-1", "many"] {
        let fd = file.as_raw_fd();
        let mut create = container.create_command();
        create.env("LISTEN_FDS", count).env("LISTEN_PID", "1");
        create.args(["--preserve-fds", "2"]);
        // SAFETY: dup2(2) is one system call.
        unsafe {
            create.pre_exec(move || {
                nix::libc::dup2(fd, 3);
                nix::libc::dup2(fd, 4);
                Ok(())
            })
        };
        let outcome = program.capture(&mut create);
        assert_eq!(outcome.code, 0, "{count}: {outcome:?}");
        program.ok(&["start", "handed"]);
        let kept = || {
            let fds = fs::read_dir(format!("/proc/{}/fd", container.pid())).unwrap();
            let files = fds.filter_map(|fd| fs::read_link(fd.unwrap().path()).ok());
            files.filter(|file| file.ends_with("handed-over")).count()
        };
        wait_for("the descriptors to be closed", || {
            (kept() == 0).then_some(())
        });
        program.ok(&["delete", "--force", "handed"]);
    }
    program.assert_nothing_left("handed", &bundle);

    // runc 1.2 sends a pidfd there; a caller must not wait for what does not come.
    let mut create = container.create_command();
    let outcome = program.capture(create.args(["--pidfd-socket", "/nowhere"]));
    assert_eq!(outcome.code, 1, "{outcome:?}");
    assert!(outcome.stderr.contains("--pidfd-socket is not supported"));
}

#[test]
fn a_console_socket_is_found_from_the_bundle() {
    if harness::cannot_boot() {
        return;
    }
    let program = Program::new();
    let bundle = Bundle::unikernel("relative", "spin", "pvh", SPIN)
        .with(|config| config["process"]["terminal"] = true.into());
    let container = Container::new(&program, "relative", &bundle);
    let _listener = UnixListener::bind(bundle.path().join("console.sock")).unwrap();
    let mut create = container.create_command();
    let outcome = program.capture(create.args(["--console-socket", "console.sock"]));
    assert_eq!(outcome.code, 0, "{outcome:?}");
}

#[test]
fn a_count_of_descriptors_is_a_number() {
    if harness::cannot_boot() {
        return;
    }
    let program = Program::new();
    let bundle = Bundle::unikernel("uncounted", "spin", "pvh", SPIN);
    let container = Container::new(&program, "uncounted", &bundle);
    let mut create = container.create_command();
    let outcome = program.capture(create.args(["--preserve-fds", "x"]));
    // runc's own answer.
    assert_eq!(outcome.code, 1, "{outcome:?}");
    let told = "invalid value \"x\" for flag -preserve-fds";
    assert!((outcome.stdout + &outcome.stderr).contains(told));
    program.assert_nothing_left("uncounted", &bundle);
}

#[test]
fn what_runc_lets_pass_in_a_config_is_no_fault() {
    if harness::cannot_boot() {
        return;
    }
    let sets = json!({ "bounding": ["CAP_KILL", "CAP_NO_SUCH"], "effective": ["no such"], "ambient": null });
    let changes = [
        ("/process/capabilities", sets),
        ("/ociVersion", Value::Null),
        ("/ociVersion", "2.0.0".into()),
        ("/ociVersion", "next".into()),
    ];
    let sides = [
        Program::of(which::which("runc").unwrap_or_else(|_| "/usr/sbin/runc".into())),
        Program::new(),
    ];
    for (place, value) in changes {
        let change = |config: &mut Value| {
            let (parent, key) = place.rsplit_once('/').unwrap();
            config.pointer_mut(parent).unwrap()[key] = value.clone();
        };
        let bundles = [
            Bundle::busybox("passed", &["/bin/busybox", "sleep", "100"]).with(change),
            Bundle::unikernel("passed", "spin", "pvh", SPIN).with(change),
        ];
        for (program, bundle) in sides.iter().zip(&bundles) {
            let container = Container::new(program, "passed", bundle);
            container.start();
            // Its own version of the spec, which the state follows.
            let version = program.state("passed")["ociVersion"].take();
            assert!(version.as_str().unwrap().starts_with("1."), "{version}");
        }
    }
}

/// The datagrams that come to a service manager, until `last`.
fn told(manager: &UnixDatagram, last: &str) -> Vec<String> {
    let mut told = Vec::new();
    while told.last().is_none_or(|text: &String| text != last) {
        let mut buffer = [0; 256];
        let count = manager.recv(&mut buffer).unwrap();
        told.push(String::from_utf8_lossy(&buffer[..count]).into_owned());
    }
    told
}

#[test]
fn a_service_manager_is_told_when_the_guest_has_been_started() {
    if harness::cannot_boot() {
        return;
    }
    let program = Program::new();
    let bundle = Bundle::unikernel("service", "sleep", "pvh", &["sleep"]);
    let container = Container::new(&program, "service", &bundle);
    let path = bundle.path().join("notify.sock");
    let manager = UnixDatagram::bind(&path).unwrap();
    manager
        .set_read_timeout(Some(harness::program::TIMEOUT))
        .unwrap();
    let expected = |pid: u32| {
        [
            "READY=1\n".into(),
            format!("MAINPID={pid}\n"),
            "BARRIER=1".into(),
        ]
    };
    let notifying =
        |command: &mut Command| -> Outcome { program.capture(command.env("NOTIFY_SOCKET", &path)) };

    let created = notifying(&mut container.create_command());
    assert_eq!(created.code, 0, "{created:?}");
    let pid = container.pid() as u32;
    std::thread::scope(|scope| {
        let start = scope.spawn(|| notifying(&mut program.command(&["start", "service"])));
        assert_eq!(told(&manager, "BARRIER=1"), expected(pid));
        let started = start.join().unwrap();
        assert_eq!(started.code, 0, "{started:?}");
    });
    program.ok(&["delete", "--force", "service"]);

    // In the foreground, `run` is the service.
    let mut run = program.command(&["run", "-b", bundle.path().to_str().unwrap(), "service"]);
    let mut run = run
        .env("NOTIFY_SOCKET", &path)
        .stdout(Stdio::null())
        .spawn()
        .unwrap();
    assert_eq!(told(&manager, "BARRIER=1"), expected(run.id()));
    program.ok(&["kill", "service", "KILL"]);
    assert_eq!(run.wait().unwrap().code(), Some(137));

    // Nobody there: told before anything is started.
    drop(manager);
    assert_eq!(container.create().code, 0);
    let started = notifying(&mut program.command(&["start", "service"]));
    assert!(
        started.code == 1 && started.stderr.contains("NOTIFY_SOCKET"),
        "{started:?}"
    );
    assert_eq!(program.state("service")["status"], "created");
}
