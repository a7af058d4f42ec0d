//! The container's tree as the root of a Linux guest, by 9p and by virtio-fs: Debian's generic
//! kernel, with the test's own program run from there. In the emulated machine only: it needs every
//! instruction.
//!
//! The same program is on both sides: `checks` runs in the guest.

mod checks;
mod guest;
mod memory;
mod tree;
mod volumes;

use std::fs;
use std::os::unix::fs::{MetadataExt, PermissionsExt, symlink};
use std::path::{Path, PathBuf};

use guest::{Guest, run, wait_long};
use serde_json::json;

/// What the guest writes of each check that held.
fn assert_held(said: &str, checks: &[&str]) {
    for check in checks {
        let line = format!("held: {check}");
        assert!(
            said.lines().any(|l| l.trim_end() == line),
            "{check}:\n{said}"
        );
    }
    assert!(said.contains("checks: done"), "{said}");
}

#[test]
fn a_root_by_9p_is_a_file_system_like_another() {
    if let Some(guest) = Guest::new("files-all", "9p", "9p") {
        is_a_file_system_like_another(guest, checks::BY_9P);
    }
}

#[test]
fn a_root_by_virtiofs_is_a_file_system_like_another() {
    if let Some(guest) = Guest::new("files-served", "virtiofs", "virtiofs") {
        is_a_file_system_like_another(guest, checks::BY_VIRTIOFS);
    }
}

fn is_a_file_system_like_another(guest: Guest, also: &[&str]) {
    let root = guest.bundle.rootfs();
    for dir in ["data", "small"] {
        fs::create_dir(root.join(dir)).unwrap();
    }
    many(&guest, 1000);
    let guest = guest.with(|config| {
        let mounts = config["mounts"].as_array_mut().unwrap();
        let options = ["size=1m", "mode=755"];
        mounts.push(json!({ "destination": "/small", "type": "tmpfs", "source": "tmpfs", "options": options }));
    });
    let (status, said) = run(&guest, |_| ());
    assert_eq!(status, 0, "{said}");
    assert_held(&said, checks::ALL);
    assert_held(&said, also);
    // What it wrote is the host's.
    let data = root.join("data");
    let kept = fs::read(data.join("kept")).unwrap();
    assert_eq!(kept.len(), 1 << 20);
    assert!(
        kept.iter()
            .zip(0usize..)
            .all(|(byte, n)| *byte == checks::pattern(n))
    );
    assert_eq!(data.join("mode").metadata().unwrap().mode() & 0o7777, 0o640);
    assert_eq!(fs::read_link(data.join("link")).unwrap(), Path::new("kept"));
    let entries = fs::read_dir(&data).unwrap().count();
    assert_eq!(entries, 3, "the rest was removed");
}

/// So many empty files.
fn many(guest: &Guest, files: usize) {
    let dir = guest.bundle.rootfs().join("many");
    fs::create_dir(&dir).unwrap();
    for n in 0..files {
        fs::write(dir.join(format!("entry-{n}")), "").unwrap();
    }
}

/// A directory as the kubelet makes it of a ConfigMap: `key` leads to `..data/key`, and `..data` to
/// a directory of a version's own.
fn config_map(dir: &Path, version: &str, content: &str) {
    let version_dir = dir.join(version);
    fs::create_dir_all(&version_dir).unwrap();
    fs::write(version_dir.join("key"), content).unwrap();
    let (link, new) = (dir.join("..data"), dir.join("..data_tmp"));
    symlink(version, &new).unwrap();
    fs::rename(&new, &link).unwrap();
    if !dir.join("key").is_symlink() {
        symlink("..data/key", dir.join("key")).unwrap();
    }
}

#[test]
fn volumes_are_seen_as_they_are_mounted_and_as_they_change() {
    if let Some(guest) = Guest::new("files-volumes", "9p", "volumes") {
        sees_volumes(guest);
    }
}

#[test]
fn so_they_are_by_virtiofs() {
    if let Some(guest) = Guest::new("served-volumes", "virtiofs", "volumes") {
        sees_volumes(guest);
    }
}

fn sees_volumes(guest: Guest) {
    let volumes = tempfile::tempdir().unwrap();
    let of = |name: &str| volumes.path().join(name);
    config_map(&of("config"), "..one", "old");
    fs::create_dir(of("shared")).unwrap();
    fs::write(of("shared/file"), "one").unwrap();
    let guest = guest.with(|config| {
        let mounts = config["mounts"].as_array_mut().unwrap();
        for (name, access) in [("config", "ro"), ("shared", "rw")] {
            let (place, source) = (format!("/{name}"), of(name));
            let options = ["rbind", "rprivate", access];
            mounts.push(json!({ "destination": place, "type": "bind", "source": source, "options": options }));
        }
    });
    let (status, said) = run(&guest, |container| {
        wait_long("the first check", container, "waiting for the update");
        config_map(&of("config"), "..two", "new");
        fs::remove_dir_all(of("config/..one")).unwrap();
        container.wait_output("waiting for the file");
        fs::write(of("shared/file"), "two, by the host").unwrap();
        container.wait_output("waiting for another file");
        fs::write(of("shared/other"), "three").unwrap();
        fs::rename(of("shared/other"), of("shared/file")).unwrap();
    });
    assert_eq!(status, 0, "{said}");
    assert_held(&said, checks::VOLUMES);
    let told = fs::read_to_string(of("shared/from-the-guest")).unwrap();
    assert_eq!(told, "written");
    assert_eq!(fs::read_to_string(of("config/key")).unwrap(), "new");
}

/// `root.readonly`, and a guest that is root for itself alone: the host's rights are those of
/// the container's user.
#[test]
fn what_the_container_may_not_the_guest_may_not() {
    let Some(guest) = Guest::new("files-rights", "9p", "rights") else {
        return;
    };
    let volume = tempfile::tempdir().unwrap();
    let own = volume.path().join("own");
    fs::create_dir(&own).unwrap();
    std::os::unix::fs::chown(&own, Some(1000), Some(1000)).unwrap();
    fs::set_permissions(volume.path(), fs::Permissions::from_mode(0o755)).unwrap();
    file(volume.path(), "secret", "of root alone", 0o600);
    file(volume.path(), "public", "of root", 0o644);
    let guest = guest.with(|config| {
        config["root"]["readonly"] = true.into();
        config["process"]["user"] = json!({ "uid": 1000, "gid": 1000 });
        let mounts = config["mounts"].as_array_mut().unwrap();
        mounts.push(json!({ "destination": "/volume", "type": "bind", "source": volume.path(), "options": ["rbind", "rw"] }));
    });
    let (status, said) = run(&guest, |_| ());
    assert_eq!(status, 0, "{said}");
    assert_held(&said, checks::RIGHTS);
    let owner = own.join("new").metadata().unwrap();
    assert_eq!((owner.uid(), owner.gid()), (1000, 1000));
}

fn file(dir: &Path, name: &str, content: &str, mode: u32) -> PathBuf {
    let path = dir.join(name);
    fs::write(&path, content).unwrap();
    fs::set_permissions(&path, fs::Permissions::from_mode(mode)).unwrap();
    path
}

/// virtiofsd is root, and the guest's root is too: but for the container's capabilities.
#[test]
fn by_virtiofs_the_guest_has_the_containers_capabilities() {
    let Some(guest) = Guest::new("served-rights", "virtiofs", "owner") else {
        return;
    };
    let volume = tempfile::tempdir().unwrap();
    fs::set_permissions(volume.path(), fs::Permissions::from_mode(0o755)).unwrap();
    let own = volume.path().join("own");
    fs::create_dir(&own).unwrap();
    for (name, content, mode) in [("secret", "-", 0o600), ("public", "of another", 0o644)] {
        let path = file(volume.path(), name, content, mode);
        std::os::unix::fs::chown(path, Some(1000), Some(1000)).unwrap();
    }
    let guest = guest.with(|config| {
        config["root"]["readonly"] = true.into();
        config["process"]["capabilities"] = json!({ "bounding": ["CAP_SETUID"], "effective": ["CAP_SETUID"], "permitted": ["CAP_SETUID"] });
        let mounts = config["mounts"].as_array_mut().unwrap();
        mounts.push(json!({ "destination": "/volume", "type": "bind", "source": volume.path(), "options": ["rbind", "rw"] }));
    });
    let (status, said) = run(&guest, |_| ());
    assert_eq!(status, 0, "{said}");
    assert_held(&said, checks::OWNER);
    let owner = own.join("new").metadata().unwrap();
    assert_eq!((owner.uid(), owner.gid()), (0, 0));
}

/// What virtiofsd and the host's kernel need for each file that the guest knows of is in the
/// container's limit too.
#[test]
fn by_virtiofs_a_guest_may_take_all_the_memory_that_its_limit_gives_it() {
    let Some(guest) = Guest::new("served-memory", "virtiofs", "memory") else {
        return;
    };
    many(&guest, 20_000);
    let guest = guest.with(|config| {
        config["annotations"]
            .as_object_mut()
            .unwrap()
            .remove("runu.dev/memory");
        config["linux"]["resources"]["memory"] = json!({ "limit": 256 << 20 });
    });
    let (status, said) = run(&guest, |_| ());
    assert_eq!(status, 0, "{said}");
    assert_held(&said, checks::MEMORY);
}

/// In the guest: what the program is run for there, by the name of the checks.
#[test]
#[ignore = "runs in the guest"]
fn in_the_guest() {
    checks::run(&std::env::var("CHECKS").unwrap());
}
