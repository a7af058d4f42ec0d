//! What is checked in the guest. Each check is a function; its name is printed if it held.

use std::ffi::CString;
use std::fs::{self, File, Permissions, create_dir, read_to_string};
use std::io::{ErrorKind, Read, Seek, SeekFrom, Write};
use std::os::fd::AsRawFd;
use std::os::unix::fs::{FileExt, MetadataExt, OpenOptionsExt, PermissionsExt, symlink};
use std::panic::catch_unwind;
use std::path::Path;
use std::time::{Duration, Instant};

use nix::libc;
use nix::sys::stat::{Mode, umask};

use super::memory::*;
use super::tree::*;
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
    the_kernels_file_systems_are_empty,
    what_stays,
);

checks!(BY_9P, OF_9P:
    nothing_but_files_and_dirs_is_made,
    no_file_is_root_s_for_others_to_run,
);

// The host's root itself, with the container's capabilities.
checks!(BY_VIRTIOFS, OF_VIRTIOFS: no_device_is_made);

checks!(VOLUMES, OF_VOLUMES:
    a_config_map_is_updated,
    a_file_changes_under_the_guest,
    a_read_only_volume_is_one,
);

checks!(RIGHTS, OF_RIGHTS:
    a_read_only_root_is_one,
    rights_are_the_containers_users,
);

checks!(OWNER, OF_OWNER:
    a_read_only_root_is_one,
    rights_are_the_containers_capabilities,
);

checks!(MEMORY, OF_MEMORY: all_memory_is_taken);

/// Runs the checks of that name, and ends the machine.
pub fn run(name: &str) {
    let _ = umask(Mode::empty());
    let table = match name {
        "9p" => &[OF_ALL, OF_9P].concat(),
        "virtiofs" => &[OF_ALL, OF_VIRTIOFS].concat(),
        "volumes" => OF_VOLUMES,
        "rights" => OF_RIGHTS,
        "owner" => OF_OWNER,
        "memory" => OF_MEMORY,
        other => panic!("no checks {other}"),
    };
    // The test runner has begun a line.
    println!();
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

/// A directory that is removed at the end.
pub struct Dir(pub &'static str);

impl Dir {
    pub fn new(path: &'static str) -> Dir {
        create_dir(path).unwrap();
        Dir(path)
    }

    pub fn path(&self, name: &str) -> String {
        format!("{}/{name}", self.0)
    }
}

impl Drop for Dir {
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
    let dir = Dir::new("/data/files");
    let path = dir.path("file");
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
    assert_errno(File::open(dir.path("none")), libc::ENOENT);
    assert_errno(File::open(format!("{path}/below")), libc::ENOTDIR);
    assert_errno(File::create(dir.0), libc::EISDIR);
}

fn appending_goes_to_the_end() {
    let dir = Dir::new("/data/append");
    let path = dir.path("log");
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
    let dir = Dir::new("/data/truncate");
    let path = dir.path("file");
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
    let dir = Dir::new("/data/unlink");
    let path = dir.path("file");
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

fn modes_and_times() {
    let dir = Dir::new("/data/modes");
    let path = dir.path("file");
    File::options()
        .write(true)
        .create_new(true)
        .mode(0o627)
        .open(&path)
        .unwrap();
    let mode = |path: &str| fs::metadata(path).unwrap().mode() & 0o7777;
    assert_eq!(mode(&path), 0o627);
    for bits in [0o644, 0, 0o1777, 0o400] {
        fs::set_permissions(&path, Permissions::from_mode(bits)).unwrap();
        assert_eq!(mode(&path), bits);
    }
    fs::set_permissions(dir.0, Permissions::from_mode(0o2750)).unwrap();
    assert_eq!(mode(dir.0), 0o2750);
    fs::set_permissions(&path, Permissions::from_mode(0o600)).unwrap();
    let file = File::options().write(true).open(&path).unwrap();
    // Linux's own 9P keeps whole seconds.
    let time = std::time::UNIX_EPOCH + Duration::from_secs(1_000_000);
    let times = fs::FileTimes::new().set_accessed(time).set_modified(time);
    file.set_times(times).unwrap();
    assert_eq!(fs::metadata(&path).unwrap().modified().unwrap(), time);
}

fn no_file_is_root_s_for_others_to_run() {
    let dir = Dir::new("/data/set-id");
    let path = dir.path("file");
    fs::write(&path, "").unwrap();
    let refused = fs::set_permissions(&path, Permissions::from_mode(0o4755));
    assert_errno(refused, libc::EPERM);
}

fn files_are_mapped() {
    let dir = Dir::new("/data/map");
    let path = dir.path("file");
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

fn locks_hold_in_the_guest() {
    let dir = Dir::new("/data/locks");
    let path = dir.path("file");
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

fn what_stays() {
    let data: Vec<u8> = (0..1 << 20).map(pattern).collect();
    fs::write("/data/kept", data).unwrap();
    File::create("/data/mode").unwrap();
    fs::set_permissions("/data/mode", Permissions::from_mode(0o640)).unwrap();
    symlink("kept", "/data/link").unwrap();
}
