//! The server of files: a client's frames, over a directory beside a secret.

use std::fs;
use std::os::fd::OwnedFd;
use std::os::unix::fs::symlink;
use std::path::Path;
use std::sync::{LazyLock, Mutex, PoisonError};

use p9::{MAX_MSIZE, Server};
use tempfile::TempDir;

const SECRET: &[u8] = b"what no client reads";
/// The tag of all requests.
const TAG: [u8; 2] = [0x34, 0x12];
const HEADER: usize = 7;

/// One for all inputs: in it a directory `root`, new for each, and a file `secret`.
static DIR: LazyLock<Mutex<TempDir>> = LazyLock::new(|| {
    let dir = tempfile::tempdir().expect("a directory");
    fs::write(dir.path().join("secret"), SECRET).expect("a secret");
    Mutex::new(dir)
});

/// A version and an attachment with fid 0, and then what the input says: messages, each a type,
/// a length of 16 bits, and so many bytes.
pub fn run(input: &[u8]) {
    let dir = DIR.lock().unwrap_or_else(PoisonError::into_inner);
    let root = dir.path().join("root");
    make(&root);
    let mut server = serve(&root);
    send(&mut server, 100, b"\0\x20\0\0\x08\09P2000.L");
    send(
        &mut server,
        104,
        b"\0\0\0\0\xff\xff\xff\xff\0\0\0\0\0\0\0\0",
    );
    let mut rest = input;
    while let Some(([kind, low, high], fields)) = rest.split_first_chunk() {
        let len = usize::from(u16::from_le_bytes([*low, *high])).min(fields.len());
        let (fields, next) = fields.split_at(len);
        send(&mut server, *kind, fields);
        rest = next;
    }
    drop(server);
    let secret = fs::read(dir.path().join("secret")).expect("the secret is there");
    assert_eq!(secret, SECRET, "it is as it was");
    let beside = fs::read_dir(dir.path()).expect("the directory is there");
    assert_eq!(
        beside.count(),
        2,
        "nothing is beside the root but the secret"
    );
    fs::remove_dir_all(&root).expect("an empty directory");
}

fn make(root: &Path) {
    fs::create_dir_all(root.join("a/b")).expect("directories");
    fs::write(root.join("a/file"), "content").expect("a file");
    symlink("../secret", root.join("link")).expect("a link");
    symlink("../..", root.join("a/up")).expect("a link");
}

fn serve(root: &Path) -> Server {
    let root = fs::File::open(root).expect("the root");
    Server::new(OwnedFd::from(root)).expect("a server")
}

/// Sends a message; its reply is one, and has nothing of the secret.
fn send(server: &mut Server, kind: u8, fields: &[u8]) {
    let size = (HEADER + fields.len()) as u32;
    let frame = [&size.to_le_bytes(), &[kind][..], &TAG, fields].concat();
    // Less room for some.
    let room = match fields.len() % 3 {
        0 => 64,
        _ => MAX_MSIZE as usize,
    };
    let reply = server.handle(&frame, room).expect("a reply");
    assert!((HEADER..=room).contains(&reply.len()));
    let size = u32::from_le_bytes([reply[0], reply[1], reply[2], reply[3]]);
    assert_eq!(size as usize, reply.len());
    assert!(reply[4] == 7 || reply[4] == kind.wrapping_add(1));
    assert_eq!(reply[5..7], TAG);
    let mut windows = reply.windows(SECRET.len());
    assert!(windows.all(|window| window != SECRET) || fields_have(fields));
}

/// The client may well say it itself, and read it again.
fn fields_have(fields: &[u8]) -> bool {
    fields.windows(SECRET.len()).any(|window| window == SECRET)
}
