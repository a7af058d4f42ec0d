//! What is checked in the guest. Each check is a function; its name is printed if it held.

use std::ffi::CString;
use std::fs::{self, File, Permissions, create_dir, read_dir, read_to_string};
use std::io::{ErrorKind, Read, Seek, SeekFrom, Write};
use std::os::fd::AsRawFd;
use std::os::unix::fs::{FileExt, MetadataExt, OpenOptionsExt, PermissionsExt, symlink};
use std::panic::catch_unwind;
use std::path::Path;
use std::time::{Duration, Instant};

use nix::libc;
use nix::sys::stat::{Mode, umask};

use super::volumes::*;

type Check = (&'static str, fn());

macro_rules! checks {
    ($names:ident, $table:ident: $($check:ident),+ $(,)?) => {
        pub const $names: &[&str] = &[$(stringify!($check)),+];
        const $table: &[Check] = &[$((stringify!($check), $check)),+];
    };
}

checks!(ALL, OF_ALL:
    files_are_made_read_and_written,
    appending_goes_to_the_end,
    truncation_and_holes,
    an_unlinked_file_is_still_there_for_who_has_it,
    renames,
    links,
    modes_and_times,
    a_thousand_entries,
    files_are_mapped,
    long_and_foreign_names,
    locks_hold_in_the_guest,
    no_room_is_an_error_and_room_is_found_again,
    nothing_but_files_and_folders_is_made,
    the_kernels_file_systems_are_empty,
    what_stays,
);

checks!(VOLUMES, OF_VOLUMES:
    a_config_map_is_updated,
    a_file_changes_under_the_guest,
    a_read_only_volume_is_one,
);

checks!(RIGHTS, OF_RIGHTS:
    a_read_only_root_is_one,
    rights_are_the_containers_users,
);

/// Runs the checks of that name, and ends the machine.
pub fn run(name: &str) {
    let _ = umask(Mode::empty());
    let table = match name {
        "all" => OF_ALL,
        "volumes" => OF_VOLUMES,
        "rights" => OF_RIGHTS,
        other => panic!("no checks {other}"),
    };
    for (name, check) in table {
        let began = Instant::now();
        match catch_unwind(check) {
            Ok(()) => println!("held: {name}"),
            Err(_) => println!("FAILED: {name}"),
        }
        println!("after {:?}", began.elapsed());
    }
    println!("checks: done");
    std::thread::sleep(Duration::from_millis(200));
    // SAFETY: there is no memory that it could touch.
    unsafe { libc::reboot(libc::RB_POWER_OFF) };
}

/// Byte number `n` of a file's content.
pub fn pattern(n: usize) -> u8 {
    (n * 7 + n / 251) as u8
}

/// A folder that is removed at the end.
struct Folder(&'static str);

impl Folder {
    fn new(path: &'static str) -> Folder {
        create_dir(path).unwrap();
        Folder(path)
    }

    fn path(&self, name: &str) -> String {
        format!("{}/{name}", self.0)
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let removed = fs::remove_dir_all(self.0);
        assert!(removed.is_ok() || std::thread::panicking(), "{removed:?}");
    }
}

#[track_caller]
pub fn assert_errno<T: std::fmt::Debug>(result: std::io::Result<T>, errno: i32) {
    let error = result.unwrap_err();
    assert_eq!(error.raw_os_error(), Some(errno), "{error}");
}

fn files_are_made_read_and_written() {
    let folder = Folder::new("/work/files");
    let path = folder.path("file");
    let mut file = File::create_new(&path).unwrap();
    assert_errno(File::create_new(&path), libc::EEXIST);
    let data: Vec<u8> = (0..1 << 20).map(pattern).collect();
    file.write_all(&data).unwrap();
    file.sync_all().unwrap();
    assert_eq!(file.metadata().unwrap().len(), 1 << 20);
    assert_eq!(fs::read(&path).unwrap(), data);
    let file = File::options().read(true).write(true).open(&path).unwrap();
    file.write_all_at(b"in the middle", 4090).unwrap();
    let mut back = [0; 15];
    file.read_exact_at(&mut back, 4089).unwrap();
    assert_eq!(&back[1..14], b"in the middle");
    assert_errno(File::open(folder.path("none")), libc::ENOENT);
    assert_errno(File::open(format!("{path}/below")), libc::ENOTDIR);
    assert_errno(File::create(folder.0), libc::EISDIR);
}

fn appending_goes_to_the_end() {
    let folder = Folder::new("/work/append");
    let path = folder.path("log");
    let open = || {
        File::options()
            .append(true)
            .create(true)
            .open(&path)
            .unwrap()
    };
    let (mut one, mut two) = (open(), open());
    for _ in 0..20 {
        one.write_all(b"one.").unwrap();
        two.write_all(b"two.").unwrap();
    }
    assert_eq!(read_to_string(&path).unwrap(), "one.two.".repeat(20));
}

fn truncation_and_holes() {
    let folder = Folder::new("/work/truncate");
    let path = folder.path("file");
    fs::write(&path, "some content").unwrap();
    let file = File::options().write(true).open(&path).unwrap();
    file.set_len(4).unwrap();
    assert_eq!(read_to_string(&path).unwrap(), "some");
    file.set_len(6).unwrap();
    assert_eq!(fs::read(&path).unwrap(), b"some\0\0");
    file.write_all_at(b"x", 1 << 20).unwrap();
    assert_eq!(path_len(&path), (1 << 20) + 1);
    File::create(&path).unwrap();
    assert_eq!(path_len(&path), 0);
    let c_path = CString::new(path.as_str()).unwrap();
    // SAFETY: a path that ends in a zero.
    assert_eq!(unsafe { libc::truncate(c_path.as_ptr(), 9) }, 0);
    assert_eq!(path_len(&path), 9);
}

fn path_len(path: &str) -> u64 {
    fs::metadata(path).unwrap().len()
}

fn an_unlinked_file_is_still_there_for_who_has_it() {
    let folder = Folder::new("/work/unlink");
    let path = folder.path("file");
    fs::write(&path, "content").unwrap();
    let mut file = File::options().read(true).write(true).open(&path).unwrap();
    fs::remove_file(&path).unwrap();
    assert!(!Path::new(&path).exists());
    fs::write(&path, "another").unwrap();
    file.seek(SeekFrom::End(0)).unwrap();
    file.write_all(b", more").unwrap();
    file.rewind().unwrap();
    let mut content = String::new();
    file.read_to_string(&mut content).unwrap();
    assert_eq!(content, "content, more");
    assert_eq!(read_to_string(&path).unwrap(), "another");
}

fn renames() {
    let folder = Folder::new("/work/rename");
    let at = |name: &str| folder.path(name);
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

fn links() {
    let folder = Folder::new("/work/links");
    let at = |name: &str| folder.path(name);
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
    symlink("/work/links/file", at("absolute")).unwrap();
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

fn modes_and_times() {
    let folder = Folder::new("/work/modes");
    let path = folder.path("file");
    File::options()
        .write(true)
        .create(true)
        .mode(0o627)
        .open(&path)
        .unwrap();
    let mode = |path: &str| fs::metadata(path).unwrap().mode() & 0o7777;
    assert_eq!(mode(&path), 0o627);
    for bits in [0o644, 0, 0o1777, 0o400] {
        fs::set_permissions(&path, Permissions::from_mode(bits)).unwrap();
        assert_eq!(mode(&path), bits);
    }
    let refused = fs::set_permissions(&path, Permissions::from_mode(0o4755));
    assert_errno(refused, libc::EPERM);
    fs::set_permissions(folder.0, Permissions::from_mode(0o2750)).unwrap();
    assert_eq!(mode(folder.0), 0o2750);
    fs::set_permissions(&path, Permissions::from_mode(0o600)).unwrap();
    let file = File::options().write(true).open(&path).unwrap();
    // Linux's own 9P keeps whole seconds.
    let time = std::time::UNIX_EPOCH + Duration::from_secs(1_000_000);
    let times = fs::FileTimes::new().set_accessed(time).set_modified(time);
    file.set_times(times).unwrap();
    assert_eq!(fs::metadata(&path).unwrap().modified().unwrap(), time);
}

fn a_thousand_entries() {
    let numbers = |folder: &str| {
        let names = read_dir(folder).unwrap();
        let names = names.map(|entry| entry.unwrap().file_name().into_string().unwrap());
        let mut numbers: Vec<usize> = names
            .map(|name| name.strip_prefix("entry-").unwrap().parse().unwrap())
            .collect();
        numbers.sort_unstable();
        numbers
    };
    assert!(numbers("/many").into_iter().eq(0..1000));
    let folder = Folder::new("/work/some");
    for n in 0..50 {
        fs::write(folder.path(&format!("entry-{n}")), n.to_string()).unwrap();
    }
    assert!(numbers(folder.0).into_iter().eq(0..50));
}

fn files_are_mapped() {
    let folder = Folder::new("/work/map");
    let path = folder.path("file");
    fs::write(&path, vec![b'.'; 8192]).unwrap();
    let file = File::options().read(true).write(true).open(&path).unwrap();
    let access = libc::PROT_READ | libc::PROT_WRITE;
    // SAFETY: a mapping of its own, of a file that nobody makes shorter.
    unsafe {
        let place = libc::mmap(
            std::ptr::null_mut(),
            8192,
            access,
            libc::MAP_SHARED,
            file.as_raw_fd(),
            0,
        );
        assert_ne!(place, libc::MAP_FAILED);
        let bytes = std::slice::from_raw_parts_mut(place.cast::<u8>(), 8192);
        assert_eq!(bytes[8191], b'.');
        bytes[4094..4098].copy_from_slice(b"over");
        assert_eq!(libc::msync(place, 8192, libc::MS_SYNC), 0);
        assert_eq!(libc::munmap(place, 8192), 0);
    }
    let content = fs::read(&path).unwrap();
    assert_eq!(
        (&content[4093..4099], content.len()),
        (&b".over."[..], 8192)
    );
}

fn long_and_foreign_names() {
    let folder = Folder::new("/work/names");
    let names = [
        "n".repeat(255),
        "ñandú-日本語-🦀 \"'\\\n".to_owned(),
        "..data".to_owned(),
    ];
    for name in &names {
        fs::write(folder.path(name), name).unwrap();
        assert_eq!(read_to_string(folder.path(name)).unwrap(), *name);
    }
    assert_errno(
        fs::write(folder.path(&"n".repeat(256)), ""),
        libc::ENAMETOOLONG,
    );
    let found = read_dir(folder.0)
        .unwrap()
        .map(|entry| entry.unwrap().file_name());
    let mut found: Vec<String> = found.map(|name| name.into_string().unwrap()).collect();
    found.sort();
    let mut names = names.to_vec();
    names.sort();
    assert_eq!(found, names);
}

fn locks_hold_in_the_guest() {
    let folder = Folder::new("/work/locks");
    let path = folder.path("file");
    let (one, two) = (File::create(&path).unwrap(), File::open(&path).unwrap());
    one.lock().unwrap();
    assert!(two.try_lock().is_err());
    one.unlock().unwrap();
    two.try_lock().unwrap();
}

fn no_room_is_an_error_and_room_is_found_again() {
    let mut file = File::create("/small/file").unwrap();
    let part = vec![1; 64 << 10];
    let full = (0..100).find_map(|_| file.write_all(&part).err()).unwrap();
    assert_eq!(full.kind(), ErrorKind::StorageFull);
    drop(file);
    let len = path_len("/small/file");
    assert!((512 << 10..=1 << 20).contains(&len), "{len}");
    fs::remove_file("/small/file").unwrap();
    fs::write("/small/file", &part).unwrap();
    fs::remove_file("/small/file").unwrap();
}

fn nothing_but_files_and_folders_is_made() {
    let folder = Folder::new("/work/special");
    let fifo = CString::new(folder.path("fifo")).unwrap();
    // SAFETY: a path that ends in a zero.
    let made = unsafe { libc::mkfifo(fifo.as_ptr(), 0o644) };
    let error = std::io::Error::last_os_error();
    assert_eq!((made, error.raw_os_error()), (-1, Some(libc::EPERM)));
}

fn the_kernels_file_systems_are_empty() {
    // Here they are the container's: the guest has mounted none of its own.
    assert_eq!(read_dir("/proc").unwrap().count(), 0);
    assert_eq!(read_dir("/dev/pts").unwrap().count(), 0);
    for path in ["/proc/self", "/proc/self/mem", "/proc/1/root"] {
        assert_errno(fs::metadata(path), libc::ENOENT);
    }
    assert!(create_dir("/proc/new").is_err());
    // The node is there, and the device is the guest's own.
    assert_eq!(fs::metadata("/dev/null").unwrap().rdev(), 0x103);
}

fn what_stays() {
    let data: Vec<u8> = (0..4 << 20).map(pattern).collect();
    fs::write("/work/kept", data).unwrap();
    File::create("/work/mode").unwrap();
    fs::set_permissions("/work/mode", Permissions::from_mode(0o640)).unwrap();
    symlink("kept", "/work/link").unwrap();
}
