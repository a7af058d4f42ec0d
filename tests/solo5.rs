//! Solo5 kernels: what they are told, their calls, their disks.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::time::{Duration, Instant};

use harness::bundle::Bundle;
use harness::guard::Container;
use harness::program::Program;

const BLOCK: usize = 512;

/// Runs a guest to its end: its status, and what it and the monitor said.
fn run(program: &Program, id: &str, bundle: &Bundle) -> (i32, String, String) {
    let container = Container::new(program, id, bundle);
    container.start();
    (container.wait(), container.stdout(), container.stderr())
}

/// A disk of four blocks, the second of which begins with "image".
fn disk() -> Vec<u8> {
    let mut disk = vec![0; 4 * BLOCK];
    disk[BLOCK..BLOCK + 5].copy_from_slice(b"image");
    disk
}

fn bundle_with_disk(id: &str) -> Bundle {
    let bundle = Bundle::unikernel(id, "disk", "solo5", &["disk"]);
    fs::write(bundle.rootfs().join("disk.img"), disk()).unwrap();
    bundle.annotate("runu.dev/block", "/disk.img")
}

#[test]
fn a_kernel_is_told_its_command_line_and_its_memory() {
    if harness::cannot_boot() {
        return;
    }
    let program = Program::new();
    let long = "x".repeat(8000);
    let bundle = Bundle::unikernel("solo5-hello", "hello", "solo5", &["hello", &long])
        .annotate("runu.dev/memory", "17Mi");
    let (status, said, faults) = run(&program, "solo5-hello", &bundle);
    assert_eq!((status, &*faults), (0, ""));
    // Whole pages of 2 MiB.
    let memory = format!("memory: {} bytes usable", 16 << 20);
    for line in [&format!("cmdline: hello {long}"), &memory, "abi: solo5"] {
        assert!(said.contains(line), "{line:?} is not in {said}");
    }
}

#[test]
fn disk_clock_and_wait_answer_as_the_abi_says() {
    if harness::cannot_boot() {
        return;
    }
    let program = Program::new();
    let bundle = bundle_with_disk("solo5-disk");
    let (status, said, faults) = run(&program, "solo5-disk", &bundle);
    assert_eq!((status, &*faults), (0, ""), "{said}");
    let expected = "read: 0\nfound: image\nwrite: 0\npast the end: 2\nmisaligned: 2\n\
        half a block: 2\nno such handle: 2\nthis year: true\npoll: 0 ready, 0x0\nwaited: true\n";
    assert_eq!(said, expected);
    let written = fs::read(bundle.rootfs().join("disk.img")).unwrap();
    let mut expected = disk();
    expected[2 * BLOCK..2 * BLOCK + 5].copy_from_slice(b"guest");
    assert_eq!(written, expected, "one block, and no other");
}

#[test]
fn a_disk_in_a_read_only_rootfs_is_not_written() {
    if harness::cannot_boot() {
        return;
    }
    let program = Program::new();
    let bundle =
        bundle_with_disk("solo5-ro").with(|config| config["root"]["readonly"] = true.into());
    let (status, said, _) = run(&program, "solo5-ro", &bundle);
    assert_eq!(status, 0, "{said}");
    assert!(said.contains("read: 0\nfound: image\nwrite: 2\n"), "{said}");
    assert_eq!(fs::read(bundle.rootfs().join("disk.img")).unwrap(), disk());
}

/// The guest has the disk whoever it runs as: the monitor opened it before.
#[test]
fn a_disk_needs_no_rights_of_the_containers_user() {
    if harness::cannot_boot() {
        return;
    }
    let program = Program::new();
    let bundle = bundle_with_disk("solo5-user").with(|config| {
        config["process"]["user"] = serde_json::json!({ "uid": 1000, "gid": 1000 });
    });
    let private = fs::Permissions::from_mode(0o600);
    fs::set_permissions(bundle.rootfs().join("disk.img"), private).unwrap();
    let (status, said, faults) = run(&program, "solo5-user", &bundle);
    assert_eq!(status, 0, "{said}{faults}");
    assert!(said.contains("write: 0\n"), "{said}");
}

#[test]
fn what_is_not_in_the_abi_ends_the_guest() {
    if harness::cannot_boot() {
        return;
    }
    let program = Program::new();
    let crashed = "the guest crashed: ";
    for (n, (guest, argument, status, told)) in [
        // A page fault that the guest has no handler for.
        ("abuse", "how=code", 139, "triple fault"),
        ("abuse", "how=data", 139, "triple fault"),
        ("crash", "how=port", 132, "access to port 0x501"),
        ("abuse", "how=width", 132, "access to port 0x502"),
        ("abuse", "how=read", 132, "access to port 0x3fd"),
        ("abuse", "how=structure", 132, "hypercall poll: 24 bytes at"),
        ("abuse", "how=pointer", 132, "hypercall puts: 1 bytes at"),
        (
            "abuse",
            "how=length",
            132,
            "hypercall puts: 18446744073709551615",
        ),
    ]
    .into_iter()
    .enumerate()
    {
        let id = format!("solo5-end-{n}");
        let bundle = Bundle::unikernel(&id, guest, "solo5", &[guest, argument]);
        let (ended, said, faults) = run(&program, &id, &bundle);
        assert_eq!(ended, status, "{argument}: {said}{faults}");
        assert!(faults.contains(&format!("{crashed}{told}")), "{faults}");
    }
}

#[test]
fn a_guest_that_waits_or_spins_is_ended_by_a_signal() {
    if harness::cannot_boot() {
        return;
    }
    let program = Program::new();
    let waiting = bundle_with_disk("solo5-wait")
        .with(|config| config["process"]["args"] = ["disk", "wait=3600000"][..].into());
    let spinning = Bundle::unikernel("solo5-spin", "spin", "solo5", &["spin"]);
    for (id, bundle, said) in [
        ("solo5-wait", waiting, "this year"),
        ("solo5-spin", spinning, "spinning"),
    ] {
        let container = Container::new(&program, id, &bundle);
        container.start();
        container.wait_output(said);
        // Until it waits; sooner is as good a test.
        std::thread::sleep(Duration::from_millis(100));
        let begin = Instant::now();
        program.ok(&["kill", id, "TERM"]);
        assert_eq!(container.wait(), 143, "{id}");
        assert!(begin.elapsed() < Duration::from_secs(5), "{id}");
    }
}

#[test]
fn a_kernel_without_what_it_needs_is_an_error_of_create() {
    if harness::cannot_boot() {
        return;
    }
    let program = Program::new();
    let of = |guest| Bundle::unikernel("solo5-bad", guest, "solo5", &[guest]);
    let initrd = of("hello");
    fs::write(initrd.rootfs().join("unikraft/bin/initrd"), "initrd").unwrap();
    for (bundle, told) in [
        (of("disk"), "annotation runu.dev/block"),
        (initrd, "takes no initrd"),
        (
            of("hello").annotate("runu.dev/memory", "2Mi"),
            "need 4 MiB of memory",
        ),
        (
            of("hello").with(|c| c["process"]["args"] = ["x".repeat(8192)][..].into()),
            "has 8191 bytes at most",
        ),
    ] {
        let container = Container::new(&program, "solo5-bad", &bundle);
        let created = container.create();
        assert_ne!(created.code, 0, "{told}");
        assert!(
            created.stderr.contains(told),
            "{told:?}: {}",
            created.stderr
        );
        program.assert_nothing_left("solo5-bad", &bundle);
    }
}
