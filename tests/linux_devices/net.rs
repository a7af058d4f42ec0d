//! Networks: bytes arrive as they were sent, both ways, whatever is left to the host to do.

use std::ffi::{CString, c_short};
use std::fs::File;
use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::os::fd::{AsRawFd, OwnedFd};
use std::process::{Child, Command, Stdio};

use nix::libc::{self, IFF_NO_PI, IFF_TAP, IFF_VNET_HDR, ifreq};
use nix::sched::{CloneFlags, unshare};
use runu::vmm::{NetDevice, Transport};

use crate::guest::{Setup, answer, tool_folder};
use crate::{much, pattern};

/// With what the guest may leave to the host, and the MTU.
const NETS: [(bool, u16); 4] = [(true, 1500), (false, 1500), (true, 9000), (false, 9000)];

/// For each network: what iperf3 makes of it both ways; and what comes on one port is sent back
/// on the next. Each has its own /24, with the host at 1.
const SCRIPT: &str = r#"
ip link set lo up
for n in 0 1 2 3; do
    ip addr add 10.77.$n.2/24 dev eth$n
    ip link set eth$n up
    echo "eth$n: $(cat /sys/class/net/eth$n/address) $(cat /sys/class/net/eth$n/mtu)"
    packets() { cat /sys/class/net/eth$n/statistics/$1; }
    for way in --verbose --reverse; do
        tool iperf3 --client 10.77.$n.1 --bytes $bytes $way >/tmp/iperf 2>&1
        echo "iperf3$way$n: $?"
        grep -E 'sender|receiver' /tmp/iperf
    done
    for what in tx_bytes tx_packets rx_bytes rx_packets; do
        echo "$what$n: $(packets $what)"
    done
    mkfifo /tmp/copy
    nc 10.77.$n.1 5001 </dev/null | tee /tmp/copy | nc 10.77.$n.1 5002 &
    echo "sha256-$n: $(sha256sum </tmp/copy)"
    wait
    rm /tmp/copy
    ping -c 3 -A -s $(($(cat /sys/class/net/eth$n/mtu) - 28)) 10.77.$n.1 >/dev/null
    echo "ping$n: $?"
done
"#;

nix::ioctl_write_ptr_bad!(tun_set_iff, libc::TUNSETIFF, ifreq);

/// A tap device in this thread's network namespace, up, with the host's address.
fn tap(number: usize, has_headers: bool, mtu: u16) -> OwnedFd {
    let name = format!("tap{number}");
    let open = File::options().read(true).write(true).open("/dev/net/tun");
    let tap = OwnedFd::from(open.unwrap());
    let flags = IFF_TAP | IFF_NO_PI | if has_headers { IFF_VNET_HDR } else { 0 };
    let mut request = ifreq {
        ifr_name: [0; libc::IFNAMSIZ],
        ifr_ifru: libc::__c_anonymous_ifr_ifru {
            ifru_flags: flags as c_short,
        },
    };
    let spelt = CString::new(name.clone()).unwrap();
    for (to, from) in request.ifr_name.iter_mut().zip(spelt.as_bytes()) {
        *to = *from as libc::c_char;
    }
    // SAFETY: the descriptor is open, and the kernel reads one `ifreq`.
    unsafe { tun_set_iff(tap.as_raw_fd(), &request) }.unwrap();
    ip(&format!("link set {name} mtu {mtu} up"));
    ip(&format!("addr add 10.77.{number}.1/24 dev {name}"));
    tap
}

fn ip(args: &str) {
    let status = Command::new("ip").args(args.split(' ')).status();
    assert!(status.unwrap().success(), "ip {args}");
}

/// A program that ends with the test.
struct Server(Child);

impl Server {
    fn iperf3() -> Server {
        let folder = tool_folder("iperf3");
        let mut command = Command::new(folder.join("ld-linux-x86-64.so.2"));
        command
            .arg("--library-path")
            .arg(&folder)
            .arg(folder.join("iperf3"));
        let server = command.arg("--server").stdout(Stdio::null()).spawn();
        Server(server.unwrap())
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// Sends `data` to who comes first, and gives what the second one sends.
fn there_and_back(to: &TcpListener, from: &TcpListener, data: &[u8]) -> Vec<u8> {
    std::thread::scope(|scope| {
        scope.spawn(|| {
            let (mut stream, _): (TcpStream, _) = to.accept().unwrap();
            stream.write_all(data).unwrap();
        });
        let (mut stream, _) = from.accept().unwrap();
        let mut back = Vec::with_capacity(data.len());
        stream.read_to_end(&mut back).unwrap();
        back
    })
}

fn packets_arrive_as_they_were_sent(transport: Transport) {
    let bytes = much(16 << 20);
    let script = format!("bytes={bytes}\n{SCRIPT}");
    let modules = ["failover", "net_failover", "virtio_net"];
    let Some(mut setup) = Setup::new(transport, &modules, &["iperf3"], &script) else {
        return;
    };
    // Of this thread alone; what it starts is in there with it.
    unshare(CloneFlags::CLONE_NEWNET).unwrap();
    ip("link set lo up");
    for (number, (has_headers, mtu)) in NETS.into_iter().enumerate() {
        setup.nets.push(NetDevice {
            name: format!("net{number}"),
            packets: tap(number, has_headers, mtu),
            mac: [2, 0, 0, 0, 0, number as u8],
            mtu,
        });
    }
    let _server = Server::iperf3();
    let data = pattern(3, bytes);
    let listeners = (0..NETS.len()).map(|number| {
        let listen = |port| TcpListener::bind((format!("10.77.{number}.1"), port)).unwrap();
        [listen(5001), listen(5002)]
    });
    let listeners: Vec<_> = listeners.collect();
    let guest = setup.start();
    let data = &data;
    let returned = std::thread::spawn({
        let data = data.clone();
        move || {
            let mut same = listeners
                .iter()
                .map(|[to, from]| there_and_back(to, from, &data) == data);
            same.all(|same| same)
        }
    });
    let said = guest.finish();
    assert!(returned.is_finished() && returned.join().unwrap(), "{said}");
    for (number, (has_headers, mtu)) in NETS.into_iter().enumerate() {
        let is = |name: &str, expected: &str| {
            assert_eq!(
                answer(&said, &format!("{name}{number}")).trim(),
                expected,
                "{said}"
            );
        };
        is("eth", &format!("02:00:00:00:00:0{number} {mtu}"));
        for what in ["iperf3--verbose", "iperf3--reverse", "ping"] {
            is(what, "0");
        }
        is("sha256-", &crate::sha256(data));
        let count =
            |what: &str| -> usize { answer(&said, &format!("{what}{number}")).parse().unwrap() };
        for way in ["tx", "rx"] {
            let (moved, packets) = (
                count(&format!("{way}_bytes")),
                count(&format!("{way}_packets")),
            );
            assert!(moved > bytes, "{said}");
            // Half of them only acknowledge.
            let large = moved / packets > usize::from(mtu);
            assert_eq!(
                large, has_headers,
                "{way} of {number}: {moved} bytes in {packets}\n{said}"
            );
        }
    }
}

#[test]
fn packets_arrive_as_they_were_sent_over_mmio() {
    let test = || packets_arrive_as_they_were_sent(Transport::Mmio);
    // Its namespace is gone with the thread.
    std::thread::scope(|scope| scope.spawn(test).join().unwrap());
}
