//! Names are made, moved and taken away.

use std::os::unix::fs::MetadataExt;

use nix::errno::Errno;
use nix::libc::{O_CREAT, O_RDONLY, O_RDWR};

use super::*;
use crate::message_type;

#[test]
fn dirs_links_and_files_are_made() {
    let mut client = Client::new();
    let dir = fields().u32(ROOT).text("directory").u32(0o775).u32(0);
    client.call(message_type::TMKDIR, dir).unwrap();
    let mode = client.host("directory").metadata().unwrap().mode();
    assert_eq!(mode & 0o7777, 0o775);
    client.walk(1, "directory").unwrap();
    let link = fields().u32(1).text("link").text("../any where\n").u32(0);
    client.call(message_type::TSYMLINK, link).unwrap();
    let target = std::fs::read_link(client.host("directory/link")).unwrap();
    assert_eq!(target.to_str(), Some("../any where\n"));
    let file = fields()
        .u32(1)
        .text("file")
        .u32(0o100_666)
        .u32(0)
        .u32(0)
        .u32(0);
    client.call(message_type::TMKNOD, file).unwrap();
    client.walk(2, "directory/file").unwrap();
    let hard = fields().u32(ROOT).u32(2).text("hard");
    client.call(message_type::TLINK, hard).unwrap();
    assert_eq!(client.host("hard").metadata().unwrap().nlink(), 2);
    let again = fields().u32(ROOT).text("hard").u32(0o755).u32(0);
    assert_eq!(
        client.call(message_type::TMKDIR, again),
        Err(code(Errno::EEXIST))
    );
    let long = "t".repeat(4096);
    let link = fields().u32(1).text("long").text(long).u32(0);
    assert_eq!(
        client.call(message_type::TSYMLINK, link),
        Err(code(Errno::ENAMETOOLONG))
    );
}

#[test]
fn names_of_255_bytes_and_of_any_characters() {
    let mut client = Client::new();
    let names = [
        "n".repeat(255),
        "ñandú-日本語-🦀".to_owned(),
        " \n\\\"'".to_owned(),
    ];
    for name in &names {
        client.create(1, name, O_RDWR | O_CREAT, 0o644).unwrap();
        client.write(1, 0, name.as_bytes()).unwrap();
        client.clunk(1);
        assert_eq!(client.content(name), *name);
        client.open(1, name, O_RDONLY).unwrap();
        client.clunk(1);
    }
    client.open(1, "", O_RDONLY).unwrap();
    let entries = client.entries(1, 0, 1 << 16).unwrap();
    assert!(
        names
            .iter()
            .all(|name| entries.iter().any(|e| e.name == *name))
    );
}

/// A fid goes with the file that it is for.
#[test]
fn fids_follow_what_the_client_moves() {
    let mut client = Client::new();
    std::fs::create_dir_all(client.host("a/inner")).unwrap();
    std::fs::create_dir(client.host("b")).unwrap();
    client.make("a/file", "moved");
    client.make("a/inner/deep", "deep");
    client.walk(1, "a").unwrap();
    client.walk(2, "b").unwrap();
    client.walk(3, "a/file").unwrap();
    client.walk(4, "a/inner/deep").unwrap();
    client.walk(5, "a/inner").unwrap();
    let rename = fields().u32(1).text("file").u32(2).text("new");
    client.call(message_type::TRENAMEAT, rename).unwrap();
    client
        .call(message_type::TLOPEN, fields().u32(3).u32(0))
        .unwrap();
    assert_eq!(client.read(3, 0, 9).unwrap(), b"moved");
    // By the other message, a directory with what is in it.
    let rename = fields().u32(5).u32(2).text("outer");
    client.call(message_type::TRENAME, rename).unwrap();
    assert!(client.host("b/outer/deep").exists());
    client
        .call(message_type::TLOPEN, fields().u32(4).u32(0))
        .unwrap();
    assert_eq!(client.read(4, 0, 9).unwrap(), b"deep");
    let file = fields().u32(5).text("more").u32(0o600).u32(0).u32(0).u32(0);
    client.call(message_type::TMKNOD, file).unwrap();
    assert!(client.host("b/outer/more").exists());
    client
        .call(
            message_type::TRENAME,
            fields().u32(5).u32(ROOT).text("last"),
        )
        .unwrap();
    assert!(client.host("last/deep").exists());
    let under_itself = fields().u32(ROOT).text("last").u32(5).text("x");
    let moved = client.call(message_type::TRENAMEAT, under_itself);
    assert_eq!(moved, Err(code(Errno::EINVAL)));
}

/// A fid never comes to mean another file, which has got its name.
#[test]
fn a_name_taken_away_is_not_another_files() {
    let mut client = Client::new();
    client.make("old", "old");
    client.make("other", "other");
    client.walk(1, "old").unwrap();
    let rename = fields().u32(ROOT).text("other").u32(ROOT).text("old");
    client.call(message_type::TRENAMEAT, rename).unwrap();
    assert_eq!(client.remove(1), Err(code(Errno::ENOENT)));
    assert_eq!(client.content("old"), "other");
    client.open(1, "old", O_RDWR).unwrap();
    let unlink = fields().u32(ROOT).text("old").u32(0);
    client.call(message_type::TUNLINKAT, unlink).unwrap();
    client.make("old", "third");
    assert_eq!(client.read(1, 0, 9).unwrap(), b"other", "open");
    assert_eq!(client.remove(1), Err(code(Errno::ENOENT)));
    assert_eq!(client.content("old"), "third");
    let same = fields().u32(ROOT).text("old").u32(ROOT).text("old");
    client.walk(1, "old").unwrap();
    client.call(message_type::TRENAMEAT, same).unwrap();
    assert!(client.attributes(1).is_ok(), "moved to where it is");
}

#[test]
fn files_and_dirs_are_removed() {
    let mut client = Client::new();
    std::fs::create_dir_all(client.host("a/b")).unwrap();
    client.make("a/file", "");
    client.walk(1, "a").unwrap();
    let unlink = |name, flags| fields().u32(1).text(name).u32(flags);
    for (name, flags, errno) in [
        ("b", 0, Errno::EISDIR),
        ("file", 0x200, Errno::ENOTDIR),
        ("none", 0, Errno::ENOENT),
    ] {
        let done = client.call(message_type::TUNLINKAT, unlink(name, flags));
        assert_eq!(done, Err(code(errno)), "{name}");
    }
    client.walk(2, "a").unwrap();
    assert_eq!(client.remove(2), Err(code(Errno::ENOTEMPTY)));
    let clunked = client.call(message_type::TCLUNK, fields().u32(2));
    assert_eq!(clunked, Err(code(Errno::EBADF)), "gone all the same");
    client
        .call(message_type::TUNLINKAT, unlink("b", 0x200))
        .unwrap();
    client
        .call(message_type::TUNLINKAT, unlink("file", 0))
        .unwrap();
    client.remove(1).unwrap();
    assert!(!client.host("a").exists());
    assert!(client.remove(ROOT).is_err());
    assert!(client.dir.path().exists());
}
