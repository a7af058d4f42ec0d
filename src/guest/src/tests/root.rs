//! What each family's command line says of its root.

use crate::{BootParams, Family, KernelTraits, Root, command_line};

fn line(family: Family, traits: Option<&KernelTraits>, root: Root, read_only: bool) -> String {
    let args = ["/bin/app".to_owned(), "a".to_owned()];
    let params = BootParams {
        args: &args,
        initrd: true,
        root,
        read_only,
        ..BootParams::default()
    };
    command_line(family, traits, &params).unwrap()
}

#[test]
fn names_are_the_annotations() {
    for name in ["none", "initrd", "9p", "virtiofs", "block"] {
        let root = Root::named(name).unwrap();
        assert_eq!(root.to_string(), name);
        assert_eq!(serde_json::to_string(&root).unwrap(), format!("{name:?}"));
    }
    assert_eq!(Root::named("share"), None);
}

#[test]
fn unikraft_mounts_by_what_its_release_reads() {
    let unikraft = |release: Option<&str>| KernelTraits {
        release: release.map(str::to_owned),
        reads_parameters: true,
        reads_mounts: true,
        unpacks_initrd: true,
        ..KernelTraits::new(Family::Unikraft)
    };
    for (release, root, parameters) in [
        (None, Root::P9, "vfs.rootfs=9pfs vfs.rootdev=fs0 -- "),
        (Some("0.15.0"), Root::P9, "vfs.fstab=fs0:/:9pfs -- "),
        (Some("0.17.0"), Root::P9, "vfs.fstab=fs0:/:9pfs -- "),
        (
            Some("0.21.0"),
            Root::Virtiofs,
            "vfs.fstab=fs0:/:virtiofs -- ",
        ),
        (None, Root::Initrd, ""),
        (
            Some("0.15.0"),
            Root::Initrd,
            "vfs.fstab=initrd0:/:initrd -- ",
        ),
        (
            Some("0.16.1"),
            Root::Initrd,
            "vfs.fstab=initrd0:/:extract -- ",
        ),
        (
            Some("0.16.3"),
            Root::Initrd,
            "vfs.fstab=initrd0:/:extract::ramfs=2 -- ",
        ),
        (Some("0.17"), Root::None, ""),
    ] {
        let line = line(Family::Unikraft, Some(&unikraft(release)), root, false);
        assert_eq!(
            line,
            format!("/bin/app {parameters}a"),
            "{release:?} {root}"
        );
    }
    // One that was built without it would take it for an argument.
    let deaf = KernelTraits::new(Family::Unikraft);
    let params = line(Family::Unikraft, Some(&deaf), Root::P9, false);
    assert_eq!(params, "/bin/app a");
}

#[test]
fn osv_gets_its_root_before_its_program() {
    let served = line(Family::Osv, None, Root::Virtiofs, false);
    assert_eq!(served, "--rootfs=virtiofs /bin/app a");
    assert_eq!(line(Family::Osv, None, Root::Block, false), "/bin/app a");
}

#[test]
fn linux_gets_its_root_and_runs_the_roots_program() {
    let line = |root, read_only| line(Family::Linux, None, root, read_only);
    let share = line(Root::P9, false);
    let words = "root=fs0 rootfstype=9p \
                 rootflags=trans=virtio,version=9p2000.L,msize=262144,cache=mmap rw \
                 init=/bin/app -- a";
    assert!(share.ends_with(words), "{share}");
    let served = line(Root::Virtiofs, false);
    let words = " root=fs0 rootfstype=virtiofs rw init=/bin/app -- a";
    assert!(served.ends_with(words), "{served}");
    let block = line(Root::Block, false);
    assert!(line(Root::Block, true).contains(" root=/dev/vda ro init="));
    assert!(
        block.ends_with(" root=/dev/vda rw init=/bin/app -- a"),
        "{block}"
    );
    let initrd = line(Root::Initrd, false);
    assert!(initrd.ends_with(" rdinit=/bin/app -- a"), "{initrd}");
    assert!(
        !initrd.contains("root=") && !initrd.contains(" rw"),
        "{initrd}"
    );
}
