//! Whatever a client sends, it reaches nothing but files beneath its root.

use std::os::unix::fs::symlink;
use std::os::unix::net::UnixListener;

use nix::errno::Errno;
use nix::libc::{O_RDONLY, O_RDWR, O_WRONLY};
use nix::sys::stat::Mode;
use nix::unistd::mkfifo;

use super::*;
use crate::message_type;

/// A client whose root is one of two directories; the other one has a secret.
fn beside_a_secret() -> Client {
    let dir = tempfile::tempdir().unwrap();
    let root = dir.path().join("root");
    std::fs::create_dir_all(root.join("a/b")).unwrap();
    std::fs::write(root.join("a/file"), "inside").unwrap();
    std::fs::write(dir.path().join("secret"), "outside").unwrap();
    Client::of(root, dir)
}

#[test]
fn names_that_lead_elsewhere_are_refused_everywhere() {
    let mut client = beside_a_secret();
    client.walk(1, "a").unwrap();
    client.walk(2, "a/file").unwrap();
    let long = "x".repeat(256);
    let bad = [
        "",
        ".",
        "..",
        "../secret",
        "/",
        "/etc",
        "b/..",
        "a/b",
        "nul\0",
        &long,
    ];
    for name in bad {
        let expected = match name.len() {
            256 => code(Errno::ENAMETOOLONG),
            _ => code(Errno::EINVAL),
        };
        let one = |fid: u32| fields().u32(fid).text(name);
        let calls = [
            (
                message_type::TWALK,
                fields().u32(1).u32(9).u16(1).text(name),
            ),
            (message_type::TLCREATE, one(1).u32(0).u32(0o644).u32(0)),
            (message_type::TMKDIR, one(1).u32(0o755).u32(0)),
            (message_type::TSYMLINK, one(1).text("target").u32(0)),
            (
                message_type::TMKNOD,
                one(1).u32(0o100_644).u32(0).u32(0).u32(0),
            ),
            (message_type::TLINK, fields().u32(1).u32(2).text(name)),
            (message_type::TRENAME, fields().u32(2).u32(1).text(name)),
            (message_type::TRENAMEAT, one(1).u32(1).text("new")),
            (
                message_type::TRENAMEAT,
                fields().u32(1).text("file").u32(1).text(name),
            ),
            (message_type::TUNLINKAT, one(1).u32(0)),
            (message_type::TUNLINKAT, one(1).u32(0x200)),
        ];
        for (kind, fields) in calls {
            assert_eq!(client.call(kind, fields), Err(expected), "{kind} {name:?}");
        }
    }
    assert_eq!(client.content("secret"), "outside");
    assert_eq!(client.content("root/a/file"), "inside");
    assert!(client.host("root/a/b").is_dir());
}

#[test]
fn symbolic_links_are_handed_out_and_never_followed() {
    let mut client = beside_a_secret();
    for (name, target) in [
        ("out", "../secret"),
        ("absolute", "/etc/passwd"),
        ("within", "a/file"),
        ("directory", "a"),
        ("magic", "/proc/self/root"),
    ] {
        symlink(target, client.host("root").join(name)).unwrap();
        client.walk(1, name).unwrap();
        let (mode, ..) = client.attributes(1).unwrap();
        assert_eq!(mode & 0o170_000, 0o120_000);
        let reply = client
            .call(message_type::TREADLINK, fields().u32(1))
            .unwrap();
        assert_eq!(reply, fields().text(target).0);
        for flags in [O_RDONLY, O_RDWR, O_WRONLY] {
            let opened = client.open(2, name, flags);
            assert_eq!(opened, Err(code(Errno::ELOOP)), "{name}");
        }
        // Neither as a directory, nor as what is to be made.
        assert!(client.walk(2, &format!("{name}/file")).is_err());
        let create = client.create(2, name, O_WRONLY, 0o644);
        assert_eq!(create, Err(code(Errno::ELOOP)), "{name}");
        client.clunk(2);
        let size = fields().u32(1).u32(0x8).u32(0).u32(0).u32(0).u64(0);
        let cut = client.call(message_type::TSETATTR, size.u64(0).u64(0).u64(0).u64(0));
        assert_eq!(cut, Err(code(Errno::ELOOP)), "{name}");
        let mode = fields().u32(1).u32(0x1).u32(0o777).u32(0).u32(0).u64(0);
        let changed = client.call(message_type::TSETATTR, mode.u64(0).u64(0).u64(0).u64(0));
        assert_eq!(changed, Err(code(Errno::EOPNOTSUPP)), "{name}");
        client.clunk(1);
    }
    assert_eq!(client.content("secret"), "outside");
    assert_eq!(client.content("root/a/file"), "inside");
}

/// A hard link to a symbolic link is one to the link itself.
#[test]
fn a_hard_link_leads_to_no_other_file() {
    let mut client = beside_a_secret();
    symlink("../secret", client.host("root/out")).unwrap();
    client.walk(1, "out").unwrap();
    let link = fields().u32(ROOT).u32(1).text("again");
    client.call(message_type::TLINK, link).unwrap();
    let again = client.host("root/again");
    assert!(again.symlink_metadata().unwrap().is_symlink());
}

#[test]
fn what_is_no_file_is_not_opened() {
    let mut client = Client::new();
    mkfifo(&client.host("fifo"), Mode::S_IRWXU).unwrap();
    let _socket = UnixListener::bind(client.host("socket")).unwrap();
    for name in ["fifo", "socket"] {
        for flags in [O_RDONLY, O_WRONLY, O_RDWR] {
            let opened = client.open(1, name, flags);
            assert_eq!(opened, Err(code(Errno::EACCES)), "{name}");
        }
        client.walk(1, name).unwrap();
        assert!(client.attributes(1).is_ok(), "but looked at");
        client.remove(1).unwrap();
        assert!(!client.host(name).exists());
    }
    let mut host = Client::of("/", tempfile::tempdir().unwrap());
    for name in ["null", "zero", "tty"] {
        let path = format!("dev/{name}");
        let opened = host.open(1, &path, O_RDONLY);
        assert_eq!(opened, Err(code(Errno::EACCES)), "{name}");
    }
    for (name, mode) in [
        ("fifo", 0o010_644),
        ("device", 0o020_644),
        ("disk", 0o060_644),
    ] {
        let made = fields().u32(ROOT).text(name).u32(mode).u32(1).u32(3).u32(0);
        let made = client.call(message_type::TMKNOD, made);
        assert_eq!(made, Err(code(Errno::EPERM)), "{name}");
    }
}

/// procfs is where the monitor's memory could be written.
#[test]
fn the_kernels_own_file_systems_look_empty() {
    let mut client = Client::of("/", tempfile::tempdir().unwrap());
    for dir in ["proc", "sys"] {
        let fid = client.open(1, dir, O_RDONLY).unwrap();
        let entries = client.entries(fid, 0, 4096).unwrap();
        let names: Vec<&str> = entries.iter().map(|entry| &*entry.name).collect();
        assert_eq!(names, [".", ".."], "{dir}");
        assert_eq!(client.entries(fid, 1, 4096).unwrap()[0].name, "..");
        assert_eq!(client.entries(fid, 2, 4096).unwrap(), []);
        client.clunk(fid);
        for within in ["self", "self/mem", "kernel", "1"] {
            let found = client.walk(1, &format!("{dir}/{within}"));
            assert_eq!(found, Err(code(Errno::ENOENT)), "{dir}/{within}");
        }
        client.walk(1, dir).unwrap();
        client.walk(2, dir).unwrap();
        let names = [
            (
                message_type::TMKDIR,
                fields().u32(1).text("new").u32(0o755).u32(0),
            ),
            (message_type::TUNLINKAT, fields().u32(1).text("self").u32(0)),
            (
                message_type::TRENAMEAT,
                fields().u32(1).text("self").u32(1).text("x"),
            ),
            (
                message_type::TLCREATE,
                fields().u32(2).text("self").u32(0).u32(0).u32(0),
            ),
        ];
        for (kind, fields) in names {
            assert_eq!(
                client.call(kind, fields),
                Err(code(Errno::EACCES)),
                "{kind}"
            );
        }
        client.clunk(1);
        client.clunk(2);
    }
}

/// A file of such a file system that is mounted on a file elsewhere. `/proc/self/exe` would be
/// a way to open one without a mount, if names led there.
#[test]
fn nothing_of_theirs_is_opened_by_a_place_either() {
    let flags = nix::fcntl::OFlag::O_PATH;
    let proc = nix::fcntl::open("/proc/self", flags, Mode::empty()).unwrap();
    let mut server = crate::Server::new(proc).unwrap();
    let mut call = |kind, fields| {
        let frame = client::frame(kind, &fields);
        client::open(server.handle(&frame, 8192).unwrap(), kind)
    };
    let version = fields().u32(8192).text("9P2000.L");
    call(message_type::TVERSION, version).unwrap();
    let who = fields().u32(0).u32(u32::MAX).text("").text("").u32(0);
    call(message_type::TATTACH, who).unwrap();
    for name in ["mem", "exe", "root", "task"] {
        let walk = fields().u32(0).u32(1).u16(1).text(name);
        assert_eq!(
            call(message_type::TWALK, walk),
            Err(code(Errno::ENOENT)),
            "{name}"
        );
    }
}

/// Somebody else, who shares the directory, puts a link in the place of a file that was walked to.
#[test]
fn a_place_that_has_become_a_link_is_not_followed() {
    let mut client = beside_a_secret();
    client.walk(1, "a/file").unwrap();
    client.walk(2, "a/b").unwrap();
    std::fs::remove_file(client.host("root/a/file")).unwrap();
    symlink("../../secret", client.host("root/a/file")).unwrap();
    let open = fields().u32(1).u32(0);
    assert_eq!(
        client.call(message_type::TLOPEN, open),
        Err(code(Errno::ELOOP))
    );
    std::fs::remove_dir(client.host("root/a/b")).unwrap();
    symlink("../..", client.host("root/a/b")).unwrap();
    let walk = fields().u32(2).u32(3).u16(1).text("secret");
    assert_eq!(
        client.call(message_type::TWALK, walk),
        Err(code(Errno::ENOENT))
    );
}

/// A directory that is moved out of the tree takes nobody with it further than itself.
#[test]
fn a_dir_moved_away_leads_nowhere_else() {
    let mut client = beside_a_secret();
    client.walk(1, "a").unwrap();
    std::fs::rename(client.host("root/a"), client.host("a")).unwrap();
    for name in ["..", "../secret", "secret"] {
        let walk = fields().u32(1).u32(2).u16(1).text(name);
        assert!(client.call(message_type::TWALK, walk).is_err(), "{name}");
    }
}

/// In a mount namespace of its own thread's, which only root can make.
#[test]
fn a_kernels_file_mounted_on_another_is_only_looked_at() {
    let run = |program: &str, args: &[&std::ffi::OsStr]| {
        let status = std::process::Command::new(program).args(args).status();
        assert!(status.unwrap().success(), "{program} {args:?}");
    };
    if !nix::unistd::geteuid().is_root() {
        return eprintln!("SKIPPED: it takes root to mount");
    }
    let mounted = move || {
        nix::sched::unshare(nix::sched::CloneFlags::CLONE_NEWNS).unwrap();
        let mut client = Client::new();
        client.make("file", "content");
        std::fs::create_dir(client.host("directory")).unwrap();
        run("mount", &["--make-rprivate".as_ref(), "/".as_ref()]);
        for (from, to) in [("/proc/version", "file"), ("/proc/sys", "directory")] {
            let to = client.host(to);
            run("mount", &["--bind".as_ref(), from.as_ref(), to.as_os_str()]);
        }
        for flags in [O_RDONLY, O_RDWR] {
            let opened = client.open(1, "file", flags);
            assert_eq!(opened, Err(code(Errno::EACCES)));
        }
        client.walk(1, "file").unwrap();
        assert!(client.attributes(1).is_ok());
        for which in [0x1, 0x8, 0x30] {
            let set = fields().u32(1).u32(which).u32(0o600).u32(0).u32(0).u64(0);
            let set = client.call(message_type::TSETATTR, set.u64(0).u64(0).u64(0).u64(0));
            assert_eq!(set, Err(code(Errno::EACCES)), "{which:#x}");
        }
        assert_eq!(client.walk(2, "directory/kernel"), Err(code(Errno::ENOENT)));
        client.open(2, "directory", O_RDONLY).unwrap();
        assert_eq!(client.entries(2, 0, 4096).unwrap().len(), 2);
        // Gone with the namespace; the directory is to be removed.
        for to in ["file", "directory"] {
            run("umount", &["--lazy".as_ref(), client.host(to).as_os_str()]);
        }
    };
    std::thread::spawn(mounted).join().unwrap();
}
