//! A pod's block devices, given to a guest: a loop device, and a Solo5 guest that reads and
//! writes it.

use std::fs::File;
use std::os::unix::fs::OpenOptionsExt;

use harness::bundle::Bundle;
use harness::guard::Container;
use harness::loop_device::Loop;
use harness::program::Program;
use nix::libc;
use serde_json::json;

const BLOCK: usize = 512;

/// Four blocks, the second of which begins with "image".
fn disk() -> Option<Loop> {
    let mut disk = vec![0; 4 * BLOCK];
    disk[BLOCK..BLOCK + 5].copy_from_slice(b"image");
    Loop::of(&disk)
}

/// A guest's bundle with this as `/dev/disk0`, of which it may do what `access` says.
fn bundle_with(disk: &Loop, id: &str, access: &str) -> Bundle {
    let (major, minor) = disk.number();
    Bundle::unikernel(id, "disk", "solo5", &["disk"])
        .annotate("runu.dev/block", "/dev/disk0")
        .with(|config| {
            let linux = &mut config["linux"];
            linux["devices"] = json!([
                { "path": "/dev/disk0", "type": "b", "major": major, "minor": minor }
            ]);
            let rule = json!({ "allow": true, "type": "b", "major": major, "minor": minor, "access": access });
            let rules = linux["resources"]["devices"].as_array_mut().unwrap();
            rules.push(rule);
        })
}

#[test]
fn a_block_device_is_read_and_written() {
    let Some(disk) = disk() else { return };
    let before = disk.content();
    let bundle = bundle_with(&disk, "disk-rw", "rwm");
    let program = Program::new();
    let container = Container::new(&program, "disk-rw", &bundle);
    container.start();
    let (status, said) = (container.wait(), container.stdout());
    assert_eq!((status, &*container.stderr()), (0, ""), "{said}");
    assert!(said.contains("found: image\nwrite: 0\n"), "{said}");
    let mut expected = before;
    expected[2 * BLOCK..2 * BLOCK + 5].copy_from_slice(b"guest");
    assert_eq!(disk.content(), expected);
}

#[test]
fn what_the_device_rules_do_not_allow_is_not_written() {
    let Some(disk) = disk() else { return };
    let before = disk.content();
    let bundle = bundle_with(&disk, "disk-ro", "rm");
    let program = Program::new();
    let container = Container::new(&program, "disk-ro", &bundle);
    container.start();
    let (_, said) = (container.wait(), container.stdout());
    assert!(said.contains("found: image\nwrite: 2\n"), "{said}");
    assert_eq!(disk.content(), before);
}

/// Two who write to one file system break it.
#[test]
fn a_device_in_use_is_not_written_by_another() {
    let Some(disk) = disk() else { return };
    let user = File::options()
        .read(true)
        .custom_flags(libc::O_EXCL)
        .open(&disk.device)
        .unwrap();
    let program = Program::new();
    let bundle = bundle_with(&disk, "disk-used", "rwm");
    let container = Container::new(&program, "disk-used", &bundle);
    let made = container.create();
    assert_eq!(made.code, 1);
    assert!(
        made.stderr.contains("the host has it mounted"),
        "{}",
        made.stderr
    );
    assert!(!made.stderr.trim_end().contains('\n'), "{}", made.stderr);
    // To read it is another matter.
    let bundle = bundle_with(&disk, "disk-used-ro", "rm");
    let reader = Container::new(&program, "disk-used-ro", &bundle);
    reader.start();
    reader.wait();
    drop(user);
    container.start();
    assert_eq!(container.wait(), 0);
}

#[test]
fn a_device_that_the_host_does_not_have_is_a_fault() {
    let Some(disk) = disk() else { return };
    let bundle = bundle_with(&disk, "disk-none", "rwm").with(|config| {
        config["linux"]["devices"][0]["minor"] = 1_000_000.into();
    });
    let program = Program::new();
    let container = Container::new(&program, "disk-none", &bundle);
    let made = container.create();
    assert_eq!(made.code, 1);
    assert!(
        made.stderr.contains("block device 7:1000000"),
        "{}",
        made.stderr
    );
}
