//! Networks: bytes arrive as they were sent, both ways, whatever is left to the host to do.

use std::ffi::{CString, c_short};
use std::fs::File;
use std::io::Write;
use std::net::{TcpListener, TcpStream};
use std::os::fd::{AsRawFd, OwnedFd};
use std::process::{Child, Command, Stdio};

use nix::libc::{self, IFF_NO_PI, IFF_TAP, IFF_VNET_HDR, ifreq};
use nix::sched::{CloneFlags, unshare};
use vmm::{NetDevice, Transport};

use crate::guest::{Setup, answer, tool_dir};
use crate::{MIB, is_all, much, pattern, sha256, transports};

/// With what the guest may leave to the host, and the MTU.
const NETS: [(bool, u16); 4] = [(true, 1500), (false, 1500), (true, 9000), (false, 9000)];

/// Checksums and the cutting of TCP's packets for IPv4 and IPv6, both ways (virtio 1.2, 5.1.3).
const OFFLOADS: [usize; 6] = [0, 1, 7, 8, 11, 12];

/// For each network, with the bytes of its own in `bytes`: what iperf3 makes of it both ways; and
/// what comes on one port is sent back on the next. Each has its own /24, with the host at 1.
const SCRIPT: &str = r#"
ip link set lo up
n=-1
for bytes in $bytes; do
    n=$((n + 1))
    ip addr add 10.77.$n.2/24 dev eth$n
    ip link set eth$n up
    echo "eth$n: $(cat /sys/class/net/eth$n/address) $(cat /sys/class/net/eth$n/mtu)"
    echo "features$n: $(cat /sys/class/net/eth$n/device/features)"
    packets() { cat /sys/class/net/eth$n/statistics/$1; }
    ping -c 3 -A -s $(($(cat /sys/class/net/eth$n/mtu) - 28)) 10.77.$n.1 >/dev/null
    echo "ping$n: $?"
    mkfifo /tmp/copy
    nc 10.77.$n.1 5001 </dev/null | tee /tmp/copy | nc 10.77.$n.1 5002 &
    echo "sha256-$n: $(sha256sum </tmp/copy)"
    wait
    rm /tmp/copy
    for way in tx rx; do
        [ $way = tx ] || reverse=--reverse
        before="$(packets ${way}_bytes) $(packets ${way}_packets)"
        tool iperf3 --client 10.77.$n.1 --bytes $bytes $reverse >/tmp/iperf 2>&1
        echo "iperf3-$way$n: $?"
        grep -E 'sender|receiver' /tmp/iperf
        echo "$way$n: $before $(packets ${way}_bytes) $(packets ${way}_packets)"
    done
    reverse=
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
        let dir = tool_dir("iperf3");
        let mut command = Command::new(dir.join("ld-linux-x86-64.so.2"));
        command
            .arg("--library-path")
            .arg(&dir)
            .arg(dir.join("iperf3"));
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

/// Sends `data` so many times to who comes first; whether the second one sends the same.
fn is_sent_back([to, from]: &[TcpListener; 2], data: &[u8], times: usize) -> bool {
    std::thread::scope(|scope| {
        scope.spawn(|| {
            let (mut stream, _): (TcpStream, _) = to.accept().unwrap();
            for _ in 0..times {
                stream.write_all(data).unwrap();
            }
        });
        let (stream, _) = from.accept().unwrap();
        is_all(stream, data, times)
    })
}

fn over(transport: Transport) {
    let bytes = [much(MIB), MIB, MIB, MIB];
    let script = format!(
        "bytes='{}'\n{SCRIPT}",
        bytes.map(|n| n.to_string()).join(" ")
    );
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
    let data = pattern(3, MIB);
    let expected = bytes.map(|bytes| sha256(&data, bytes / MIB));
    let listeners = (0..NETS.len()).map(|number| {
        [5001, 5002].map(|port| TcpListener::bind((format!("10.77.{number}.1"), port)).unwrap())
    });
    let listeners: Vec<_> = listeners.collect();
    let guest = setup.start();
    let echo = std::thread::spawn(move || {
        let mut nets = listeners.iter().zip(bytes);
        nets.all(|(listeners, bytes)| is_sent_back(listeners, &data, bytes / MIB))
    });
    let said = guest.finish();
    assert!(echo.is_finished() && echo.join().unwrap(), "{said}");
    for (number, (has_headers, mtu)) in NETS.into_iter().enumerate() {
        let is = |name: &str, expected: &str| {
            assert_eq!(
                answer(&said, &format!("{name}{number}")).trim(),
                expected,
                "{said}"
            );
        };
        is("eth", &format!("02:00:00:00:00:0{number} {mtu}"));
        for what in ["ping", "iperf3-tx", "iperf3-rx"] {
            is(what, "0");
        }
        is("sha256-", &expected[number]);
        for way in ["tx", "rx"] {
            let counts = answer(&said, &format!("{way}{number}"));
            let counts: Vec<usize> = counts.split(' ').map(|n| n.parse().unwrap()).collect();
            let (moved, packets) = (counts[2] - counts[0], counts[3] - counts[1]);
            // With jumbo packets there is little left to put together.
            let is_large = moved / packets > usize::from(mtu) + 14;
            assert!(
                is_large == has_headers || mtu > 1500,
                "{way} of {number}\n{said}"
            );
        }
        let features = answer(&said, &format!("features{number}")).as_bytes();
        for bit in OFFLOADS {
            assert_eq!(
                features[bit] == b'1',
                has_headers,
                "{bit} of {number}\n{said}"
            );
        }
    }
}

#[test]
fn packets_arrive_as_they_were_sent() {
    for transport in transports(Transport::Mmio) {
        // Its namespace is gone with the thread.
        std::thread::scope(|scope| scope.spawn(|| over(transport)).join().unwrap());
    }
}
