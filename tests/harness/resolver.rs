//! A name server of a few names (RFC 1035, section 4).

use std::io::{self, ErrorKind};
use std::net::{Ipv4Addr, UdpSocket};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::Duration;

/// Answers until it is dropped.
pub struct Resolver {
    ends: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

const HEADER: usize = 12;
/// A response to a recursive query; that there is no such name.
const RESPONSE: [u8; 2] = [0x81, 0x80];
const NO_SUCH_NAME: u8 = 3;
/// Type A, class IN, behind a pointer to the question's name; for a minute; 4 bytes.
const RECORD: [u8; 12] = [0xc0, HEADER as u8, 0, 1, 0, 1, 0, 0, 0, 60, 0, 4];

impl Resolver {
    /// Serves at a socket, with each name, which ends in a dot, and one address of it.
    pub fn start(socket: UdpSocket, names: &[(&str, Ipv4Addr)]) -> io::Result<Self> {
        socket.set_read_timeout(Some(Duration::from_millis(50)))?;
        let names: Vec<_> = names.iter().map(|&(n, a)| (n.to_owned(), a)).collect();
        let ends = Arc::new(AtomicBool::new(false));
        let ended = ends.clone();
        let serve = move || {
            while !ended.load(Ordering::Relaxed) {
                serve_one(&socket, &names);
            }
        };
        let thread = Some(std::thread::spawn(serve));
        Ok(Resolver { ends, thread })
    }
}

impl Drop for Resolver {
    fn drop(&mut self) {
        self.ends.store(true, Ordering::Relaxed);
        let _ = self.thread.take().map(JoinHandle::join);
    }
}

fn serve_one(socket: &UdpSocket, names: &[(String, Ipv4Addr)]) {
    let mut query = [0; 512];
    match socket.recv_from(&mut query) {
        Ok((len, from)) => {
            if let Some(answer) = answer(&query[..len], names) {
                let _ = socket.send_to(&answer, from);
            }
        }
        Err(e) if matches!(e.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut) => {}
        Err(e) => panic!("the resolver's socket: {e}"),
    }
}

/// An answer to the first question of a query.
fn answer(query: &[u8], names: &[(String, Ipv4Addr)]) -> Option<Vec<u8>> {
    let (mut name, mut at) = (String::new(), HEADER);
    loop {
        let length = usize::from(*query.get(at)?);
        at += 1;
        if length == 0 {
            break;
        }
        let label = query.get(at..at + length)?;
        name += &String::from_utf8_lossy(label);
        name.push('.');
        at += length;
    }
    let question = query.get(HEADER..at + 4)?;
    let found = names.iter().find(|(known, _)| *known == name);
    let [flags, mut code] = RESPONSE;
    if found.is_none() {
        code |= NO_SUCH_NAME;
    }
    let count = u8::from(found.is_some());
    let head = [query[0], query[1], flags, code, 0, 1, 0, count, 0, 0, 0, 0];
    let record = found.map(|(_, address)| [&RECORD[..], &address.octets()].concat());
    Some([&head[..], question, &record.unwrap_or_default()].concat())
}
