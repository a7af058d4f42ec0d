//! Where a guest's root file system is: what is wished for, and what it is by default.

use std::fs;
use std::path::Path;

use decision::facts::{Facts, GatherOptions};
use decision::plan::Plan;
use guest::Root;
use harness::bundle::Bundle;

/// The plan for a bundle with these annotations beside its kernel's, and with an initrd, a disk
/// or both.
fn plan(kernel: &str, annotations: &[(&str, &str)]) -> Result<Plan, String> {
    let (abi, files) = kernel.split_once('+').unwrap_or((kernel, ""));
    let mut made = Bundle::runnable("root", &["app"]).annotate("runu.dev/kernel", "/kernel");
    fs::write(made.rootfs().join("kernel"), harness::elf::kernel(abi)).unwrap();
    for (key, value) in annotations {
        made = made.annotate(&format!("runu.dev/{key}"), value);
    }
    for file in files.split('+').filter(|file| !file.is_empty()) {
        fs::write(made.rootfs().join(file), [0; 512]).unwrap();
        let key = if file == "disk" { "block" } else { file };
        made = made.annotate(&format!("runu.dev/{key}"), &format!("/{file}"));
    }
    let read = bundle::Bundle::open(made.path()).unwrap();
    let (facts, _) = Facts::gather(&read, GatherOptions::default()).unwrap();
    Plan::make(&facts).map_err(|fault| fault.to_string())
}

fn root(kernel: &str, family: &str, rootfs: Option<&str>) -> Result<Root, String> {
    let family = Some(("family", family));
    let annotations = family
        .into_iter()
        .chain(rootfs.map(|root| ("rootfs", root)));
    plan(kernel, &annotations.collect::<Vec<_>>()).map(|plan| plan.root)
}

#[test]
fn by_default_it_is_what_the_guest_looks_for() {
    for (kernel, family, expected) in [
        ("pvh+initrd", "linux", Root::Initrd),
        ("pvh+initrd+disk", "linux", Root::Initrd),
        ("pvh+disk", "linux", Root::Block),
        ("pvh", "linux", Root::P9),
        ("pvh+disk", "nanos", Root::Block),
        ("pvh+disk", "osv", Root::Block),
        ("pvh", "osv", Root::None),
        ("pvh+disk", "other", Root::None),
        ("pvh", "other", Root::None),
        ("pvh+initrd", "unikraft", Root::Initrd),
        ("pvh+disk", "unikraft", Root::None),
        ("pvh", "hermit", Root::None),
    ] {
        assert_eq!(
            root(kernel, family, None),
            Ok(expected),
            "{kernel} {family}"
        );
    }
}

#[test]
fn what_is_wished_for_is_granted() {
    for (kernel, family, wish) in [
        ("pvh+initrd+disk", "linux", "9p"),
        ("pvh+initrd+disk", "linux", "block"),
        ("pvh+initrd+disk", "linux", "initrd"),
        ("pvh+initrd+disk", "linux", "none"),
        ("pvh", "unikraft", "9p"),
        ("pvh", "other", "9p"),
        ("pvh+initrd", "linux", "virtiofs"),
        ("pvh", "osv", "virtiofs"),
        ("pvh", "hermit", "virtiofs"),
        ("pvh", "other", "virtiofs"),
        ("pvh+disk", "other", "block"),
    ] {
        let granted = root(kernel, family, Some(wish)).unwrap();
        assert_eq!(granted.name(), wish, "{kernel} {family}");
    }
    let share = plan("pvh", &[("rootfs", "9p")]).unwrap();
    assert_eq!(share.share(), Some("fs0"));
    let served = plan("pvh", &[("rootfs", "virtiofs"), ("family", "hermit")]).unwrap();
    assert_eq!(
        (served.share(), served.virtiofs.as_deref()),
        (None, Some("/"))
    );
    let written = plan("pvh", &[("rootfs", "9p"), ("cmdline", "mine")]).unwrap();
    assert_eq!((written.share(), &*written.cmdline), (Some("fs0"), "mine"));
}

#[test]
fn what_cannot_be_had_is_refused_with_a_reason() {
    for (kernel, family, wish, why) in [
        (
            "pvh",
            "linux",
            "initrd",
            "name one by annotation runu.dev/initrd",
        ),
        (
            "pvh",
            "linux",
            "block",
            "is a directory, and no file system of its own: say 9p, or name a disk by annotation runu.dev/block",
        ),
        ("pvh+disk", "unikraft", "block", "mount no block device"),
        ("pvh", "osv", "9p", "have no 9P"),
        ("pvh", "nanos", "9p", "have no 9P"),
        ("pvh", "hermit", "9p", "have no 9P"),
        ("pvh", "nanos", "virtiofs", "have no virtio-fs"),
        ("pvh", "unikraft", "virtiofs", "built without it"),
        ("solo5", "solo5", "9p", "know of no virtio device"),
        ("solo5", "solo5", "virtiofs", "know of no virtio device"),
        (
            "pvh",
            "linux",
            "nfs",
            "write 9p, virtiofs, initrd, block or none",
        ),
    ] {
        let told = root(kernel, family, Some(wish)).unwrap_err();
        assert!(told.contains(why), "{told}");
        assert!(told.contains("annotation runu.dev/rootfs"), "{told}");
    }
}

#[test]
fn disks_have_names_and_an_order() {
    let disks = |annotations: &[(&str, &str)]| {
        let plan = plan("pvh+disk", annotations)?;
        let name = |disk: &decision::plan::PlannedBlock| (disk.device.clone(), disk.path.clone());
        Ok::<_, String>(plan.blocks.iter().map(name).collect::<Vec<_>>())
    };
    let disk = |name: &str| (name.to_owned(), Path::new("/disk").to_owned());
    let named = [("block.data", "/disk"), ("block.a", "/disk")];
    let expected = [disk("block"), disk("a"), disk("data")];
    assert_eq!(disks(&named).unwrap(), expected);
    let long = disks(&[("block.a-name-of-21-letters-x", "/disk")]).unwrap_err();
    assert!(long.contains("20 bytes at most"), "{long}");
}
