//! What the monitor still has when the guest runs: next to nothing.

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::MetadataExt;

use harness::bundle::Bundle;
use harness::guard::Container;
use harness::program::Program;

#[test]
fn no_capability_no_new_privileges_and_few_descriptors() {
    if harness::cannot_boot() {
        return;
    }
    let program = Program::new();
    let capabilities = [
        "CAP_NET_ADMIN",
        "CAP_SYS_ADMIN",
        "CAP_DAC_OVERRIDE",
        "CAP_SETPCAP",
    ];
    let bundle = Bundle::unikernel("confined", "spin", "pvh", &["spin"]).with(|config| {
        let sets = [
            "bounding",
            "effective",
            "permitted",
            "inheritable",
            "ambient",
        ];
        for set in sets {
            config["process"]["capabilities"][set] = capabilities.into();
        }
    });
    let container = Container::new(&program, "confined", &bundle);
    container.start();
    container.wait_output("spinning");
    let proc = |name: &str| format!("/proc/{}/{name}", container.pid());

    // Every thread: that of the events, the console's, the entropy device's, the vCPU's, and one
    // that KVM itself adds.
    let threads: Vec<_> = fs::read_dir(proc("task"))
        .unwrap()
        .map(|thread| thread.unwrap().path())
        .collect();
    let names: Vec<_> = threads
        .iter()
        .map(|thread| fs::read_to_string(thread.join("comm")).unwrap())
        .filter(|name| !name.starts_with("kvm-"))
        .collect();
    assert_eq!(names, ["runu\n", "virtio0\n", "virtio1\n", "vcpu0\n"]);
    for thread in &threads {
        let status = fs::read_to_string(thread.join("status")).unwrap();
        let fields: BTreeMap<_, _> = status.lines().filter_map(|l| l.split_once(":\t")).collect();
        for set in ["CapInh", "CapPrm", "CapEff", "CapBnd", "CapAmb"] {
            assert_eq!(fields[set], "0000000000000000", "{set}");
        }
        assert_eq!(fields["NoNewPrivs"], "1");
    }

    let mut kinds = BTreeMap::new();
    for entry in fs::read_dir(proc("fd")).unwrap() {
        let target = fs::read_link(entry.unwrap().path()).unwrap();
        let target = target
            .to_str()
            .unwrap()
            .replace(bundle.path().to_str().unwrap(), "");
        // Where the tests run in a chroot, the container's stdin is known by its host's name.
        let target = match target.ends_with("/dev/null") {
            true => "/dev/null".to_owned(),
            false => target,
        };
        let kind = target.split(':').next().unwrap().to_owned();
        let kind = if kind == "anon_inode" { target } else { kind };
        *kinds.entry(kind).or_insert(0) += 1;
    }
    let known = [
        "/dev/null",
        "/confined.stdout",
        "/confined.stderr",
        "anon_inode:kvm-vm",
        "anon_inode:kvm-vcpu:0",
        "anon_inode:[eventfd]",
        "anon_inode:[signalfd]",
    ];
    for kind in kinds.keys() {
        assert!(
            known.contains(&kind.as_str()),
            "a descriptor of {kind}: {kinds:?}"
        );
    }
    assert!(kinds.values().sum::<i32>() <= 24, "{kinds:?}");

    // Its root is the container's, not the host's; nobody but root looks into it.
    let root = fs::metadata(proc("root/")).unwrap();
    let rootfs = fs::metadata(bundle.rootfs()).unwrap();
    assert_eq!((root.dev(), root.ino()), (rootfs.dev(), rootfs.ino()));
    let namespaces = ["mnt", "pid", "net", "ipc", "uts"];
    for namespace in namespaces.map(|n| format!("ns/{n}")) {
        let own = fs::read_link(format!("/proc/self/{namespace}")).unwrap();
        assert_ne!(fs::read_link(proc(&namespace)).unwrap(), own, "{namespace}");
    }
    assert_eq!(fs::read_to_string(proc("comm")).unwrap(), "runu\n");
}

/// With its files by 9P the monitor has the container's root, a descriptor and a thread more.
#[test]
fn a_share_is_the_containers_root_and_no_more() {
    if harness::cannot_boot() {
        return;
    }
    let program = Program::new();
    let fds_of_root = |id: &str, rootfs: &str| {
        let bundle =
            Bundle::unikernel(id, "spin", "pvh", &["spin"]).annotate("runu.dev/rootfs", rootfs);
        let container = Container::new(&program, id, &bundle);
        container.start();
        container.wait_output("spinning");
        let proc = |name: &str| format!("/proc/{}/{name}", container.pid());
        let threads = fs::read_dir(proc("task")).unwrap();
        for thread in threads.map(|thread| thread.unwrap().path()) {
            let status = fs::read_to_string(thread.join("status")).unwrap();
            assert!(status.contains("CapEff:\t0000000000000000"), "{status}");
        }
        let rootfs = fs::metadata(bundle.rootfs()).unwrap();
        let fds = fs::read_dir(proc("fd")).unwrap();
        let found = fds.map(|fd| fs::metadata(fd.unwrap().path()).unwrap());
        let dirs: Vec<_> = found.filter(fs::Metadata::is_dir).collect();
        let is_root = |dir: &fs::Metadata| (dir.dev(), dir.ino()) == (rootfs.dev(), rootfs.ino());
        assert!(dirs.iter().all(is_root));
        dirs.len()
    };
    assert_eq!(fds_of_root("unshared", "none"), 0);
    assert_eq!(fds_of_root("shared", "9p"), 1);
}
