//! A container's socket for its neighbours: where it lies, who may find it, and that it goes.
//! What goes through it is for tests/linux_devices, with a guest that has a driver.

use std::fs;
use std::os::unix::fs::{FileTypeExt, PermissionsExt, symlink};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};

use harness::bundle::Bundle;
use harness::guard::Container;
use harness::program::Program;
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use serde_json::json;
use tempfile::TempDir;

/// Where the container has the directory that it shares.
const DIR: &str = "/run/agent";

/// A guest that ticks, with a directory as an emptyDir would be.
struct Fixture {
    program: Program,
    bundle: Bundle,
    shared: TempDir,
}

impl Fixture {
    /// `None`, said aloud, where no guest can boot.
    fn new(id: &str, args: &[&str]) -> Option<Fixture> {
        Fixture::mounted(id, args, &["bind"])
    }

    fn mounted(id: &str, args: &[&str], options: &[&str]) -> Option<Fixture> {
        if harness::cannot_boot() {
            return None;
        }
        let shared = tempfile::tempdir().unwrap();
        let mount = json!({ "destination": DIR, "source": shared.path(), "options": options });
        let bundle = Bundle::unikernel(id, "sleep", "linux64", args)
            .annotate("runu.dev/vsock", "/run/agent/vsock")
            .with(|config| config["mounts"].as_array_mut().unwrap().push(mount));
        fs::create_dir_all(bundle.rootfs().join("run/agent")).unwrap();
        Some(Fixture {
            program: Program::new(),
            bundle,
            shared,
        })
    }

    fn container(&self, id: &str) -> Container<'_> {
        Container::new(&self.program, id, &self.bundle)
    }

    /// The socket as the host has it.
    fn socket(&self) -> PathBuf {
        self.shared.path().join("vsock")
    }

    /// `create` fails with this in its one line, and leaves the directory as it is.
    #[track_caller]
    fn is_refused(&self, id: &str, why: &str) {
        let before = names(self.shared.path());
        // Of the call before.
        let _ = fs::remove_file(self.bundle.path().join(format!("{id}.stderr")));
        let created = self.container(id).create();
        assert_ne!(created.code, 0);
        assert!(created.stderr.contains(why), "{}", created.stderr);
        assert_eq!(created.stderr.lines().count(), 1, "{}", created.stderr);
        assert_eq!(names(self.shared.path()), before);
    }
}

fn names(dir: &Path) -> Vec<String> {
    let entries = fs::read_dir(dir).unwrap();
    let name = |entry: std::io::Result<fs::DirEntry>| entry.unwrap().file_name();
    entries
        .map(|entry| name(entry).into_string().unwrap())
        .collect()
}

#[test]
fn it_is_there_from_create_to_the_guests_end() {
    let id = "vsock-end";
    let Some(fixture) = Fixture::new(id, &["sleep", "ticks=1"]) else {
        return;
    };
    let container = fixture.container(id);
    let created = container.create();
    assert_eq!(created.code, 0, "{}", created.stderr);
    let metadata = fs::symlink_metadata(fixture.socket()).unwrap();
    assert!(metadata.file_type().is_socket());
    assert_eq!(metadata.permissions().mode() & 0o777, 0o666);
    UnixStream::connect(fixture.socket()).unwrap();
    fixture.program.ok(&["start", id]);
    assert_eq!(container.wait(), 0, "{}", container.stderr());
    assert_eq!(names(fixture.shared.path()), [""; 0]);
    fixture.program.ok(&["delete", id]);
}

#[test]
fn delete_takes_what_a_killed_monitor_has_left() {
    let id = "vsock-killed";
    let Some(fixture) = Fixture::new(id, &["sleep"]) else {
        return;
    };
    let container = fixture.container(id);
    container.start();
    container.wait_output("tick 1");
    kill(Pid::from_raw(container.pid()), Signal::SIGKILL).unwrap();
    container.wait();
    assert!(fixture.socket().exists());
    // What is another's stays.
    let other = fixture.shared.path().join("vsock_7");
    drop(UnixListener::bind(&other).unwrap());
    fixture.program.ok(&["delete", id]);
    assert_eq!(names(fixture.shared.path()), ["vsock_7"]);
    assert!(UnixStream::connect(fixture.socket()).is_err());
    drop(container);

    // One that never started, and one that still runs.
    for start in [false, true] {
        let container = fixture.container(id);
        match start {
            true => container.start(),
            false => assert_eq!(container.create().code, 0),
        }
        assert!(fixture.socket().exists());
        fixture.program.ok(&["delete", "--force", id]);
        assert!(!fixture.socket().exists(), "{start}");
    }
}

#[test]
fn a_create_that_fails_leaves_none() {
    let id = "vsock-failed";
    let Some(fixture) = Fixture::new(id, &["sleep"]) else {
        return;
    };
    let bundle = fixture.bundle.path().to_str().unwrap();
    let pid_file = "/nowhere/pid";
    // When the monitor waits already.
    let args = ["create", "--bundle", bundle, "--pid-file", pid_file, id];
    let created = fixture.program.call(&args);
    assert!(created.stderr.contains(pid_file), "{}", created.stderr);
    assert_eq!(names(fixture.shared.path()), [""; 0]);
}

#[test]
fn delete_takes_it_from_the_image_too_and_follows_no_link() {
    let id = "vsock-rootfs";
    let Some(fixture) = Fixture::new(id, &["sleep"]) else {
        return;
    };
    let Fixture { bundle, shared, .. } = &fixture;
    let killed = |path: &str| {
        let bundle = Bundle::unikernel(id, "sleep", "linux64", &["sleep"])
            .annotate("runu.dev/vsock", path)
            .with(|config| config["mounts"] = bundle.config["mounts"].clone());
        fs::create_dir_all(bundle.rootfs().join("run/agent")).unwrap();
        fs::create_dir_all(bundle.rootfs().join("srv")).unwrap();
        symlink("../run/agent", bundle.rootfs().join("srv/link")).unwrap();
        let container = Container::new(&fixture.program, id, &bundle);
        assert_eq!(container.create().code, 0, "{}", container.stderr());
        kill(Pid::from_raw(container.pid()), Signal::SIGKILL).unwrap();
        container.wait();
        fixture.program.ok(&["delete", id]);
        names(&bundle.rootfs().join("srv"))
    };
    assert_eq!(killed("/srv/vsock"), ["link"]);
    killed("/srv/link/vsock");
    assert_eq!(names(shared.path()), ["vsock"], "it waits for the next one");
    killed("/srv/link/vsock");
    killed("/run/agent/vsock");
    assert_eq!(names(shared.path()), [""; 0]);
}

#[test]
fn one_that_a_dead_monitor_has_left_is_replaced() {
    let id = "vsock-stale";
    let Some(fixture) = Fixture::new(id, &["sleep", "ticks=1"]) else {
        return;
    };
    drop(UnixListener::bind(fixture.socket()).unwrap());
    let container = fixture.container(id);
    container.start();
    UnixStream::connect(fixture.socket()).unwrap();
    assert_eq!(container.wait(), 0, "{}", container.stderr());
    assert!(!fixture.socket().exists());
}

#[test]
fn somebody_elses_stays() {
    let id = "vsock-others";
    let Some(fixture) = Fixture::new(id, &["sleep", "ticks=3"]) else {
        return;
    };
    let listener = UnixListener::bind(fixture.socket()).unwrap();
    fixture.is_refused(
        id,
        "somebody listens there: give each container a path of its own",
    );
    drop(listener);
    fs::remove_file(fixture.socket()).unwrap();
    let container = fixture.container(id);
    container.start();
    // Somebody has put their own in its place.
    fs::remove_file(fixture.socket()).unwrap();
    let _listener = UnixListener::bind(fixture.socket()).unwrap();
    assert_eq!(container.wait(), 0, "{}", container.stderr());
    fixture.program.ok(&["delete", id]);
    UnixStream::connect(fixture.socket()).unwrap();
}

#[test]
fn what_keeps_it_from_being_there_is_an_error_of_create() {
    let id = "vsock-refused";
    let Some(fixture) = Fixture::new(id, &["sleep"]) else {
        return;
    };
    fs::write(fixture.socket(), "precious").unwrap();
    fixture.is_refused(id, "something is there that is no socket");
    fs::remove_file(fixture.socket()).unwrap();
    symlink("/etc/passwd", fixture.socket()).unwrap();
    fixture.is_refused(id, "something is there that is no socket");

    let Some(read_only) = Fixture::mounted(id, &["sleep"], &["bind", "ro"]) else {
        return;
    };
    read_only.is_refused(id, "its directory is read-only");
    let Some(mut missing) = Fixture::new(id, &["sleep"]) else {
        return;
    };
    missing.bundle = missing.bundle.annotate("runu.dev/vsock", "/nowhere/vsock");
    missing.is_refused(
        id,
        "the guest's socket /nowhere/vsock: its directory is not there",
    );
    missing.bundle = missing
        .bundle
        .annotate("runu.dev/vsock", "/unikraft/bin/kernel/vsock");
    missing.is_refused(id, "its directory is a file");
    // A user who may not write there.
    let fixture = Fixture::new(id, &["sleep"]).map(|mut fixture| {
        let dir = fixture.shared.path();
        fs::set_permissions(dir, fs::Permissions::from_mode(0o755)).unwrap();
        fixture.bundle = fixture
            .bundle
            .with(|config| config["process"]["user"] = json!({ "uid": 1234, "gid": 1234 }));
        fixture
    });
    if let Some(fixture) = fixture {
        fixture.is_refused(id, "the container's user may not write to its directory");
    }
}
