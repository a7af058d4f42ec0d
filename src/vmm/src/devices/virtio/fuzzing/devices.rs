//! The network, block and console devices under a driver that means harm.

use std::fs::File;
use std::io::Write;
use std::os::unix::fs::FileExt;
use std::os::unix::net::UnixDatagram;
use std::sync::Arc;

use nix::libc::EFD_NONBLOCK;
use vmm_sys_util::eventfd::EventFd;

use super::input::Input;
use crate::config::{BlockDevice, NetDevice};
use crate::console::Output;
use crate::devices::virtio::device::VirtioDevice;
use crate::devices::virtio::devices::block::Block;
use crate::devices::virtio::devices::console::{Console, Port};
use crate::devices::virtio::devices::net::Net;
use crate::devices::virtio::test_driver::{Driver, END};
use crate::terminal::Size;

/// Does with `device` as `input` says; `peer` is what peers at its other end, or what only a
/// driver of this kind does. Gives the device as it is then.
pub(super) fn drive<D: VirtioDevice>(
    device: D,
    input: &[u8],
    mut peer: impl FnMut(&mut Input<'_>, &mut Driver<D>),
) -> Driver<D> {
    let mut input = Input(input);
    let mut features = device.features() & u64::from_le_bytes(input.take());
    let queues = device.queue_sizes().len();
    let mut driver = Driver::new(device, features);
    while !input.0.is_empty() {
        let kind = input.u8();
        let queue = usize::from(kind >> 4) % queues;
        let mut needs_reset = false;
        match kind & 15 {
            0..4 => {
                let mut elements = Vec::new();
                for _ in 0..=input.u8() % 5 {
                    elements.push(input.element());
                }
                driver.offer(queue, &elements);
            }
            4 => driver.make_available(queue, input.u16() % 80),
            5 => {
                let (index, (gpa, len, flags)) = (input.u16() % 64, input.element());
                driver.describe(queue, index, (gpa, len, flags, input.u16() % 80));
            }
            6..9 => {
                let (gpa, bytes) = (input.gpa(), input.take::<32>());
                if gpa <= END - 32 {
                    driver.put(gpa, &bytes);
                }
            }
            9..12 => needs_reset = driver.process_queue(queue).is_err(),
            12 => needs_reset = driver.process_event().is_err(),
            13 => {
                features = driver.device.features() & u64::from_le_bytes(input.take());
                needs_reset = true;
            }
            _ => peer(&mut input, &mut driver),
        }
        let _ = driver.device.event_source();
        if needs_reset {
            driver.reset(features);
        }
    }
    driver
}

/// The network device, over a socket.
///
/// # Panics
/// Where something does not hold that must.
pub fn net(input: &[u8]) {
    let (one, other) = UnixDatagram::pair().expect("sockets");
    other.set_nonblocking(true).expect("a socket");
    let net = Net::new(NetDevice {
        name: "eth0".to_owned(),
        packets: one.into(),
        mac: [2, 0, 0, 0, 0, 1],
        mtu: 1500,
    });
    let mut packet = vec![0; 65_536];
    drive(net.expect("a device"), input, |input, _| match input.u8() {
        0..192 => {
            let len = usize::from(input.u16() % 4096) + 1;
            let _ = other.send(&packet[..len]);
        }
        _ => while other.recv(&mut packet).is_ok() {},
    });
}

/// The block device, over a file. A disk that is read-only stays as it is; none changes its size.
///
/// # Panics
/// Where something does not hold that must.
pub fn block(input: &[u8]) {
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
        if input.u8() == 0 {
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
pub fn console(input: &[u8]) {
    let space = EventFd::new(EFD_NONBLOCK).expect("an event");
    let port = Port::new().expect("a port");
    let null = File::options().write(true).open("/dev/null");
    port.connect(Output::new(null.ok(), Arc::default()), space);
    drive(Console::new(port.clone()), input, |input, _| {
        match input.u8() {
            0..128 => {
                let typed = [b'k'; 600];
                let len = usize::from(input.u16() % 600);
                assert!(port.offer(&typed[..len]) <= len);
            }
            _ => port.resize(Size {
                columns: input.u16(),
                rows: input.u16(),
            }),
        }
    });
}
