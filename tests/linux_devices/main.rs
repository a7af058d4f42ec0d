//! The virtio devices under Linux's own drivers: Debian's kernel, fio and iperf3 on a machine
//! with a disk, a tap, a terminal. In the emulated machine only: it needs every instruction.
//!
//! `RUNU_TEST_LONG` asks for a gibibyte over the first network and onto the first disk, where CI
//! moves some mebibytes; `RUNU_TEST_TRANSPORTS` for each transport where CI takes one.

mod block;
mod console;
mod guest;
mod net;
mod vsock;

use std::env;
use std::io::{Read, Write};
use std::process::{Command, Stdio};

use vmm::Transport;

const MIB: usize = 1 << 20;

/// This transport, or with `RUNU_TEST_TRANSPORTS` all of them.
fn transports(short: Transport) -> Vec<Transport> {
    match env::var_os("RUNU_TEST_TRANSPORTS") {
        Some(_) => Transport::ALL.to_vec(),
        None => vec![short],
    }
}

/// So many bytes, or with `RUNU_TEST_LONG` a gibibyte.
fn much(bytes: usize) -> usize {
    match env::var_os("RUNU_TEST_LONG") {
        Some(_) => 1 << 30,
        None => bytes,
    }
}

/// Bytes that no fault makes by chance: all different words, from the one that `seed` gives.
fn pattern(seed: u64, len: usize) -> Vec<u8> {
    let mut bytes = vec![0; len.next_multiple_of(8)];
    for (word, n) in bytes.as_chunks_mut().0.iter_mut().zip(seed..) {
        *word = n.wrapping_mul(0x9e37_79b9_7f4a_7c15).to_le_bytes();
    }
    bytes.truncate(len);
    bytes
}

/// Whether `data`, so many times, is what comes before the stream's end.
fn is_all(mut stream: impl Read, data: &[u8], times: usize) -> bool {
    let mut back = vec![0; data.len()];
    let mut is_same = true;
    for _ in 0..times {
        stream.read_exact(&mut back).unwrap();
        is_same &= back == data;
    }
    is_same && stream.read(&mut back).unwrap() == 0
}

/// Of these bytes, so many times. As busybox has it: this program is not optimised.
fn sha256(bytes: &[u8], times: usize) -> String {
    let mut command = Command::new("busybox");
    let command = command
        .arg("sha256sum")
        .stdin(Stdio::piped())
        .stdout(Stdio::piped());
    let mut child = command.spawn().unwrap();
    let mut input = child.stdin.take().unwrap();
    for _ in 0..times {
        input.write_all(bytes).unwrap();
    }
    drop(input);
    let output = child.wait_with_output().unwrap();
    String::from_utf8(output.stdout)
        .unwrap()
        .trim_end()
        .to_owned()
}
