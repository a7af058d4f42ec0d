//! A Solo5 guest on a network that is a pair of sockets.

use std::fs::File;
use std::os::unix::net::UnixDatagram;
use std::thread::JoinHandle;
use std::time::Duration;

use vmm::{
    Console, Files, GuestExit, MIN_MEMORY, Machine, MachineConfig, NetDevice, Prepared, Transport,
};
use vmm_sys_util::signal::{Killable, SIGRTMIN};

use crate::guest::{kvm, pipe};

const TIMEOUT: Duration = Duration::from_secs(30);
/// An Ethernet packet's protocol for experiments, at byte 12: the guest's.
const PROTOCOL: [u8; 2] = [0x88, 0xb5];

/// The guest `wire`, and the other end of its network.
fn parts() -> Option<(impl FnOnce() -> Machine + Send + 'static, UnixDatagram)> {
    let kvm = kvm()?;
    let (ours, theirs) = UnixDatagram::pair().unwrap();
    ours.set_read_timeout(Some(TIMEOUT)).unwrap();
    let net = NetDevice {
        name: "wire".to_owned(),
        packets: theirs.into(),
        mac: [2, 0, 0, 0, 0, 1],
        mtu: 1500,
    };
    let files = Files {
        kvm,
        kernel: File::open(harness::guest("wire", "solo5")).unwrap(),
        initrd: None,
        root: None,
        blocks: Vec::new(),
        shares: Vec::new(),
        served: Vec::new(),
        vsock: None,
    };
    let config = MachineConfig {
        memory: 2 * MIN_MEMORY,
        vcpus: 1,
        cmdline: "wire".to_owned(),
        transport: Transport::default(),
    };
    let machine = move || {
        let prepared = Prepared::new(&config, files).unwrap();
        prepared.finish(&config.cmdline, vec![net]).unwrap()
    };
    Some((machine, ours))
}

/// Its thread, its output, and the other end of its network.
fn start() -> Option<(JoinHandle<GuestExit>, File, UnixDatagram)> {
    let (machine, ours) = parts()?;
    let (output, guest_output) = pipe();
    let console = Console {
        input: None,
        output: Some(guest_output),
    };
    let machine = std::thread::spawn(move || machine().run_on(console));
    Some((machine, output, ours))
}

#[test]
fn packets_go_and_come_and_wake_the_guest() {
    let Some((machine, output, wire)) = start() else {
        return;
    };
    let mut packet = [0; 2000];
    assert_eq!(wire.recv(&mut packet).unwrap(), 64);
    assert_eq!(
        (packet[..6] == [0xff; 6], packet[12..14] == PROTOCOL),
        (true, true)
    );
    // By now the guest waits, most likely; the first packet is not for it.
    std::thread::sleep(Duration::from_millis(50));
    wire.send(&[7; 60]).unwrap();
    let mut ours = [9; 1514];
    ours[12..14].copy_from_slice(&PROTOCOL);
    wire.send(&ours).unwrap();
    let len = wire.recv(&mut packet).unwrap();
    assert_eq!(packet[..len], ours, "sent back as it was");
    assert_eq!(machine.join().unwrap(), GuestExit::Code(0));
    let said = std::io::read_to_string(output).unwrap();
    assert_eq!(
        said,
        "write: 0\nno such handle: 2\nread: 1514 bytes\nwrite: 0\n"
    );
}

#[test]
fn a_guest_that_waits_for_packets_is_ended_by_a_signal() {
    let Some((machine, _output, wire)) = start() else {
        return;
    };
    wire.recv(&mut [0; 64]).unwrap();
    std::thread::sleep(Duration::from_millis(50));
    machine.kill(SIGRTMIN() + 3).unwrap();
    assert_eq!(
        machine.join().unwrap(),
        GuestExit::Signalled(SIGRTMIN() + 3)
    );
}

/// All others are closed: one that is named and not the machine's may be anything.
#[test]
fn the_descriptors_that_a_machine_names_are_open() {
    let Some((machine, _wire)) = parts() else {
        return;
    };
    let machine = machine();
    for fd in machine.descriptors() {
        let link = std::fs::read_link(format!("/proc/self/fd/{fd}"));
        assert!(link.is_ok(), "{fd}: {link:?}");
    }
}
