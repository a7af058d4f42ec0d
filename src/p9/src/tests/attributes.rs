//! Attributes are told and set.

use std::os::unix::fs::{MetadataExt, PermissionsExt};

use nix::errno::Errno;
use nix::libc::{O_RDONLY, O_RDWR};

use super::*;
use crate::message_type;
use crate::wire::Tmessage;

const MODE: u32 = 0x1;
const UID: u32 = 0x2;
const SIZE: u32 = 0x8;
const ATIME: u32 = 0x10;
const MTIME: u32 = 0x20;
const ATIME_GIVEN: u32 = 0x80;
const MTIME_GIVEN: u32 = 0x100;

/// Tsetattr with these numbers, and 1000.5 s and 2000.25 s for times.
fn set(fid: u32, which: u32, mode: u32, id: u32, size: u64) -> client::Fields {
    let fields = fields().u32(fid).u32(which).u32(mode).u32(id).u32(id);
    let atime = fields.u64(size).u64(1000).u64(500_000_000);
    atime.u64(2000).u64(250_000_000)
}

#[test]
fn all_attributes_are_the_hosts() {
    let mut client = Client::new();
    client.make("file", "content");
    client.walk(1, "file").unwrap();
    let host = client.host("file").metadata().unwrap();
    let reply = client
        .call(message_type::TGETATTR, fields().u32(1).u64(u64::MAX))
        .unwrap();
    let mut rest = Tmessage(&reply);
    assert_eq!(rest.u64(), Ok(0xfff), "what is known");
    let (kind, _version, path) = (rest.u8(), rest.u32(), rest.u64());
    assert_eq!((kind, path), (Ok(0), Ok(host.ino())));
    let told = [rest.u32(), rest.u32(), rest.u32()].map(Result::unwrap);
    assert_eq!(told, [host.mode(), host.uid(), host.gid()]);
    let mut next = || rest.u64().unwrap();
    let told = [next(), next(), next(), next(), next()];
    assert_eq!(told, [1, 0, 7, host.blksize(), host.blocks()]);
    let times = [next(), next(), next(), next()].map(u64::cast_signed);
    let expected = [
        host.atime(),
        host.atime_nsec(),
        host.mtime(),
        host.mtime_nsec(),
    ];
    assert_eq!(times, expected);
    let mut client = Client::of("/", tempfile::tempdir().unwrap());
    client.walk(1, "dev/null").unwrap();
    let reply = client
        .call(message_type::TGETATTR, fields().u32(1).u64(0))
        .unwrap();
    let device = 8 + 13 + 12 + 8;
    assert_eq!(reply[device..device + 8], 0x103u64.to_le_bytes());
}

#[test]
fn mode_size_and_times_are_set() {
    let mut client = Client::new();
    client.make("file", "content");
    std::fs::create_dir(client.host("directory")).unwrap();
    for (fid, is_open) in [(1, false), (2, true)] {
        match is_open {
            false => client.walk(fid, "file").unwrap(),
            true => client.open(fid, "file", O_RDWR).unwrap(),
        };
        let which = MODE | SIZE | ATIME | ATIME_GIVEN | MTIME | MTIME_GIVEN;
        let mode = 0o1640 + fid;
        client
            .call(message_type::TSETATTR, set(fid, which, mode, 0, 3))
            .unwrap();
        let host = client.host("file").metadata().unwrap();
        assert_eq!((host.mode() & 0o7777, host.len()), (mode, 3));
        let times = [
            host.atime(),
            host.atime_nsec(),
            host.mtime(),
            host.mtime_nsec(),
        ];
        assert_eq!(times, [1000, 500_000_000, 2000, 250_000_000]);
        client
            .call(message_type::TSETATTR, set(fid, MTIME, 0, 0, 0))
            .unwrap();
        let host = client.host("file").metadata().unwrap();
        assert!(host.mtime() > 1_000_000_000 && host.atime() == 1000, "now");
        client
            .call(message_type::TSETATTR, set(fid, SIZE, 0, 0, 1 << 20))
            .unwrap();
        assert_eq!(client.attributes(fid).unwrap().1, 1 << 20);
        let far = client.call(message_type::TSETATTR, set(fid, SIZE, 0, 0, u64::MAX));
        assert!(far.is_err());
        client
            .call(message_type::TSETATTR, set(fid, 0, 0, 0, 0))
            .unwrap();
    }
    // One that is open for reading only, by its name.
    client.open(3, "file", O_RDONLY).unwrap();
    client
        .call(message_type::TSETATTR, set(3, SIZE, 0, 0, 5))
        .unwrap();
    assert_eq!(client.attributes(3).unwrap().1, 5);
    client.walk(4, "directory").unwrap();
    client
        .call(message_type::TSETATTR, set(4, MODE, 0o2711, 0, 0))
        .unwrap();
    let host = client.host("directory").metadata().unwrap();
    assert_eq!(host.mode() & 0o7777, 0o2711);
    let cut = client.call(message_type::TSETATTR, set(4, SIZE, 0, 0, 0));
    assert_eq!(cut, Err(code(Errno::EISDIR)));
    let nobody = client.call(message_type::TSETATTR, set(1, UID, 0, u32::MAX, 0));
    assert_eq!(nobody, Err(code(Errno::EINVAL)));
}

/// Whoever executes such a file has its owner's rights, and the owner may be the host's root.
#[test]
fn no_file_gets_a_set_id_bit() {
    let mut client = Client::new();
    client.make("file", "");
    client.walk(1, "file").unwrap();
    let refused = Err(code(Errno::EPERM));
    for mode in [0o4755, 0o2755, 0o6755] {
        assert_eq!(
            client.call(message_type::TSETATTR, set(1, MODE, mode, 0, 0)),
            refused
        );
        let node = fields()
            .u32(ROOT)
            .text("new")
            .u32(mode)
            .u32(0)
            .u32(0)
            .u32(0);
        assert_eq!(client.call(message_type::TMKNOD, node), refused);
        client.walk(2, "").unwrap();
        let create = fields().u32(2).text("new").u32(0).u32(mode).u32(0);
        assert_eq!(client.call(message_type::TLCREATE, create), refused);
        client.clunk(2);
    }
    let dir = fields().u32(ROOT).text("directory").u32(0o4755).u32(0);
    assert_eq!(client.call(message_type::TMKDIR, dir), refused);
    assert!(!client.host("new").exists());
    let mode = client.host("file").metadata().unwrap().permissions().mode();
    assert_eq!(mode & 0o7000, 0);
}

#[test]
fn the_file_systems_room_is_told() {
    let mut client = Client::new();
    let reply = client
        .call(message_type::TSTATFS, fields().u32(ROOT))
        .unwrap();
    let mut rest = Tmessage(&reply);
    let host = nix::sys::statvfs::statvfs(client.dir.path()).unwrap();
    assert_eq!(rest.u32(), Ok(0x0102_1997));
    assert_eq!(u64::from(rest.u32().unwrap()), host.block_size());
    assert_eq!(rest.u64(), Ok(host.blocks()));
    let (_free, _available, _files) = (rest.u64(), rest.u64(), rest.u64());
    let (_free_files, _id) = (rest.u64(), rest.u64());
    assert_eq!((rest.u32(), rest.0.len()), (Ok(255), 0));
}
