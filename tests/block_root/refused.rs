//! What is no device of the rootfs's own, or not the caller's to take, is refused and left as it
//! is.

use std::fs;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use crate::root;
use harness::bundle::Bundle;
use harness::guard::Container;
use harness::mounted::{Mount, Mounted, mounts_at};
use harness::program::{Outcome, Program};

/// `create`, which is not to work.
fn create(program: &Program, root: &Mounted, id: &str) -> Outcome {
    let path = root.bundle.path().to_str().unwrap();
    program.call(&["create", "-b", path, id])
}

/// That `create` was refused in one line with these words.
#[track_caller]
pub fn assert_refused(made: &Outcome, words: &[&str]) {
    assert_eq!(made.code, 1, "{made:?}");
    let said = made.stderr.trim_end();
    assert!(!said.contains('\n'), "{said}");
    for word in words {
        assert!(said.contains(word), "{word:?} is not in {said}");
    }
}

#[test]
fn what_is_no_device_of_its_own_is_refused() {
    let Some(root) = root("no-device", "rw", |_| ()) else {
        return;
    };
    let program = Program::new();
    let cure = "say 9p, or name a disk by annotation runu.dev/block";
    let refused = |mount: Option<&[&str]>, what: &str| {
        let bundle = Bundle::runnable("no-device", &["disk"]).annotate("runu.dev/rootfs", "block");
        let _mount = mount.map(|args| Mount::new(&bundle.rootfs(), args));
        bundle.add("/unikraft/bin/kernel", &harness::guest("disk", "solo5"));
        let before = mounts_at(&bundle.rootfs());
        let made = Container::new(&program, "no-device", &bundle).create();
        assert_refused(&made, &[what, cure]);
        assert_eq!(mounts_at(&bundle.rootfs()), before);
    };
    refused(
        None,
        "the container's rootfs is a directory, and no file system of its own",
    );
    refused(
        Some(&["-t", "tmpfs", "tmpfs"]),
        "rootfs is tmpfs, on no block device of its own",
    );
    let layers = tempfile::tempdir().unwrap();
    let layer = |name: &str| {
        let path = layers.path().join(name);
        fs::create_dir(&path).unwrap();
        path.to_str().unwrap().to_owned()
    };
    let _layers = Mount::new(layers.path(), &["-t", "tmpfs", "tmpfs"]);
    let (lower, upper, work) = (layer("lower"), layer("upper"), layer("work"));
    let options = format!("lowerdir={lower},upperdir={upper},workdir={work}");
    let overlay = ["-t", "overlay", "-o", &options, "overlay"];
    refused(
        Some(&overlay),
        "rootfs is overlay, on no block device of its own",
    );
    let dir = root.bundle.rootfs().join("directory");
    fs::create_dir(&dir).unwrap();
    let (major, minor) = root.disk.number();
    let bind = ["--bind", dir.to_str().unwrap()];
    refused(
        Some(&bind),
        &format!("rootfs is a directory of block device {major}:{minor}"),
    );
}

#[test]
fn what_others_use_stays_theirs() {
    let Some(root) = root("used", "rw,nosuid,noatime", |_| ()) else {
        return;
    };
    let program = Program::new();
    let before = root.mounts();
    let device = root.disk.device.to_str().unwrap();

    let elsewhere = tempfile::tempdir().unwrap();
    let second = Mount::new(elsewhere.path(), &[device]);
    let made = create(&program, &root, "used");
    let told = format!(
        "cannot be the guest's: it is mounted at {} too",
        elsewhere.path().display()
    );
    assert_refused(&made, &[device, &told]);
    assert_eq!(root.mounts(), before);
    drop(second);

    let mut sleeper = Sleeper::new(Command::new("sleep").current_dir(root.bundle.rootfs()));
    let made = create(&program, &root, "used");
    assert_refused(&made, &["is in use", "fuser -vm"]);
    assert_eq!(root.mounts(), before);
    sleeper.end();

    let dir = root.bundle.rootfs().join("within");
    fs::create_dir(&dir).unwrap();
    let within = Mount::new(&dir, &["-t", "tmpfs", "tmpfs"]);
    let made = create(&program, &root, "used");
    assert_refused(&made, &["within is mounted in it"]);
    drop(within);
    assert_eq!(root.mounts(), before);

    // Where no mount of this namespace shows it.
    let mut sleeper =
        Sleeper::new(Command::new("unshare").args(["-m", "--propagation", "private", "sleep"]));
    std::thread::sleep(Duration::from_millis(200));
    let made = create(&program, &root, "used");
    assert_refused(
        &made,
        &["somebody else uses it, in another mount namespace perhaps"],
    );
    assert_eq!(root.mounts(), before);
    sleeper.end();

    let container = Container::new(&program, "used", &root.bundle);
    container.start();
    assert_eq!(container.wait(), 0);
}

/// A process that does nothing for a minute.
struct Sleeper(Child);

impl Sleeper {
    fn new(command: &mut Command) -> Self {
        Self(command.arg("60").stdin(Stdio::null()).spawn().unwrap())
    }

    fn end(&mut self) {
        self.0.kill().unwrap();
        self.0.wait().unwrap();
    }
}

impl Drop for Sleeper {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

#[test]
fn a_caller_who_may_not_changes_nothing() {
    let Some(root) = root("unrooted", "rw", |_| ()) else {
        return;
    };
    let program = Program::new();
    let before = root.mounts();
    let path = root.bundle.path().to_str().unwrap();
    for own_mounts in [&[][..], &["--mount"]] {
        let call = program.command(&["create", "-b", path, "unrooted"]);
        let mut unshared = Command::new("unshare");
        unshared
            .args(["--user", "--map-root-user"])
            .args(own_mounts);
        unshared.arg(call.get_program()).args(call.get_args());
        let made = program.capture(&mut unshared);
        assert_refused(&made, &["cannot be unmounted by this user", "say 9p"]);
        assert_eq!(root.mounts(), before);
    }
}
