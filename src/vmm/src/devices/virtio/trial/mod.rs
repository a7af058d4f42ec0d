//! What a fuzzer does with a device: an input is what a driver writes into memory and in which
//! order it notifies, and what meanwhile happens at the device's other end.
//!
//! A device that its driver breaks is reset, as a transport has it. Whatever comes, nothing here
//! panics, reaches out of the guest's memory or goes on for ever.

mod transport;
mod vsock;

use std::fs::File;
use std::io::{Read, Write};
use std::os::unix::fs::FileExt;
use std::os::unix::net::UnixDatagram;
use std::sync::Arc;

use nix::libc::EFD_NONBLOCK;
use vmm_sys_util::eventfd::EventFd;

pub(crate) use transport::transport;
pub(crate) use vsock::vsock;

use super::device::Device;
use super::direct::{BUFFERS, Driver, END, INDIRECT, RINGS};
use crate::config::{BlockDevice, NetDevice};
use crate::console::Output;
use crate::devices::virtio::devices::block::Block;
use crate::devices::virtio::devices::console::{Console, Port};
use crate::devices::virtio::devices::net::Net;
use crate::terminal::Size;

/// The input, byte by byte; zeros behind its end.
struct Bytes<'a>(&'a [u8]);

impl Bytes<'_> {
    fn take<const N: usize>(&mut self) -> [u8; N] {
        let mut bytes = [0; N];
        let _ = self.0.read(&mut bytes);
        bytes
    }

    fn byte(&mut self) -> u8 {
        u8::from_le_bytes(self.take())
    }

    fn word(&mut self) -> u16 {
        u16::from_le_bytes(self.take())
    }

    /// A guest-physical address: most often one of the buffers', else near the end of memory, in
    /// a ring, or anywhere.
    fn gpa(&mut self) -> u64 {
        let (kind, offset) = (self.byte(), u64::from(self.word()));
        match kind {
            0 => u64::from_le_bytes(self.take()),
            1..16 => END - offset,
            16..32 => RINGS + offset,
            _ => BUFFERS + 4 * offset,
        }
    }

    fn len(&mut self) -> u32 {
        match self.byte() {
            0 => u32::from_le_bytes(self.take()),
            1..64 => self.word().into(),
            len => u32::from(len - 64),
        }
    }

    fn piece(&mut self) -> (u64, u32, u16) {
        // An indirect table is rarer than the others.
        let flags = u16::from(self.byte());
        let flags = if flags < 240 {
            flags & !INDIRECT
        } else {
            flags
        };
        (self.gpa(), self.len(), flags & 7)
    }
}

/// Does with `device` as `input` says; `happen` is what happens at its other end, or what only a
/// driver of this kind does. Gives the device as it is then.
fn drive<D: Device>(
    device: D,
    input: &[u8],
    mut happen: impl FnMut(&mut Bytes<'_>, &mut Driver<D>),
) -> Driver<D> {
    let mut input = Bytes(input);
    let mut features = device.features() & u64::from_le_bytes(input.take());
    let queues = device.queue_sizes().len();
    let mut driver = Driver::new(device, features);
    while !input.0.is_empty() {
        let kind = input.byte();
        let queue = usize::from(kind >> 4) % queues;
        let mut is_broken = false;
        match kind & 15 {
            0..4 => {
                let mut pieces = Vec::new();
                for _ in 0..=input.byte() % 5 {
                    pieces.push(input.piece());
                }
                driver.offer(queue, &pieces);
            }
            4 => driver.make_available(queue, input.word() % 80),
            5 => {
                let (index, (gpa, len, flags)) = (input.word() % 64, input.piece());
                driver.describe(queue, index, (gpa, len, flags, input.word() % 80));
            }
            6..9 => {
                let (gpa, bytes) = (input.gpa(), input.take::<32>());
                if gpa <= END - 32 {
                    driver.put(gpa, &bytes);
                }
            }
            9..12 => is_broken = driver.serve(queue).is_err(),
            12 => is_broken = driver.ready().is_err(),
            13 => {
                features = driver.device.features() & u64::from_le_bytes(input.take());
                is_broken = true;
            }
            _ => happen(&mut input, &mut driver),
        }
        let _ = driver.device.source();
        if is_broken {
            driver.reset(features);
        }
    }
    driver
}

/// The network device, over a socket.
///
/// # Panics
/// Where something does not hold that must.
pub(crate) fn net(input: &[u8]) {
    let (one, other) = UnixDatagram::pair().expect("sockets");
    other.set_nonblocking(true).expect("a socket");
    let net = Net::new(NetDevice {
        name: "eth0".to_owned(),
        packets: one.into(),
        mac: [2, 0, 0, 0, 0, 1],
        mtu: 1500,
    });
    let mut packet = vec![0; 65_536];
    drive(net.expect("a device"), input, |input, _| {
        match input.byte() {
            0..192 => {
                let len = usize::from(input.word() % 4096) + 1;
                let _ = other.send(&packet[..len]);
            }
            _ => while other.recv(&mut packet).is_ok() {},
        }
    });
}

/// The block device, over a file. A disk that is read-only stays as it is; none changes its size.
///
/// # Panics
/// Where something does not hold that must.
pub(crate) fn block(input: &[u8]) {
    const SIZE: usize = 64 << 10;
    let (is_read_only, input) = match input.split_first() {
        Some((first, rest)) => (first & 1 == 1, rest),
        None => return,
    };
    let mut image = tempfile::tempfile().expect("a file");
    image.write_all(&[7; SIZE]).expect("its content");
    let block = Block::new(BlockDevice {
        name: "disk".to_owned(),
        image: image.try_clone().expect("a file"),
        read_only: is_read_only,
    });
    let mut is_cut = false;
    drive(block.expect("a device"), input, |input, _| {
        if input.byte() == 0 {
            image.set_len(512).expect("a size");
            is_cut = true;
        }
    });
    let mut found = vec![7; SIZE];
    let read = image.read_at(&mut found, 0).expect("its content");
    assert!(is_cut || read == SIZE);
    assert!(!is_read_only || found == [7; SIZE]);
    assert!(image.metadata().expect("its size").len() <= SIZE as u64);
}

/// The console device, with nobody at its other end but who types and drags the window.
///
/// # Panics
/// Where something does not hold that must.
pub(crate) fn console(input: &[u8]) {
    let space = EventFd::new(EFD_NONBLOCK).expect("an event");
    let port = Port::new().expect("a port");
    let null = File::options().write(true).open("/dev/null");
    port.connect(Output::new(null.ok(), Arc::default()), space);
    drive(Console::new(port.clone()), input, |input, _| {
        match input.byte() {
            0..128 => {
                let typed = [b'k'; 600];
                let len = usize::from(input.word() % 600);
                assert!(port.offer(&typed[..len]) <= len);
            }
            _ => port.resize(Size {
                columns: input.word(),
                rows: input.word(),
            }),
        }
    });
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::panic::catch_unwind;

    use super::*;
    use crate::boot::testing::Random;

    /// What the fuzzers have found, and go on from.
    #[test]
    fn the_corpus() {
        let corpus = concat!(env!("CARGO_MANIFEST_DIR"), "/../../fuzz/corpus");
        let runs: [fn(&[u8]); 5] = [net, block, console, vsock, transport];
        for (name, run) in ["net", "block", "console", "vsock", "transport"]
            .into_iter()
            .zip(runs)
        {
            let dir = format!("{corpus}/virtio_{name}");
            let inputs: Vec<_> = fs::read_dir(dir).unwrap().collect();
            assert!(inputs.len() > 5, "{name} has no corpus");
            for input in inputs {
                let path = input.unwrap().path();
                let bytes = fs::read(&path).unwrap();
                let result = catch_unwind(|| run(&bytes));
                assert!(result.is_ok(), "{}", path.display());
            }
        }
    }

    /// Inputs by chance, from short to long.
    #[test]
    fn whatever_a_driver_does_nothing_breaks_but_its_device() {
        let mut random = Random::new();
        for round in 0..600 {
            let input: Vec<u8> = (0..round).map(|_| random.number() as u8).collect();
            for run in [net, block, console, vsock, transport] {
                run(&input);
            }
        }
    }
}
