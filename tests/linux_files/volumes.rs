//! What is checked in the guest of volumes, and of what it may not do.

use std::fs::{self, File, Permissions, create_dir, read_to_string};
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::time::{Duration, Instant};

use nix::libc;

use super::checks::assert_errno;

fn wait_for(what: &str, path: &str, content: &str) {
    println!("waiting for {what}");
    let deadline = Instant::now() + Duration::from_secs(60);
    while read_to_string(path).ok().as_deref() != Some(content) {
        assert!(Instant::now() < deadline, "{what}");
        std::thread::sleep(Duration::from_millis(20));
    }
}

pub fn a_config_map_is_updated() {
    assert_eq!(read_to_string("/config/key").unwrap(), "old");
    wait_for("the update", "/config/key", "new");
    assert_eq!(fs::read_link("/config/..data").unwrap(), Path::new("..two"));
}

pub fn a_file_changes_under_the_guest() {
    assert_eq!(read_to_string("/shared/file").unwrap(), "one");
    wait_for("the file", "/shared/file", "two, by the host");
    wait_for("another file", "/shared/file", "three");
    fs::write("/shared/from-the-guest", "written").unwrap();
}

pub fn a_read_only_volume_is_one() {
    assert_errno(fs::write("/config/new", ""), libc::EROFS);
    assert_errno(
        File::options().append(true).open("/config/key"),
        libc::EROFS,
    );
    assert_errno(fs::remove_file("/config/key"), libc::EROFS);
    assert_errno(create_dir("/config/directory"), libc::EROFS);
    assert_errno(fs::rename("/config/key", "/config/key2"), libc::EROFS);
    let mode = Permissions::from_mode(0o600);
    assert_errno(fs::set_permissions("/config/key", mode), libc::EROFS);
}

pub fn a_read_only_root_is_one() {
    assert_errno(fs::write("/new", ""), libc::EROFS);
    assert_errno(create_dir("/directory"), libc::EROFS);
    assert_errno(fs::remove_file("/checks"), libc::EROFS);
}

pub fn rights_are_the_containers_users() {
    fs::write("/volume/own/new", "mine").unwrap();
    assert_errno(File::open("/volume/secret"), libc::EACCES);
    assert_eq!(read_to_string("/volume/public").unwrap(), "of root");
    assert_errno(fs::write("/volume/public", ""), libc::EACCES);
    assert_errno(fs::write("/volume/new", ""), libc::EACCES);
    let mode = Permissions::from_mode(0o666);
    assert_errno(fs::set_permissions("/volume/secret", mode), libc::EPERM);
    let theirs = std::os::unix::fs::chown("/volume/own/new", Some(0), Some(0));
    assert_errno(theirs, libc::EPERM);
}

/// Of all capabilities the container has CAP_SETUID alone, and the guest is its own root.
pub fn rights_are_the_containers_capabilities() {
    assert_eq!(read_to_string("/volume/public").unwrap(), "of another");
    assert_errno(File::open("/volume/secret"), libc::EACCES);
    assert_errno(fs::write("/volume/public", ""), libc::EACCES);
    fs::write("/volume/own/new", "mine").unwrap();
    let theirs = std::os::unix::fs::chown("/volume/own/new", Some(1000), None);
    assert_errno(theirs, libc::EPERM);
}
