//! A Linux guest with the rootfs's own device as its root: Debian's kernel, and a program of the
//! image's that reads and writes there. In the emulated machine only: it needs every instruction.

use std::fs;
use std::time::{Duration, Instant};

use harness::bundle::Bundle;
use harness::guard::Container;
use harness::linux::{self, Initramfs};
use harness::mounted::Mounted;
use harness::program::Program;
use serde_json::Value;

const MIB: usize = 1 << 20;

/// In the order in which they need each other; ext4 is built in.
const MODULES: [&str; 6] = [
    "virtio_ring",
    "virtio",
    "virtio_pci_legacy_dev",
    "virtio_pci_modern_dev",
    "virtio_pci",
    "virtio_blk",
];

/// The program in the image. What it ends with keeps the guest's own writes.
const INIT: &str = r#"#!/bin/busybox sh
b=/bin/busybox
echo "kept: $($b cat /kept)"
echo "of the guest" >/written && echo "wrote"
$b rm -f /removed && echo "removed"
$b sync
$b mount -t ext2 -o remount,ro /dev/vda /
$b poweroff -f
"#;

/// A guest whose rootfs is a mounted device; `None`, said aloud, where there is no kernel for it.
fn root(id: &str, read_only: bool) -> Option<Mounted> {
    let dir = linux::dir()?;
    if harness::cannot_boot() {
        return None;
    }
    let bundle = Bundle::runnable(id, &["/init"])
        .annotate("runu.dev/kernel", "/boot/vmlinuz")
        .annotate("runu.dev/initrd", "/boot/initrd")
        .annotate("runu.dev/rootfs", "block")
        .annotate("runu.dev/memory", "256Mi")
        .with(|config| {
            config["linux"]["resources"]["memory"] = Value::Null;
            config["root"]["readonly"] = read_only.into();
        });
    let root = Mounted::new(bundle, &vec![0; 32 * MIB], 32 << 10)?;
    let inside = |name: &str| root.bundle.rootfs().join(name);
    Initramfs::to_the_root(&dir, &MODULES).save(&inside("boot/initrd"));
    root.bundle.add("/boot/vmlinuz", &dir.join("vmlinuz"));
    root.bundle.add("/bin/busybox", "/bin/busybox".as_ref());
    root.bundle.add("/init", "/bin/busybox".as_ref());
    fs::write(inside("init"), INIT).unwrap();
    fs::create_dir(inside("dev")).unwrap();
    fs::write(inside("kept"), "of the image").unwrap();
    fs::write(inside("removed"), "").unwrap();
    Some(root)
}

/// Runs the guest to its end, deletes it, and gives what it said.
fn run(id: &str, root: &Mounted) -> String {
    let program = Program::new();
    let container = Container::new(&program, id, &root.bundle);
    container.start();
    // In an emulated machine that takes minutes.
    let deadline = Instant::now() + Duration::from_secs(300);
    while program.state(id)["status"] != "stopped" {
        assert!(Instant::now() < deadline, "{}", container.stdout());
        std::thread::sleep(Duration::from_millis(100));
    }
    let (status, said) = (container.wait(), container.stdout());
    assert_eq!((status, &*container.stderr()), (0, ""), "{said}");
    program.ok(&["delete", id]);
    program.assert_nothing_left(id, &root.bundle);
    said
}

#[test]
fn the_guest_reads_and_writes_its_root_and_the_host_finds_it_so() {
    let Some(root) = root("linux-root", false) else {
        return;
    };
    let said = run("linux-root", &root);
    for line in ["kept: of the image", "wrote", "removed"] {
        assert!(said.contains(line), "{line:?} is not in {said}");
    }
    root.mount("ro");
    let written = fs::read_to_string(root.bundle.rootfs().join("written"));
    assert_eq!(written.unwrap(), "of the guest\n");
    assert!(!root.bundle.rootfs().join("removed").exists());
    root.unmount();
    harness::mounted::run(&["e2fsck", "-fn", root.disk.device.to_str().unwrap()]);
}

#[test]
fn a_read_only_root_stays_as_it_is() {
    let Some(root) = root("linux-root-ro", true) else {
        return;
    };
    let said = run("linux-root-ro", &root);
    assert!(said.contains("kept: of the image"), "{said}");
    assert!(said.contains("Read-only file system"), "{said}");
    assert!(!said.contains("wrote"), "{said}");
    root.mount("ro");
    assert!(!root.bundle.rootfs().join("written").exists());
    assert!(root.bundle.rootfs().join("removed").exists());
}
