//! A back end for tests, in a thread: it takes queues and does nothing with them, and it can be
//! made to fail.

use std::collections::HashMap;
use std::fs::File;
use std::io::{Read, Write};
use std::os::fd::FromRawFd;
use std::os::unix::net::UnixStream;
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;
use std::time::Duration;

use vmm_sys_util::sock_ctrl_msg::ScmSocket;

// Requests (vhost-user.rst, "Front-end message types").
pub(super) const GET_FEATURES: u32 = 1;
pub(super) const SET_FEATURES: u32 = 2;
pub(super) const SET_OWNER: u32 = 3;
pub(super) const SET_MEM_TABLE: u32 = 5;
pub(super) const SET_VRING_NUM: u32 = 8;
pub(super) const SET_VRING_ADDR: u32 = 9;
pub(super) const SET_VRING_BASE: u32 = 10;
pub(super) const GET_VRING_BASE: u32 = 11;
pub(super) const SET_VRING_KICK: u32 = 12;
pub(super) const SET_VRING_CALL: u32 = 13;
pub(super) const GET_PROTOCOL_FEATURES: u32 = 15;
pub(super) const SET_PROTOCOL_FEATURES: u32 = 16;
pub(super) const GET_QUEUE_NUM: u32 = 17;
pub(super) const SET_VRING_ENABLE: u32 = 18;

const IS_REPLY: u32 = 1 | 4;
const NEEDS_REPLY: u32 = 8;

/// VERSION_1, EVENT_IDX, INDIRECT_DESC, and the protocol's.
pub(super) const FEATURES: u64 = 1 << 32 | 1 << 29 | 1 << 28 | 1 << 30;
/// MQ and REPLY_ACK.
const PROTOCOL_FEATURES: u64 = 1 | 8;

/// What it does when it is asked for something, in place of an answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Failure {
    Wait(Duration),
    Nothing,
    /// An answer to another question.
    Garbage,
    /// That it failed.
    Refuse,
    /// A part of an answer, and the connection's end.
    Half,
}

#[derive(Default)]
pub(super) struct Seen {
    /// Requests, in their order; with their rings where they have some.
    pub requests: Vec<(u32, u64)>,
    /// By ring.
    pub kicks: HashMap<u64, File>,
    pub calls: HashMap<u64, File>,
}

pub(super) struct FakeBackEnd {
    pub seen: Arc<Mutex<Seen>>,
    /// To end it, or speak out of turn.
    pub socket: UnixStream,
    thread: Option<JoinHandle<()>>,
}

impl FakeBackEnd {
    /// One that offers `features`, and what talks with it.
    pub(super) fn start(
        features: u64,
        failure: Option<(u32, Failure)>,
    ) -> (FakeBackEnd, UnixStream) {
        let (theirs, ours) = UnixStream::pair().unwrap();
        let seen = Arc::new(Mutex::new(Seen::default()));
        let (socket, shared) = (theirs.try_clone().unwrap(), seen.clone());
        let thread = std::thread::spawn(move || {
            while let Some(request) = Request::receive(&theirs) {
                let done = failure.filter(|(number, _)| *number == request.number);
                if !request.answer(&theirs, features, &shared, done.map(|(_, it)| it)) {
                    return;
                }
            }
        });
        let thread = Some(thread);
        let fake = FakeBackEnd {
            seen,
            socket,
            thread,
        };
        (fake, ours)
    }

    pub(super) fn requests(&self) -> Vec<(u32, u64)> {
        std::mem::take(&mut self.seen.lock().unwrap().requests)
    }
}

impl Drop for FakeBackEnd {
    fn drop(&mut self) {
        let _ = self.socket.shutdown(std::net::Shutdown::Both);
        let ended = self.thread.take().map(JoinHandle::join);
        assert!(matches!(ended, Some(Ok(()))) || std::thread::panicking());
    }
}

struct Request {
    number: u32,
    flags: u32,
    payload: Vec<u8>,
    file: Option<File>,
}

impl Request {
    fn receive(socket: &UnixStream) -> Option<Request> {
        let mut header = [0u8; 12];
        let mut fds = [0; 8];
        let mut parts = [nix::libc::iovec {
            iov_base: header.as_mut_ptr().cast(),
            iov_len: header.len(),
        }];
        // SAFETY: the header's bytes can be any.
        let (len, count) = unsafe { socket.recv_with_fds(&mut parts, &mut fds) }.ok()?;
        // SAFETY: the kernel has made these descriptors just now.
        let files = fds[..count]
            .iter()
            .map(|&fd| unsafe { File::from_raw_fd(fd) });
        let file = files.collect::<Vec<_>>().into_iter().next();
        if len < header.len() {
            return None;
        }
        let word = |at: usize| u32::from_le_bytes(header[at..at + 4].try_into().unwrap());
        let mut payload = vec![0; word(8) as usize];
        let mut socket = socket;
        socket.read_exact(&mut payload).ok()?;
        Some(Request {
            number: word(0),
            flags: word(4),
            payload,
            file,
        })
    }

    /// Gives false where it is to end.
    fn answer(
        mut self,
        mut socket: &UnixStream,
        features: u64,
        seen: &Mutex<Seen>,
        failure: Option<Failure>,
    ) -> bool {
        let mut seen = seen.lock().unwrap();
        let ring = self.payload.first().map_or(0, |&byte| u64::from(byte));
        let ring = match self.number {
            SET_VRING_NUM..=SET_VRING_CALL | SET_VRING_ENABLE => ring,
            _ => 0,
        };
        seen.requests.push((self.number, ring));
        match (self.number, self.file.take()) {
            (SET_VRING_KICK, Some(file)) => drop(seen.kicks.insert(ring, file)),
            (SET_VRING_CALL, Some(file)) => drop(seen.calls.insert(ring, file)),
            (GET_VRING_BASE, _) => drop((seen.kicks.remove(&ring), seen.calls.remove(&ring))),
            _ => {}
        }
        drop(seen);
        let answer = match self.number {
            GET_FEATURES => Some(features),
            GET_PROTOCOL_FEATURES => Some(PROTOCOL_FEATURES),
            GET_QUEUE_NUM => Some(2),
            GET_VRING_BASE => Some(ring),
            _ => (self.flags & NEEDS_REPLY != 0).then_some(0),
        };
        let Some(mut answer) = answer else {
            return true;
        };
        let mut number = self.number;
        match failure {
            Some(Failure::Wait(time)) => std::thread::sleep(time),
            Some(Failure::Nothing) => return true,
            Some(Failure::Garbage) => number = 99,
            Some(Failure::Refuse) => answer = 1,
            _ => {}
        }
        let mut reply: Vec<u8> = [number, IS_REPLY, 8]
            .iter()
            .flat_map(|w| w.to_le_bytes())
            .collect();
        reply.extend(answer.to_le_bytes());
        if failure == Some(Failure::Half) {
            let _ = socket.write_all(&reply[..7]);
            let _ = socket.shutdown(std::net::Shutdown::Both);
            return false;
        }
        socket.write_all(&reply).is_ok()
    }
}
