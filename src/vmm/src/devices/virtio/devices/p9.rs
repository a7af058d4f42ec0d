//! The 9P transport (Linux's net/9p/trans_virtio.c; the device's ID is virtio 1.2's, section
//! 5): each buffer is a request to read and, behind it, the room for its reply.

use std::io;
use std::os::fd::RawFd;

use virtio_bindings::virtio_ids::VIRTIO_ID_9P;
use virtio_queue::Queue;

use crate::config::Share;
use crate::devices::virtio::device::{NeedsReset, Notifications, VirtioDevice};
use crate::devices::virtio::queue::chain::Buffer;
use crate::devices::virtio::queue::{iovec, used_ring};
use crate::error::Error;
use crate::memory::GuestMemory;
use ::p9::{MAX_MSIZE, Server};

/// The configuration space has a tag (Linux's include/uapi/linux/virtio_9p.h).
const MOUNT_TAG: u64 = 1 << 0;
/// What Linux's driver counts on.
const QUEUE_SIZES: [u16; 1] = [128];
/// The most bytes of a request and its room: both as large as can be, and what drivers round
/// up to.
const MAX: u32 = 4 * MAX_MSIZE;
/// Bytes of a message's first field, its size.
const SIZE: usize = 4;

pub(crate) struct P9 {
    server: Server,
    /// The tag's length, 16 bits, and the tag.
    config: Vec<u8>,
    message: Vec<u8>,
}

impl P9 {
    /// # Errors
    /// What statx(2) refuses of the share's root; a tag of more than 65,535 bytes.
    pub(crate) fn new(share: Share) -> Result<P9, Error> {
        let failed = |source| Error::Share {
            tag: share.tag.clone(),
            source,
        };
        let len = u16::try_from(share.tag.len());
        let len = len.map_err(|_| failed(io::ErrorKind::InvalidInput.into()))?;
        let server = Server::new(share.root).map_err(failed)?;
        Ok(P9 {
            server,
            config: [&len.to_le_bytes(), share.tag.as_bytes()].concat(),
            message: Vec::new(),
        })
    }

    /// Processes the request in a buffer; gives the reply's bytes.
    fn process(&mut self, buffer: &Buffer, memory: &GuestMemory) -> Result<u32, NeedsReset> {
        let mut size = [0; SIZE];
        iovec::read(&buffer.readable, memory, &mut size)?;
        let size = u32::from_le_bytes(size);
        if size > MAX_MSIZE {
            return Err(NeedsReset("a 9P request larger than any may be"));
        }
        self.message.resize(size as usize, 0);
        if iovec::read(&buffer.readable, memory, &mut self.message)? < self.message.len() {
            return Err(NeedsReset("a 9P request that is cut"));
        }
        // The whole chain has MAX bytes at most.
        let max_len = iovec::len(&buffer.writable) as usize;
        let reply = self.server.handle(&self.message, max_len);
        let reply = reply.map_err(|_| NeedsReset("a 9P request that cannot be answered"))?;
        iovec::write(&buffer.writable, memory, reply)
    }
}

impl VirtioDevice for P9 {
    fn id(&self) -> u32 {
        VIRTIO_ID_9P
    }

    fn features(&self) -> u64 {
        MOUNT_TAG
    }

    fn queue_sizes(&self) -> &[u16] {
        &QUEUE_SIZES
    }

    fn config(&self) -> &[u8] {
        &self.config
    }

    fn descriptors(&self) -> Vec<RawFd> {
        vec![self.server.descriptor()]
    }

    fn reset(&mut self) {
        self.server.reset();
    }

    fn process_queue(
        &mut self,
        index: usize,
        queues: &mut [Queue],
        memory: &GuestMemory,
    ) -> Result<Notifications, NeedsReset> {
        used_ring::process_all(queues, index, memory, MAX, |buffer| {
            self.process(buffer, memory)
        })
    }
}

#[cfg(test)]
mod tests {
    use std::os::fd::OwnedFd;

    use vm_memory::{Bytes, GuestAddress};

    use super::*;
    use crate::devices::virtio::testing::*;

    const VERSION: &[u8] = b"\x15\0\0\0\x64\xff\xff\0\x20\0\0\x08\x009P2000.L";
    /// Where the room for a reply is.
    const ROOM: u64 = BUFFER + 0x1_0000;

    fn driver() -> (Driver, tempfile::TempDir) {
        let dir = tempfile::tempdir().unwrap();
        let root = OwnedFd::from(std::fs::File::open(dir.path()).unwrap());
        let tag = "fs0".to_owned();
        let driver = Driver::with(Box::new(P9::new(Share { tag, root }).unwrap()));
        driver.come_up(MOUNT_TAG as u32);
        (driver, dir)
    }

    /// Offers a request in two pieces and room in two, the first of 7 bytes.
    fn ask(driver: &mut Driver, request: &[u8], max_len: u32) {
        let put = |at, bytes: &[u8]| driver.memory.write_slice(bytes, GuestAddress(at)).unwrap();
        let (first, second) = request.split_at(5);
        put(BUFFER, first);
        put(BUFFER + 0x1000, second);
        driver.describe(0, BUFFER, 5, NEXT, 1);
        driver.describe(1, BUFFER + 0x1000, second.len() as u32, NEXT, 2);
        driver.describe(2, ROOM, 7, NEXT | WRITE, 3);
        driver.describe(3, ROOM + 0x1000, max_len, WRITE, 0);
        driver.offer(0);
    }

    #[test]
    fn the_tag_is_told() {
        let (driver, _dir) = driver();
        let mut config = [0; 6];
        driver.device.read(0x100, &mut config);
        assert_eq!(&config, b"\x03\0fs0\0");
    }

    #[test]
    fn a_request_in_pieces_is_answered_in_pieces() {
        let (mut driver, _dir) = driver();
        ask(&mut driver, VERSION, 100);
        assert_eq!(driver.used(), (1, 0, 21));
        let mut reply = [0; 21];
        let (head, rest) = reply.split_at_mut(7);
        let read = |at, bytes: &mut [u8]| driver.memory.read_slice(bytes, GuestAddress(at));
        read(ROOM, head).unwrap();
        read(ROOM + 0x1000, rest).unwrap();
        assert_eq!(reply[..5], [21, 0, 0, 0, 101]);
        assert_eq!(reply[7..], VERSION[7..]);
        // A queue is served to its end, and a fault of the request's is an answer.
        ask(&mut driver, b"\x0b\0\0\0\x78\x01\0\x09\0\0\0", 4);
        assert_eq!(driver.used(), (2, 0, 11));
        assert!(!driver.needs_reset());
    }

    #[test]
    fn what_is_no_request_breaks_the_device_and_no_more() {
        let long = [&(MAX_MSIZE + 1).to_le_bytes()[..], &[100; 8]].concat();
        for (request, max_len) in [
            (&b"\x06\0\0\0\x64\0\0"[..], 100), // shorter than its header
            (b"\0\0\0\0\0\0\0", 100),
            (b"\xff\0\0\0\x64\0\0\0", 100), // longer than it is
            (&long, 100),
            (VERSION, 3), // no room for an error
        ] {
            let (mut driver, _dir) = driver();
            ask(&mut driver, request, max_len);
            assert!(driver.needs_reset(), "{request:?}");
            assert_eq!(driver.used().0, 0);
            driver.write(STATUS, 0);
            driver.available = 0;
            driver
                .memory
                .write_obj(0u16, GuestAddress(AVAILABLE + 2))
                .unwrap();
            driver.come_up(0);
            ask(&mut driver, VERSION, 100);
            assert_eq!(driver.used().0, 1, "as new");
        }
    }
}
