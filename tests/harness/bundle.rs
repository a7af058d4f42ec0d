//! Bundles: laid out from `fixtures/bundles`, or written to be run.

use std::fs;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};

use serde_json::{Value, json};
use tempfile::TempDir;

use super::{elf, layout, repository};

/// A bundle in a temporary directory.
pub struct Bundle {
    dir: TempDir,
    pub config: Value,
}

impl Bundle {
    /// Lays out `fixtures/bundles/<case>`: its config.json, and a rootfs with
    /// what the file `rootfs` lists:
    ///
    /// ```text
    /// file PATH elf:KIND | a text     link PATH TARGET     dir PATH
    /// ```
    ///
    /// A file `image` is an image of which an OCI layout lies in the bundle: see
    /// [`layout::from_list`].
    pub fn fixture(case: &str) -> Self {
        let source = repository().join("fixtures/bundles").join(case);
        let config = fs::read_to_string(source.join("config.json")).unwrap();
        let bundle = Self::empty(serde_json::from_str(&config).unwrap());
        if let Ok(image) = fs::read_to_string(source.join("image")) {
            layout::from_list(bundle.path(), &serde_json::from_str(&image).unwrap());
        }
        let list = fs::read_to_string(source.join("rootfs")).unwrap_or_default();
        for line in list.lines().filter(|line| !line.is_empty()) {
            let mut words = line.splitn(3, ' ');
            let (kind, path) = (words.next().unwrap(), words.next().unwrap());
            let path = bundle.rootfs().join(path.trim_start_matches('/'));
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            match (kind, words.next()) {
                ("dir", None) => fs::create_dir(path).unwrap(),
                ("link", Some(target)) => symlink(target, path).unwrap(),
                ("file", Some(text)) => {
                    let bytes = match text.strip_prefix("elf:") {
                        Some(kind) => elf::kernel(kind),
                        None => text.as_bytes().to_vec(),
                    };
                    fs::write(path, bytes).unwrap();
                }
                _ => panic!("{case}/rootfs: {line}"),
            }
        }
        bundle
    }

    /// A bundle that can be run, with an empty rootfs: the namespaces and
    /// mounts of `runc spec`.
    pub fn runnable(id: &str, args: &[&str]) -> Self {
        let mut bundle = Self::empty(runnable_config(args));
        bundle.config["linux"]["cgroupsPath"] = format!("/runu-test-{id}").into();
        bundle.save();
        bundle
    }

    /// A bundle whose image is one of the test guests.
    pub fn unikernel(id: &str, guest: &str, abi: &str, args: &[&str]) -> Self {
        let bundle = Self::runnable(id, args);
        bundle.add("/unikraft/bin/kernel", &super::guest(guest, abi));
        bundle
    }

    /// A bundle whose image is busybox.
    pub fn busybox(id: &str, args: &[&str]) -> Self {
        let bundle = Self::runnable(id, args);
        bundle.add("/bin/busybox", Path::new("/bin/busybox"));
        bundle
    }

    fn empty(config: Value) -> Self {
        let dir = tempfile::tempdir().unwrap();
        fs::create_dir(dir.path().join("rootfs")).unwrap();
        let bundle = Self { dir, config };
        bundle.save();
        bundle
    }

    /// Copies a file of the host's into the rootfs.
    pub fn add(&self, path: &str, source: &Path) {
        let path = self.rootfs().join(path.trim_start_matches('/'));
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::copy(source, path).unwrap();
    }

    /// Sets an annotation.
    pub fn annotate(mut self, key: &str, value: &str) -> Self {
        self.config["annotations"][key] = value.into();
        self.save();
        self
    }

    /// Changes config.json.
    pub fn with(mut self, change: impl FnOnce(&mut Value)) -> Self {
        change(&mut self.config);
        self.save();
        self
    }

    fn save(&self) {
        fs::write(self.path().join("config.json"), self.config.to_string()).unwrap();
    }

    pub fn path(&self) -> &Path {
        self.dir.path()
    }

    pub fn rootfs(&self) -> PathBuf {
        self.path().join("rootfs")
    }
}

fn runnable_config(args: &[&str]) -> Value {
    let mount = |destination: &str, kind: &str, options: &[&str]| json!({ "destination": destination, "type": kind, "source": kind, "options": options });
    let namespaces = ["pid", "ipc", "uts", "mount", "network"].map(|kind| json!({ "type": kind }));
    json!({
        "ociVersion": "1.0.2",
        "root": { "path": "rootfs" },
        "hostname": "runu-test",
        "process": {
            "terminal": false,
            "user": { "uid": 0, "gid": 0 },
            "args": args,
            "env": ["PATH=/bin:/usr/bin"],
            "cwd": "/",
        },
        "annotations": {},
        "mounts": [
            mount("/proc", "proc", &[]),
            mount("/dev", "tmpfs", &["nosuid", "strictatime", "mode=755", "size=65536k"]),
            mount("/dev/pts", "devpts", &["nosuid", "noexec", "newinstance", "ptmxmode=0666", "mode=0620"]),
            mount("/dev/shm", "tmpfs", &["nosuid", "noexec", "nodev", "mode=1777"]),
        ],
        "linux": {
            "namespaces": namespaces,
            "resources": {
                "devices": [{ "allow": false, "access": "rwm" }],
                "memory": { "limit": 64 << 20 },
            },
            "maskedPaths": ["/proc/kcore"],
            "readonlyPaths": ["/proc/sys"],
        },
    })
}
