//! Files are read and written, directories listed.

use std::collections::BTreeSet;
use std::os::unix::fs::{MetadataExt, symlink};

use nix::errno::Errno;
use nix::libc::{O_APPEND, O_CREAT, O_DIRECTORY, O_EXCL, O_RDONLY, O_RDWR, O_TRUNC, O_WRONLY};

use super::*;
use crate::message_type;

#[test]
fn a_file_is_made_written_and_read() {
    let mut client = Client::new();
    let flags = O_RDWR | O_CREAT | O_EXCL;
    client.create(1, "file", flags, 0o666).unwrap();
    assert_eq!(client.write(1, 0, b"hello world"), Ok(11));
    assert_eq!(client.write(1, 6, b"there"), Ok(5));
    assert_eq!(client.read(1, 6, 100).unwrap(), b"there");
    assert_eq!(client.read(1, 11, 100).unwrap(), b"");
    assert_eq!(client.content("file"), "hello there");
    // Whatever the mask of this process is.
    let mode = client.host("file").metadata().unwrap().mode();
    assert_eq!(mode, 0o100_666);
    let again = client.create(2, "file", flags, 0o644);
    assert_eq!(again, Err(code(Errno::EEXIST)));
    client.clunk(2);
    client.create(2, "file", O_RDWR, 0o600).unwrap();
    assert_eq!(client.read(2, 0, 5).unwrap(), b"hello", "as it is");
}

#[test]
fn access_is_as_it_was_opened() {
    let mut client = Client::new();
    client.make("file", "content");
    client.open(1, "file", O_RDONLY).unwrap();
    assert_eq!(client.write(1, 0, b"x"), Err(code(Errno::EBADF)));
    client.open(2, "file", O_WRONLY).unwrap();
    assert_eq!(client.read(2, 0, 1), Err(code(Errno::EBADF)));
    client.open(3, "file", O_WRONLY | O_APPEND).unwrap();
    client.write(3, 0, b", more").unwrap();
    assert_eq!(client.content("file"), "content, more");
    client.open(4, "file", O_WRONLY | O_TRUNC).unwrap();
    assert_eq!(client.content("file"), "");
    client.write(4, 3, b"x").unwrap();
    client.open(5, "file", O_RDONLY | O_TRUNC).unwrap();
    assert_eq!(client.content("file"), "");
    std::fs::create_dir(client.host("directory")).unwrap();
    for (path, flags, errno) in [
        ("directory", O_RDWR, Errno::EISDIR),
        ("file", O_DIRECTORY, Errno::ENOTDIR),
        ("none", O_RDONLY, Errno::ENOENT),
    ] {
        assert_eq!(client.open(6, path, flags), Err(code(errno)), "{path}");
    }
    client.open(6, "directory", O_RDONLY | O_DIRECTORY).unwrap();
    assert_eq!(client.read(6, 0, 1), Err(code(Errno::EISDIR)));
}

#[test]
fn a_thousand_entries_are_listed_in_pieces() {
    let mut client = Client::new();
    let dir = client.host("directory");
    std::fs::create_dir(&dir).unwrap();
    let name = |n: usize| format!("{n}-{}", "ä".repeat(n % 120));
    for n in 0..1000 {
        std::fs::write(dir.join(name(n)), "").unwrap();
    }
    symlink("x", dir.join("link")).unwrap();
    std::fs::create_dir(dir.join("inner")).unwrap();
    client.open(1, "directory", O_RDONLY).unwrap();
    for room in [300, 4096, 1 << 20] {
        let (mut offset, mut all) = (0, Vec::new());
        loop {
            let entries = client.entries(1, offset, room).unwrap();
            let Some(last) = entries.last() else { break };
            offset = last.next;
            all.extend(entries);
        }
        assert_eq!(all.len(), 1004, "{room}");
        let names: BTreeSet<&str> = all.iter().map(|entry| &*entry.name).collect();
        assert_eq!(names.len(), 1004);
        assert!((0..1000).all(|n| names.contains(&*name(n))));
        let kind = |name: &str| all.iter().find(|e| e.name == name).unwrap().kind;
        assert_eq!((kind("inner"), kind("link"), kind(".")), (4, 10, 4));
        assert_eq!(kind(&name(7)), 8);
        // Again from the beginning, and from the middle.
        let middle = &all[500];
        assert_eq!(client.entries(1, middle.next, 300).unwrap()[0], all[501]);
    }
}

#[test]
fn an_entry_is_known_by_the_same_number_as_its_file() {
    let mut client = Client::new();
    client.make("file", "");
    client.open(1, "", O_RDONLY).unwrap();
    client.walk(2, "file").unwrap();
    let entries = client.entries(1, 0, 4096).unwrap();
    let entry = entries.iter().find(|entry| entry.name == "file").unwrap();
    assert_eq!(entry.path, client.attributes(2).unwrap().2);
}

/// A ConfigMap's update: a link to a directory is replaced by one to another.
#[test]
fn a_link_that_is_replaced_leads_to_the_new_files() {
    let mut client = Client::new();
    for (dir, content) in [("..one", "old"), ("..two", "new")] {
        std::fs::create_dir(client.host(dir)).unwrap();
        client.make(&format!("{dir}/key"), content);
    }
    symlink("..one", client.host("..data")).unwrap();
    symlink("..data/key", client.host("key")).unwrap();
    let target = |client: &mut Client| {
        client.walk(9, "..data").unwrap();
        let reply = client
            .call(message_type::TREADLINK, fields().u32(9))
            .unwrap();
        client.clunk(9);
        String::from_utf8_lossy(&reply[2..]).into_owned()
    };
    assert_eq!(target(&mut client), "..one");
    client.open(1, "..one/key", O_RDONLY).unwrap();
    symlink("..two", client.host("..data_tmp")).unwrap();
    std::fs::rename(client.host("..data_tmp"), client.host("..data")).unwrap();
    std::fs::remove_dir_all(client.host("..one")).unwrap();
    assert_eq!(target(&mut client), "..two");
    client.open(2, "..two/key", O_RDONLY).unwrap();
    assert_eq!(client.read(2, 0, 9).unwrap(), b"new");
    assert_eq!(client.read(1, 0, 9).unwrap(), b"old", "open before");
    assert!(client.open(3, "..one/key", O_RDONLY).is_err());
}

/// What the host writes is seen at once, also where another file takes the name.
#[test]
fn files_change_under_the_client() {
    let mut client = Client::new();
    client.make("file", "one");
    client.walk(1, "file").unwrap();
    client.make("file", "three");
    assert_eq!(client.attributes(1).unwrap().1, 5);
    client.make("new", "replaced");
    std::fs::rename(client.host("new"), client.host("file")).unwrap();
    assert_eq!(client.attributes(1).unwrap().1, 8);
    client
        .call(message_type::TLOPEN, fields().u32(1).u32(0))
        .unwrap();
    assert_eq!(client.read(1, 0, 100).unwrap(), b"replaced");
    std::fs::remove_file(client.host("file")).unwrap();
    assert_eq!(client.attributes(1).unwrap().1, 8, "open");
    assert_eq!(client.open(2, "file", O_RDONLY), Err(code(Errno::ENOENT)));
}

#[test]
fn syncing_and_locks() {
    let mut client = Client::new();
    client.make("file", "");
    client.open(1, "file", O_RDWR).unwrap();
    client.open(2, "", O_RDONLY).unwrap();
    for (fid, data_only) in [(1, 0), (1, 1), (2, 0)] {
        let sync = fields().u32(fid).u32(data_only);
        client.call(message_type::TFSYNC, sync).unwrap();
    }
    let closed = client.call(message_type::TFSYNC, fields().u32(ROOT).u32(0));
    assert_eq!(closed, Err(code(Errno::EBADF)));
    let lock = fields().u32(1).u8(1).u32(0).u64(0).u64(0).u32(7).text("me");
    assert_eq!(client.call(message_type::TLOCK, lock).unwrap(), [0]);
    let get = fields().u32(1).u8(1).u64(1).u64(2).u32(7).text("me");
    let free = fields().u8(2).u64(1).u64(2).u32(7).text("me");
    assert_eq!(client.call(message_type::TGETLOCK, get).unwrap(), free.0);
    client.call(message_type::TFLUSH, fields().u16(1)).unwrap();
}
