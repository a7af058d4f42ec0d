//! Frames, counts and numbers that make no sense.

use nix::errno::Errno;
use nix::libc::{O_CREAT, O_RDONLY, O_RDWR};

use super::*;
use crate::message_type;
use crate::server::{MAX_MSIZE, Unanswerable};
use crate::wire::{ERROR, HEADER, Tmessage};

#[test]
fn a_version_is_agreed_on() {
    let dir = tempfile::tempdir().unwrap();
    let mut client = Client::silent(dir.path().to_owned(), dir);
    let early = client.attach("");
    assert_eq!(early, Err(code(Errno::EPROTO)), "before a version");
    let mut version = |max: u32, version: &str| {
        let reply = client.call(message_type::TVERSION, fields().u32(max).text(version))?;
        let mut rest = Tmessage(&reply);
        let (max, version) = (rest.u32().unwrap(), rest.string().unwrap());
        Ok((max, String::from_utf8_lossy(version).into_owned()))
    };
    assert_eq!(version(8192, "9P2000.L"), Ok((8192, "9P2000.L".into())));
    let max = version(u32::MAX, "9P2000.L").unwrap();
    assert_eq!(max.0, MAX_MSIZE);
    for other in ["9P2000", "9P2000.u", "9P2000.L2", ""] {
        assert_eq!(version(8192, other).unwrap().1, "unknown");
    }
    assert_eq!(version(4095, "9P2000.L"), Err(code(Errno::EMSGSIZE)));
    assert_eq!(client.attach(""), Err(code(Errno::EPROTO)));
}

#[test]
fn a_new_version_begins_anew() {
    let mut client = Client::new();
    client.walk(1, "").unwrap();
    client.begin(8192);
    let clunk = client.call(message_type::TCLUNK, fields().u32(1));
    assert_eq!(clunk, Err(code(Errno::EBADF)));
}

#[test]
fn there_is_one_tree_and_no_authentication() {
    let mut client = Client::new();
    client.clunk(ROOT);
    assert_eq!(client.attach("/etc"), Err(code(Errno::ENOENT)));
    let auth = fields().u32(ROOT).u32(3).text("").text("").u32(0);
    assert_eq!(
        client.call(message_type::TATTACH, auth),
        Err(code(Errno::EINVAL))
    );
    client.attach("/").unwrap();
    assert_eq!(client.attach("/"), Err(code(Errno::EBADF)), "twice");
    // Tauth, and messages of other dialects.
    for other in [0, 6, 10, 30, 32, 102, 112, 114, 124, 126, 255] {
        let answer = client.call(other, fields().u32(ROOT));
        assert_eq!(answer, Err(code(Errno::EOPNOTSUPP)), "{other}");
    }
}

#[test]
fn frames_that_are_cut_are_errors() {
    let mut client = Client::new();
    client.make("file", "content");
    client.open(1, "file", O_RDWR).unwrap();
    client.walk(2, "").unwrap();
    let whole = [
        (
            message_type::TWALK,
            fields().u32(ROOT).u32(7).u16(1).text("file"),
        ),
        (
            message_type::TLCREATE,
            fields().u32(2).text("n").u32(0).u32(0o600).u32(0),
        ),
        (message_type::TGETATTR, fields().u32(1).u64(0)),
        (message_type::TREAD, fields().u32(1).u64(0).u32(1)),
        (message_type::TWRITE, fields().u32(1).u64(0).data(b"x")),
        (
            message_type::TRENAMEAT,
            fields().u32(ROOT).text("a").u32(ROOT).text("b"),
        ),
        (
            message_type::TSYMLINK,
            fields().u32(ROOT).text("s").text("t").u32(0),
        ),
        (message_type::TLINK, fields().u32(ROOT).u32(1).text("l")),
    ];
    for (kind, all) in whole {
        for len in 0..all.0.len().saturating_sub(4) {
            let part = client::Fields(all.0[..len].to_vec());
            let answer = client.call(kind, part);
            assert_eq!(answer, Err(code(Errno::EINVAL)), "{kind}, {len} bytes");
        }
    }
    for len in 0..HEADER {
        let frame = vec![0; len];
        assert_eq!(client.server.handle(&frame, 4096), Err(Unanswerable));
    }
}

#[test]
fn a_reply_is_no_longer_than_its_room() {
    let mut client = Client::new();
    client.make("file", &"x".repeat(10_000));
    client.open(1, "file", O_RDONLY).unwrap();
    let read = client::frame(message_type::TREAD, &fields().u32(1).u64(0).u32(u32::MAX));
    for room in [0, ERROR - 1] {
        assert_eq!(client.server.handle(&read, room), Err(Unanswerable));
    }
    for room in [ERROR, ERROR + 1, 100, 5000, 20_000] {
        let reply = client.server.handle(&read, room).unwrap();
        let expected = room.min(10_000 + ERROR);
        assert_eq!(reply.len(), expected, "as much as there is room for");
    }
    let attributes = client::frame(message_type::TGETATTR, &fields().u32(1).u64(0));
    let reply = client.server.handle(&attributes, 100).unwrap();
    let answer = client::open(reply, message_type::TGETATTR);
    assert_eq!(answer, Err(code(Errno::EMSGSIZE)));
}

/// The frame that was agreed on, not the room, is what bounds a reply.
#[test]
fn a_read_is_no_longer_than_a_frame() {
    let mut client = Client::new();
    client.begin(4096);
    client.make("file", &"x".repeat(10_000));
    client.open(1, "file", O_RDONLY).unwrap();
    assert_eq!(client.read(1, 0, u32::MAX).unwrap().len(), 4096 - ERROR);
}

#[test]
fn there_are_so_many_fids() {
    let mut client = Client::new();
    client.make("file", "");
    let mut fids = 0;
    let full = loop {
        fids += 1;
        match client.walk(fids, "file") {
            Ok(_) if fids < 100_000 => {}
            other => break other,
        }
    };
    assert_eq!((full, fids), (Err(code(Errno::ENFILE)), 16 << 10));
    client.clunk(1);
    client.walk(1, "file").unwrap();
}

#[test]
fn fids_are_used_by_the_rules() {
    let mut client = Client::new();
    client.make("file", "");
    let bad = Err(code(Errno::EBADF));
    for kind in [
        message_type::TCLUNK,
        message_type::TGETATTR,
        message_type::TREADLINK,
        message_type::TREMOVE,
    ] {
        assert_eq!(client.call(kind, fields().u32(9).u64(0)), bad);
    }
    client.open(1, "file", O_RDWR).unwrap();
    assert_eq!(client.walk(1, "file"), Err(code(Errno::EBADF)), "in use");
    let open = client.call(message_type::TLOPEN, fields().u32(1).u32(0));
    assert_eq!(open, bad, "open already");
    assert_eq!(client.read(ROOT, 0, 1), bad, "not open");
    assert_eq!(client.entries(ROOT, 0, 100), Err(code(Errno::EBADF)));
    assert_eq!(client.entries(1, 0, 100), Err(code(Errno::ENOTDIR)));
    let walk = fields().u32(1).u32(2).u16(1).text("x");
    assert_eq!(
        client.call(message_type::TWALK, walk),
        Err(code(Errno::ENOTDIR))
    );
    // A copy of an open one is not open.
    let copy = fields().u32(1).u32(2).u16(0);
    client.call(message_type::TWALK, copy).unwrap();
    assert_eq!(client.read(2, 0, 1), bad);
    let access = client.call(message_type::TLOPEN, fields().u32(2).u32(3));
    assert_eq!(
        access,
        Err(code(Errno::EINVAL)),
        "neither to read nor to write"
    );
    let far = fields().u32(ROOT).u32(3).u16(17);
    assert_eq!(
        client.call(message_type::TWALK, far),
        Err(code(Errno::EINVAL))
    );
    client.walk(3, "").unwrap();
    let same = fields().u32(3).u32(3).u16(1).text("file");
    client.call(message_type::TWALK, same).unwrap();
    assert_eq!(client.attributes(3).unwrap().0, 0o100_644);
}

#[test]
fn offsets_past_every_end_are_errors_or_nothing() {
    let mut client = Client::new();
    client.create(1, "file", O_RDWR | O_CREAT, 0o644).unwrap();
    assert_eq!(client.read(1, 1 << 40, 100), Ok(Vec::new()));
    for offset in [i64::MAX as u64, 1 << 63, u64::MAX] {
        assert_eq!(client.read(1, offset, 100), Err(code(Errno::EINVAL)));
        assert!(client.write(1, offset, b"xy").is_err());
    }
    client.open(2, "", O_RDONLY).unwrap();
    for offset in [1 << 40, u64::MAX, 1 << 63] {
        // Whatever the file system makes of it.
        let _ = client.entries(2, offset, 4096);
    }
    let few = client.entries(2, 0, 20);
    assert_eq!(few, Err(code(Errno::EINVAL)), "no room for one entry");
}
