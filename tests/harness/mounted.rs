//! A bundle whose rootfs is a block device's file system, as a snapshotter makes it.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use nix::mount::{MntFlags, umount2};

use super::bundle::Bundle;
use super::loop_device::Loop;

/// It goes, with what is mounted there, when it is dropped.
pub struct Mounted {
    pub bundle: Bundle,
    pub disk: Loop,
}

impl Mounted {
    /// With an empty file system of so many KiB on a device with these blocks. `None`, said aloud,
    /// where that cannot be.
    pub fn new(bundle: Bundle, blocks: &[u8], kib: usize) -> Option<Self> {
        if super::containerd::is_missing(&[("mke2fs", "e2fsprogs")]) {
            return None;
        }
        let disk = Loop::of(blocks)?;
        let device = disk.device.to_str().unwrap();
        run(&["mke2fs", "-q", "-b", "1024", device, &kib.to_string()]);
        let mounted = Self { bundle, disk };
        mounted.mount("rw");
        Some(mounted)
    }

    pub fn mount(&self, options: &str) {
        let (device, rootfs) = (&self.disk.device, self.bundle.rootfs());
        let (device, rootfs) = (device.to_str().unwrap(), rootfs.to_str().unwrap());
        run(&["mount", "-t", "ext2", "-o", options, device, rootfs]);
    }

    pub fn unmount(&self) {
        umount2(&self.bundle.rootfs(), MntFlags::empty()).unwrap();
    }

    /// What is mounted at the rootfs.
    pub fn mounts(&self) -> Vec<String> {
        mounts_at(&self.bundle.rootfs())
    }
}

impl Drop for Mounted {
    fn drop(&mut self) {
        while umount2(&self.bundle.rootfs(), MntFlags::MNT_DETACH).is_ok() {}
    }
}

/// Something that is mounted, and goes again.
pub struct Mount(PathBuf);

impl Mount {
    /// By mount(8) with these arguments before the place.
    #[track_caller]
    pub fn new(place: &Path, args: &[&str]) -> Self {
        let place = place.to_owned();
        run(&[&["mount"], args, &[place.to_str().unwrap()]].concat());
        Self(place)
    }
}

impl Drop for Mount {
    fn drop(&mut self) {
        let _ = umount2(&self.0, MntFlags::MNT_DETACH);
    }
}

/// The lines of mountinfo of what is mounted at a place, without the mounts' numbers.
pub fn mounts_at(place: &Path) -> Vec<String> {
    let place = place.to_str().unwrap();
    let text = fs::read_to_string("/proc/self/mountinfo").unwrap();
    let lines = text.lines().map(|line| line.splitn(3, ' ').nth(2).unwrap());
    let is_there = |line: &&str| line.split(' ').nth(2) == Some(place);
    lines.filter(is_there).map(str::to_owned).collect()
}

/// Runs a program of the host's, which must work.
#[track_caller]
pub fn run(command: &[&str]) {
    let output = Command::new(command[0])
        .args(&command[1..])
        .output()
        .unwrap();
    let said = super::program::text(&output);
    assert!(output.status.success(), "{command:?}: {said}");
}
