//! What is checked in the guest of names and directories.

use std::ffi::CString;
use std::fs::{self, File, create_dir, read_dir, read_to_string};
use std::io::Read;
use std::os::unix::fs::{MetadataExt, symlink};
use std::path::Path;

use nix::libc;

use super::checks::{Dir, assert_errno};

pub fn renames() {
    let dir = Dir::new("/data/rename");
    let at = |name: &str| dir.path(name);
    create_dir(at("a")).unwrap();
    create_dir(at("b")).unwrap();
    fs::write(at("a/file"), "one").unwrap();
    fs::write(at("b/file"), "two").unwrap();
    let mut open = File::open(at("a/file")).unwrap();
    fs::rename(at("a/file"), at("b/file")).unwrap();
    assert_eq!(read_to_string(at("b/file")).unwrap(), "one");
    let mut content = String::new();
    open.read_to_string(&mut content).unwrap();
    assert_eq!(content, "one", "open while it moved");
    fs::rename(at("b"), at("c")).unwrap();
    assert_eq!(read_to_string(at("c/file")).unwrap(), "one");
    assert_errno(fs::rename(at("a"), at("c")), libc::ENOTEMPTY);
    assert_errno(fs::rename(at("c"), at("c/d")), libc::EINVAL);
    assert_errno(fs::rename(at("c/file"), at("a")), libc::EISDIR);
    assert_errno(fs::remove_dir(at("c")), libc::ENOTEMPTY);
    fs::rename(at("c"), at("a")).unwrap();
    assert_eq!(read_to_string(at("a/file")).unwrap(), "one");
}

pub fn links() {
    let dir = Dir::new("/data/links");
    let at = |name: &str| dir.path(name);
    fs::write(at("file"), "one").unwrap();
    fs::hard_link(at("file"), at("hard")).unwrap();
    let (one, two) = (
        fs::metadata(at("file")).unwrap(),
        fs::metadata(at("hard")).unwrap(),
    );
    assert_eq!((one.ino(), one.nlink()), (two.ino(), 2));
    fs::write(at("hard"), "both").unwrap();
    assert_eq!(read_to_string(at("file")).unwrap(), "both");
    symlink("file", at("soft")).unwrap();
    symlink("/data/links/file", at("absolute")).unwrap();
    symlink("nowhere", at("dangling")).unwrap();
    symlink("loop", at("loop")).unwrap();
    for link in ["soft", "absolute"] {
        assert_eq!(read_to_string(at(link)).unwrap(), "both", "{link}");
    }
    assert_eq!(fs::read_link(at("soft")).unwrap(), Path::new("file"));
    assert_errno(File::open(at("dangling")), libc::ENOENT);
    assert_errno(File::open(at("loop")), libc::ELOOP);
    fs::remove_file(at("file")).unwrap();
    assert_eq!(fs::metadata(at("hard")).unwrap().nlink(), 1);
    assert_eq!(read_to_string(at("hard")).unwrap(), "both");
}

pub fn a_thousand_entries() {
    let numbers = |dir: &str| {
        let names = read_dir(dir).unwrap();
        let names = names.map(|entry| entry.unwrap().file_name().into_string().unwrap());
        let mut numbers: Vec<usize> = names
            .map(|name| name.strip_prefix("entry-").unwrap().parse().unwrap())
            .collect();
        numbers.sort_unstable();
        numbers
    };
    assert!(numbers("/many").into_iter().eq(0..1000));
    let dir = Dir::new("/data/some");
    for n in 0..50 {
        fs::write(dir.path(&format!("entry-{n}")), n.to_string()).unwrap();
    }
    assert!(numbers(dir.0).into_iter().eq(0..50));
}

pub fn long_and_foreign_names() {
    let dir = Dir::new("/data/names");
    let names = [
        "n".repeat(255),
        "ñandú-日本語-🦀 \"'\\\n".to_owned(),
        "..data".to_owned(),
    ];
    for name in &names {
        fs::write(dir.path(name), name).unwrap();
        assert_eq!(read_to_string(dir.path(name)).unwrap(), *name);
    }
    assert_errno(
        fs::write(dir.path(&"n".repeat(256)), ""),
        libc::ENAMETOOLONG,
    );
    let found = read_dir(dir.0)
        .unwrap()
        .map(|entry| entry.unwrap().file_name());
    let mut found: Vec<String> = found.map(|name| name.into_string().unwrap()).collect();
    found.sort();
    let mut names = names.to_vec();
    names.sort();
    assert_eq!(found, names);
}

pub fn nothing_but_files_and_dirs_is_made() {
    let dir = Dir::new("/data/special");
    let fifo = CString::new(dir.path("fifo")).unwrap();
    // SAFETY: a path that ends in a zero.
    let made = unsafe { libc::mkfifo(fifo.as_ptr(), 0o644) };
    let error = std::io::Error::last_os_error();
    assert_eq!((made, error.raw_os_error()), (-1, Some(libc::EPERM)));
    assert!(create_dir("/proc/new").is_err());
}

pub fn no_device_is_made() {
    let dir = Dir::new("/data/devices");
    let node = CString::new(dir.path("node")).unwrap();
    for kind in [libc::S_IFCHR, libc::S_IFBLK] {
        // SAFETY: a path that ends in a zero.
        let made = unsafe { libc::mknod(node.as_ptr(), kind | 0o644, 0x103) };
        let error = std::io::Error::last_os_error();
        assert_eq!((made, error.raw_os_error()), (-1, Some(libc::EPERM)));
    }
}

pub fn the_kernels_file_systems_are_empty() {
    // Here they are the container's: the guest has mounted none of its own.
    assert_eq!(read_dir("/proc").unwrap().count(), 0);
    assert_eq!(read_dir("/dev/pts").unwrap().count(), 0);
    for path in ["/proc/self", "/proc/self/mem", "/proc/1/root"] {
        assert_errno(fs::metadata(path), libc::ENOENT);
    }
    // The node is there, and the device is the guest's own.
    assert_eq!(fs::metadata("/dev/null").unwrap().rdev(), 0x103);
}
