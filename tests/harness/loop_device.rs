//! A file as a block device.

use std::fs::{self, File};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::process::Command;

use nix::libc;
use tempfile::NamedTempFile;

/// It goes, with its file, when it is dropped.
pub struct Loop {
    pub device: PathBuf,
    pub file: NamedTempFile,
}

impl Loop {
    /// `None`, said aloud, where the host has no such devices, or can boot no guest.
    pub fn of(content: &[u8]) -> Option<Self> {
        if super::cannot_boot() {
            return None;
        }
        if !Path::new("/dev/loop-control").exists() {
            super::skip("no /dev/loop-control");
            return None;
        }
        let file = NamedTempFile::new().unwrap();
        fs::write(file.path(), content).unwrap();
        let device = losetup(&["--find", "--show", file.path().to_str().unwrap()]);
        let device = device.trim().into();
        Some(Self { device, file })
    }

    /// Major and minor.
    pub fn number(&self) -> (u32, u32) {
        let number = self.device.metadata().unwrap().rdev();
        (libc::major(number), libc::minor(number))
    }

    /// What is in the file, once the host has written to it what it keeps for the device.
    pub fn content(&self) -> Vec<u8> {
        File::open(&self.device).unwrap().sync_all().unwrap();
        fs::read(self.file.path()).unwrap()
    }
}

impl Drop for Loop {
    fn drop(&mut self) {
        let _ = Command::new("losetup").arg("-d").arg(&self.device).status();
    }
}

fn losetup(args: &[&str]) -> String {
    let made = Command::new("losetup").args(args).output().unwrap();
    let said = String::from_utf8_lossy(&made.stderr);
    assert!(made.status.success(), "{said}");
    String::from_utf8(made.stdout).unwrap()
}
