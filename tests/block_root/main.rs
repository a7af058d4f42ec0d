//! A rootfs on a block device of its own, as a snapshotter makes it, that is the guest's disk: a
//! loop device with a file system, and a Solo5 guest that reads and writes behind it.

mod refused;

use std::fs;
use std::ops::Deref;
use std::os::unix::fs::{OpenOptionsExt, PermissionsExt, chown};
use std::process::Stdio;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Instant;

use harness::bundle::Bundle;
use harness::guard::Container;
use harness::loop_device::Loop;
use harness::mounted::Mounted;
use harness::program::Program;
use nix::libc;
use refused::assert_refused;
use serde_json::{Value, json};

const BLOCK: usize = 512;
/// The device has more blocks than its file system, and the guest uses those behind it.
const DEVICE: usize = 4 << 20;
const FILE_SYSTEM_KIB: usize = 4000;
const BEHIND: usize = 8000;

/// A mounted rootfs. There is one at a time: a mount namespace that one test makes would hold on to
/// the mounts of the others.
struct Root {
    mounted: Mounted,
    _turn: MutexGuard<'static, ()>,
}

impl Deref for Root {
    type Target = Mounted;

    fn deref(&self) -> &Mounted {
        &self.mounted
    }
}

/// A guest's bundle, mounted with these options, with a changed config.json. `None`, said aloud,
/// where that cannot be.
fn root(id: &str, options: &str, change: impl FnOnce(&mut Value)) -> Option<Root> {
    static TURN: Mutex<()> = Mutex::new(());
    // A test that has failed keeps nobody waiting.
    let turn = TURN.lock().unwrap_or_else(PoisonError::into_inner);
    let mut blocks = vec![0; DEVICE];
    blocks[(BEHIND + 1) * BLOCK..][..5].copy_from_slice(b"image");
    let bundle = Bundle::runnable(id, &["disk", &format!("at={BEHIND}")])
        .annotate("runu.dev/rootfs", "block")
        .with(change);
    let mounted = Mounted::new(bundle, &blocks, FILE_SYSTEM_KIB)?;
    let kernel = harness::guest("disk", "solo5");
    mounted.bundle.add("/unikraft/bin/kernel", &kernel);
    fs::write(mounted.bundle.rootfs().join("kept"), "of the image").unwrap();
    mounted.unmount();
    mounted.mount(options);
    Some(Root {
        mounted,
        _turn: turn,
    })
}

/// The block that the guest writes.
fn written(disk: &Loop) -> Vec<u8> {
    disk.content()[(BEHIND + 2) * BLOCK..][..5].to_vec()
}

#[test]
fn the_guest_has_the_device_and_the_host_has_it_no_more() {
    let Some(root) = root("root-disk", "rw,noatime", |_| ()) else {
        return;
    };
    let program = Program::new();
    let path = root.bundle.path().to_str().unwrap();
    let explained = program.ok(&["explain", "--bundle", path]);
    let (major, minor) = root.disk.number();
    let told = format!(
        "block      /, by annotation runu.dev/rootfs: 4 MiB, the rootfs's own device {major}:{minor}"
    );
    assert!(explained.contains(&told), "{explained}");
    let container = Container::new(&program, "root-disk", &root.bundle);
    let made = container.create();
    assert_eq!(made.code, 0, "{}", made.stderr);
    let [mount] = &root.mounts()[..] else {
        panic!("{:?}", root.mounts());
    };
    assert!(mount.contains("rw,nosuid,nodev"), "{mount}");
    assert!(mount.contains("- tmpfs runu "), "{mount}");
    let exclusive = fs::File::options()
        .read(true)
        .custom_flags(libc::O_EXCL)
        .open(&root.disk.device);
    assert_eq!(exclusive.unwrap_err().raw_os_error(), Some(libc::EBUSY));
    program.ok(&["start", "root-disk"]);
    let (status, said) = (container.wait(), container.stdout());
    assert_eq!((status, &*container.stderr()), (0, ""), "{said}");
    assert!(said.contains("found: image\nwrite: 0\n"), "{said}");
    program.ok(&["delete", "root-disk"]);
    program.assert_nothing_left("root-disk", &root.bundle);
    assert_eq!(written(&root.disk), b"guest");
    // The file system is whole, and was all written.
    root.mount("rw");
    let kept = fs::read_to_string(root.bundle.rootfs().join("kept")).unwrap();
    assert_eq!(kept, "of the image");
}

/// What a guest of a family that finds its disks by virtio would get.
#[test]
fn a_guest_is_told_of_its_root() {
    let Some(root) = root("root-told", "rw", |_| ()) else {
        return;
    };
    let kernel = root.bundle.rootfs().join("unikraft/bin/kernel");
    fs::copy(harness::guest("hello", "pvh"), kernel).unwrap();
    fs::write(root.bundle.rootfs().join("data"), [0; BLOCK]).unwrap();
    let program = Program::new();
    let plan = |annotations: Value| {
        let mut config = root.bundle.config.clone();
        config["annotations"] = annotations;
        fs::write(root.bundle.path().join("config.json"), config.to_string()).unwrap();
        let path = root.bundle.path().to_str().unwrap();
        let explained = program.call(&["explain", "--bundle", path, "--format", "json"]);
        let explained: Value = serde_json::from_str(&explained.stdout).unwrap();
        match explained["plan"].is_null() {
            true => explained["reason"].clone(),
            false => explained["plan"].clone(),
        }
    };
    let disk = json!([{ "device": "block", "path": "/", "read_only": false }]);
    let linux = plan(json!({ "runu.dev/family": "linux", "runu.dev/rootfs": "block" }));
    assert_eq!((&linux["root"], &linux["blocks"]), (&json!("block"), &disk));
    let line = linux["cmdline"].as_str().unwrap();
    assert!(line.contains(" root=/dev/vda rw "), "{line}");
    let urunc = "com.urunc.unikernel";
    let osv = plan(
        json!({ (format!("{urunc}.unikernelType")): "osv", (format!("{urunc}.useDMBlock")): "true" }),
    );
    assert_eq!((&osv["root"], &osv["blocks"]), (&json!("block"), &disk));
    // A disk that is named for it is the root.
    let named = plan(
        json!({ "runu.dev/family": "linux", "runu.dev/rootfs": "block", "runu.dev/block": "/data" }),
    );
    assert_eq!(named["blocks"][0]["path"], "/data");
    assert_eq!(named["blocks"][1], Value::Null);
    // A further one cannot lie on the guest's own.
    let further = plan(
        json!({ "runu.dev/family": "linux", "runu.dev/rootfs": "block", "runu.dev/block.more": "/data" }),
    );
    let told = "/data is a file of the rootfs, whose device is the guest's own disk";
    assert!(further.as_str().unwrap().contains(told), "{further}");
    let unikraft = plan(json!({ "runu.dev/family": "unikraft", "runu.dev/rootfs": "block" }));
    let told = "guests of its family mount no block device";
    assert!(unikraft.as_str().unwrap().contains(told), "{unikraft}");
}

#[test]
fn what_is_read_only_is_not_written() {
    for (id, options, is_read_only) in [("root-ro", "rw", true), ("mount-ro", "ro", false)] {
        let read_only = |config: &mut Value| config["root"]["readonly"] = is_read_only.into();
        let Some(root) = root(id, options, read_only) else {
            return;
        };
        let program = Program::new();
        let container = Container::new(&program, id, &root.bundle);
        container.start();
        let (_, said) = (container.wait(), container.stdout());
        assert!(said.contains("found: image\nwrite: 2\n"), "{id}: {said}");
        program.ok(&["delete", id]);
        assert_eq!(root.mounts(), [""; 0], "{id}");
        assert_eq!(written(&root.disk), [0; 5], "{id}");
    }
}

#[test]
fn run_does_the_same() {
    let Some(root) = root("root-run", "rw", |_| ()) else {
        return;
    };
    let program = Program::new();
    let path = root.bundle.path().to_str().unwrap();
    let ran = program.call(&["run", "--bundle", path, "root-run"]);
    assert!(ran.code == 0 && ran.stdout.contains("write: 0"), "{ran:?}");
    program.assert_nothing_left("root-run", &root.bundle);
    assert_eq!(written(&root.disk), b"guest");
}

#[test]
fn a_create_that_fails_leaves_all_as_it_was() {
    let Some(root) = root("failed", "rw,nodev,noexec,relatime", |_| ()) else {
        return;
    };
    let program = Program::new();
    let before = root.mounts();
    let path = root.bundle.path().to_str().unwrap().to_owned();
    let create =
        |args: &[&str]| program.call(&[&["create", "-b", &path], args, &["failed"]].concat());
    assert_refused(&create(&["--pid-file", "/nowhere/pid"]), &["/nowhere/pid"]);
    assert_eq!(root.mounts(), before);
    for (what, value) in [
        (
            "hooks",
            json!({ "createRuntime": [{ "path": "/bin/false" }] }),
        ),
        (
            "mounts",
            json!([{ "destination": "/x", "type": "none-such", "source": "x" }]),
        ),
    ] {
        let mut config = root.bundle.config.clone();
        config[what] = value;
        fs::write(root.bundle.path().join("config.json"), config.to_string()).unwrap();
        let made = create(&[]);
        assert_eq!(made.code, 1, "{what}: {made:?}");
        assert_eq!(root.mounts(), before, "{what}: {made:?}");
    }
    let kept = fs::read_to_string(root.bundle.rootfs().join("kept")).unwrap();
    assert_eq!(kept, "of the image");
}

/// The tmpfs belongs to whom the image's root belongs to: the container's own root.
#[test]
fn a_container_of_a_user_namespace_can_mount_in_it() {
    let ids = json!([{ "containerID": 0, "hostID": 100_000, "size": 65536 }]);
    let Some(root) = root("root-user", "rw", |config| {
        let linux = &mut config["linux"];
        let namespaces = linux["namespaces"].as_array_mut().unwrap();
        namespaces.push(json!({ "type": "user" }));
        linux["uidMappings"] = ids.clone();
        linux["gidMappings"] = ids;
    }) else {
        return;
    };
    chown(root.bundle.rootfs(), Some(100_000), Some(100_000)).unwrap();
    // The bundle is in a directory of this test's alone.
    let all = fs::Permissions::from_mode(0o755);
    fs::set_permissions(root.bundle.path(), all).unwrap();
    let program = Program::new();
    let container = Container::new(&program, "root-user", &root.bundle);
    container.start();
    let (status, said) = (container.wait(), container.stdout());
    assert!(status == 0 && said.contains("write: 0"), "{said}");
}

/// Whatever is there then: the image's file system, where nothing was done yet, or nothing.
#[test]
fn a_killed_create_leaves_what_delete_takes_away() {
    let Some(root) = root("killed", "rw", |_| ()) else {
        return;
    };
    let program = Program::new();
    let before = root.mounts();
    let path = root.bundle.path().to_str().unwrap();
    let beginning = Instant::now();
    program.ok(&["create", "-b", path, "killed"]);
    let whole = beginning.elapsed();
    program.ok(&["delete", "killed"]);
    root.mount("rw");
    let (mut untouched, mut gone) = (0, 0);
    for after in (0..40).map(|part| whole * part / 40) {
        let mut call = program.command(&["create", "-b", path, "killed"]);
        let mut call = call
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        std::thread::sleep(after);
        call.kill().unwrap();
        call.wait().unwrap();
        program.call(&["delete", "--force", "killed"]);
        let mounts = root.mounts();
        match mounts.is_empty() {
            true => {
                program.assert_nothing_left("killed", &root.bundle);
                gone += 1;
                root.mount("rw");
            }
            false => {
                assert_eq!(mounts, before, "after {after:?}");
                untouched += 1;
            }
        }
    }
    assert!(untouched > 0 && gone > 0, "{untouched} {gone}: no race");
}

#[test]
fn a_corrupt_record_keeps_nothing_mounted() {
    let Some(root) = root("corrupt-root", "rw", |_| ()) else {
        return;
    };
    let program = Program::new();
    let container = Container::new(&program, "corrupt-root", &root.bundle);
    assert_eq!(container.create().code, 0);
    fs::write(program.store().join("corrupt-root/record.json"), "{").unwrap();
    program.ok(&["delete", "--force", "corrupt-root"]);
    program.assert_nothing_left("corrupt-root", &root.bundle);
}
