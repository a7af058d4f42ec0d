//! A web client, and what the guest `web` says and is sent in bulk.

use std::io::{self, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

/// What a server has answered.
#[derive(Debug)]
pub struct Answer {
    pub status: u16,
    pub body: Vec<u8>,
}

impl Answer {
    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }
}

/// `GET` of a path; no step of it may take longer than `patience`.
pub fn get(server: SocketAddr, path: &str, timeout: Duration) -> io::Result<Answer> {
    ask(
        server,
        &format!("GET {path} HTTP/1.1\r\nHost: web\r\n\r\n"),
        &[],
        timeout,
    )
}

/// `POST` to a path, as [`get`].
pub fn post(server: SocketAddr, path: &str, body: &[u8], timeout: Duration) -> io::Result<Answer> {
    let length = body.len();
    let head = format!("POST {path} HTTP/1.1\r\nHost: web\r\nContent-Length: {length}\r\n\r\n");
    ask(server, &head, body, timeout)
}

/// A connection is for one request: the server closes it.
fn ask(server: SocketAddr, head: &str, body: &[u8], timeout: Duration) -> io::Result<Answer> {
    let mut stream = TcpStream::connect_timeout(&server, timeout)?;
    stream.set_read_timeout(Some(timeout))?;
    stream.set_write_timeout(Some(timeout))?;
    stream.write_all(head.as_bytes())?;
    stream.write_all(body)?;
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer)?;
    parse(&answer).ok_or_else(|| io::Error::other(format!("no whole answer: {answer:.200?}")))
}

fn parse(answer: &[u8]) -> Option<Answer> {
    let end = answer.windows(4).position(|four| four == b"\r\n\r\n")?;
    let head = std::str::from_utf8(&answer[..end]).ok()?;
    let status = head.split(' ').nth(1)?.parse().ok()?;
    let body = answer[end + 4..].to_vec();
    let mut lengths = head
        .lines()
        .filter_map(|line| line.strip_prefix("Content-Length: "));
    let is_whole = lengths.next()?.parse() == Ok(body.len());
    is_whole.then_some(Answer { status, body })
}

/// The pattern of that many bytes: see fixtures/guests/README.md, "The web server".
pub fn pattern(length: usize) -> Vec<u8> {
    let word = |index: u64| index.wrapping_mul(0x9e37_79b9_7f4a_7c15).to_le_bytes();
    (0..).flat_map(word).take(length).collect()
}

/// What the guest says of bytes that it has received.
pub fn checksum(bytes: &[u8]) -> String {
    let (mut sum, mut sums) = (0u64, 0u64);
    for chunk in bytes.chunks(8) {
        let mut word = [0; 8];
        word[..chunk.len()].copy_from_slice(chunk);
        sum = sum.wrapping_add(u64::from_le_bytes(word));
        sums = sums.wrapping_add(sum);
    }
    format!("{} bytes, checksum {sum:016x}{sums:016x}", bytes.len())
}

/// How many bytes a test sends each way: `RUNU_TRANSFER`, or else 256 KiB, for a KVM that
/// emulates its guests takes seconds for each MiB.
pub fn transfer() -> usize {
    let told = std::env::var("RUNU_TRANSFER");
    told.map_or(256 << 10, |bytes| {
        bytes.parse().expect("RUNU_TRANSFER=BYTES")
    })
}

/// How long a guest may take for what it is asked to send: an emulated machine beside others takes
/// up to ten seconds for each MiB.
pub fn timeout() -> Duration {
    Duration::from_secs(20 + 10 * (transfer() as u64 >> 20))
}
