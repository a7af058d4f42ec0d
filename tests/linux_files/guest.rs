//! A Linux guest whose root is the container's tree.

use std::fs;
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use harness::bundle::Bundle;
use harness::guard::Container;
use harness::linux::{Initramfs, generic_dir};
use harness::program::Program;

/// In the order in which they need each other. virtio over PCI and over MMIO: which it is does
/// not matter here.
const MODULES: [&str; 6] = [
    "virtio_ring",
    "virtio",
    "virtio_mmio",
    "virtio_pci_legacy_dev",
    "virtio_pci_modern_dev",
    "virtio_pci",
];
const FOR_9P: &[&str] = &["netfs", "fscache", "9pnet", "9pnet_virtio", "9p"];
const FOR_VIRTIOFS: &[&str] = &["fuse", "virtiofs"];

pub struct Guest {
    id: String,
    pub bundle: Bundle,
}

impl Guest {
    /// A guest that runs these checks on a root by `9p` or `virtiofs`; `None`, said aloud, where
    /// there is no kernel for it.
    pub fn new(id: &str, rootfs: &str, checks: &str) -> Option<Guest> {
        let dir = generic_dir()?;
        if harness::cannot_boot() {
            return None;
        }
        let args = [
            "/checks",
            "in_the_guest",
            "--exact",
            "--ignored",
            "--nocapture",
        ];
        let bundle = Bundle::runnable(id, &args)
            .annotate("runu.dev/kernel", "/boot/vmlinuz")
            .annotate("runu.dev/initrd", "/boot/initrd")
            .annotate("runu.dev/rootfs", rootfs)
            .annotate("runu.dev/memory", "512Mi")
            .with(|config| {
                config["process"]["env"] = json!([format!("CHECKS={checks}")]);
                config["linux"]["resources"]["memory"] = Value::Null;
            });
        let own = match rootfs {
            "9p" => FOR_9P,
            _ => FOR_VIRTIOFS,
        };
        let modules = [&MODULES, own].concat();
        let initramfs = Initramfs::to_the_root(&dir, &modules);
        initramfs.save(&bundle.rootfs().join("boot/initrd"));
        bundle.add("/boot/vmlinuz", &dir.join("vmlinuz"));
        bundle.add("/checks", &std::env::current_exe().unwrap());
        for dir in ["proc", "sys"] {
            fs::create_dir(bundle.rootfs().join(dir)).unwrap();
        }
        let id = id.to_owned();
        Some(Guest { id, bundle })
    }

    /// Changes config.json.
    pub fn with(self, change: impl FnOnce(&mut Value)) -> Guest {
        let bundle = self.bundle.with(change);
        Guest { bundle, ..self }
    }
}

/// As [`Container::wait_output`], for what takes a guest in an emulated machine minutes.
#[track_caller]
pub fn wait_long(what: &str, container: &Container, text: &str) {
    let deadline = Instant::now() + Duration::from_secs(300);
    loop {
        let has_ended = container.has_ended();
        let said = container.stdout();
        if said.contains(text) {
            break;
        }
        let is_late = Instant::now() > deadline;
        assert!(!has_ended && !is_late, "waited for {what}: {said}");
        std::thread::sleep(Duration::from_millis(50));
    }
}

/// Runs the guest, and `meanwhile` beside it, to its end: exit status and what it said.
pub fn run(guest: &Guest, meanwhile: impl FnOnce(&Container)) -> (i32, String) {
    let program = Program::new();
    let container = Container::new(&program, &guest.id, &guest.bundle);
    container.start();
    meanwhile(&container);
    wait_long("the checks' end", &container, "checks: done");
    let status = container.wait();
    (status, container.stdout() + &container.stderr())
}
