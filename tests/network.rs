//! A unikernel in its pod's network: the guest `pong` answers for the pod.

use std::fs;
use std::io::{Read, Write};
use std::net::TcpStream;
use std::time::Duration;

use harness::bundle::Bundle;
use harness::guard::Container;
use harness::pod::Pod;
use harness::program::{Program, wait_for};
use nix::libc::SIGKILL;
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use serde_json::{Value, json};

/// A bundle of `pong` that joins a pod's network.
fn pong(id: &str, pod: &Pod, args: &[&str]) -> Bundle {
    let args = [&["pong"], args].concat();
    let bundle = Bundle::unikernel(id, "pong", "solo5", &args);
    bundle.with(|config| join(config, pod.pod.path().to_str().unwrap()))
}

fn join(config: &mut Value, path: &str) {
    config["linux"]["namespaces"][4] = json!({ "type": "network", "path": path });
}

/// Starts it, and waits until it listens.
fn start(container: &Container) {
    container.start();
    container.wait_output("ready");
}

#[track_caller]
fn assert_answers(pod: &Pod) {
    assert!(pod.echoes("10.9.0.2:7", b"hello"), "UDP");
    assert!(pod.pings("ping -c 1 -W 5 10.9.0.2"), "ping");
    assert!(pod.echoes("[fd09::2]:7", b"hello"), "UDP over IPv6");
    assert!(pod.pings("ping6 -c 1 -W 5 fd09::2"), "ping over IPv6");
}

#[test]
fn a_guest_has_the_pods_address_and_answers_for_it() {
    if harness::cannot_boot() {
        return;
    }
    let (program, pod) = (Program::new(), Pod::new());
    let bundle = pong("net", &pod, &[]);
    let container = Container::new(&program, "net", &bundle);
    start(&container);
    let said = container.stdout();
    let words = "cmdline: --ipv4=10.9.0.2/24 --ipv4-gateway=10.9.0.1 --ipv6=fd09::2/64 \
        --ipv6-gateway=fd09::1 pong\n";
    assert!(said.contains(words), "{said}");
    assert!(said.contains("mtu: 1500"), "{said}");
    assert_answers(&pod);
    let said = container.stdout();
    assert!(!said.contains("wrong checksum"), "{said}");
    let (hook, taps) = pod.traces();
    assert!(
        hook.contains("device runu0") && taps.len() == 1,
        "{hook} {taps:?}"
    );

    program.ok(&["kill", "net", "KILL"]);
    container.wait();
    program.ok(&["delete", "net"]);
    pod.assert_no_traces();
    program.assert_nothing_left("net", &bundle);
}

#[test]
fn large_packets_pass_where_the_pods_mtu_is_large() {
    if harness::cannot_boot() {
        return;
    }
    let (program, pod) = (Program::new(), Pod::new().mtu(9000));
    let bundle = pong("jumbo", &pod, &[]);
    let container = Container::new(&program, "jumbo", &bundle);
    start(&container);
    assert!(container.stdout().contains("mtu: 9000"));
    assert!(pod.echoes("10.9.0.2:7", &[b'x'; 9000 - 28]));
    assert!(pod.echoes("[fd09::2]:7", &[b'x'; 9000 - 48]));
    container.wait_output("heard at 7: 8972 bytes");
}

#[test]
fn the_interface_is_found_whatever_its_name_and_addresses() {
    if harness::cannot_boot() {
        return;
    }
    let program = Program::new();
    let told = |name: &str, change: &str| {
        let pod = Pod::bare();
        // One that is not the way to the world, but the first.
        pod.pod.ip("link add first type bridge");
        pod.pod.ip("link set first up");
        pod.plumb(name);
        for command in change.split(';').filter(|command| !command.is_empty()) {
            pod.pod.ip(command);
        }
        let bundle = pong("named", &pod, &[]);
        let container = Container::new(&program, "named", &bundle);
        start(&container);
        let said = container.stdout();
        program.ok(&["delete", "--force", "named"]);
        said.lines().next().unwrap().to_owned()
    };
    let (ipv4, ipv6) = (
        "--ipv4=10.9.0.2/24 --ipv4-gateway=10.9.0.1",
        "--ipv6=fd09::2/64 --ipv6-gateway=fd09::1",
    );
    assert_eq!(told("net1", ""), format!("cmdline: {ipv4} {ipv6} pong"));
    assert_eq!(
        told("eth0", "-6 addr flush dev eth0"),
        format!("cmdline: {ipv4} pong")
    );
    assert_eq!(
        told("x", "-4 addr flush dev x"),
        format!("cmdline: {ipv6} pong")
    );
    // No default route at all: the first that is up.
    let none = "route del default;-6 route del default;link del first";
    assert_eq!(
        told("eth0", none),
        "cmdline: --ipv4=10.9.0.2/24 --ipv6=fd09::2/64 pong"
    );
}

/// Docker makes the namespace at create and lays its wires before start.
#[test]
fn a_namespace_that_is_plumbed_after_create_serves() {
    if harness::cannot_boot() {
        return;
    }
    let (program, pod) = (Program::new(), Pod::bare());
    let bundle = Bundle::unikernel("late", "pong", "solo5", &["pong"]);
    let container = Container::new(&program, "late", &bundle);
    assert_eq!(container.create().code, 0);
    let pid = container.pid().try_into().unwrap();
    pod.plumb_into(pid, "eth0");
    let inside = |args: &str| {
        let ip = format!("--net=/proc/{pid}/ns/net ip {args}");
        let done = std::process::Command::new("nsenter")
            .args(ip.split(' '))
            .status();
        assert!(done.unwrap().success(), "{args}");
    };
    inside("addr add 10.9.0.2/24 dev eth0");
    inside("link set eth0 up");
    program.ok(&["start", "late"]);
    container.wait_output("ready");
    assert!(pod.echoes("10.9.0.2:7", b"hello"));
}

#[test]
fn a_killed_monitor_leaves_what_delete_removes() {
    if harness::cannot_boot() {
        return;
    }
    let (program, pod) = (Program::new(), Pod::new());
    let bundle = pong("shot", &pod, &[]);
    for force in [&["delete", "shot"][..], &["delete", "--force", "shot"]] {
        let container = Container::new(&program, "shot", &bundle);
        start(&container);
        kill(Pid::from_raw(container.pid()), Signal::SIGKILL).unwrap();
        assert_eq!(container.wait(), 128 + SIGKILL);
        let (hook, taps) = pod.traces();
        assert!(taps.is_empty(), "{taps:?}");
        assert!(hook.contains("ingress"), "{hook}");
        program.ok(force);
        pod.assert_no_traces();
    }
}

#[test]
fn what_a_dead_guest_has_left_is_taken_over() {
    if harness::cannot_boot() {
        return;
    }
    let (program, pod) = (Program::new(), Pod::new());
    let bundles = ["first", "second"].map(|id| pong(id, &pod, &[]));
    let [first, second] = &bundles;
    let dead = Container::new(&program, "first", first);
    start(&dead);
    kill(Pid::from_raw(dead.pid()), Signal::SIGKILL).unwrap();
    dead.wait();
    let living = Container::new(&program, "second", second);
    start(&living);
    assert_answers(&pod);
    // Of the living one nothing is removed.
    program.ok(&["delete", "first"]);
    assert_answers(&pod);
    program.ok(&["delete", "--force", "second"]);
    pod.assert_no_traces();
}

#[test]
fn a_killed_start_can_be_repeated_and_leaves_what_delete_removes() {
    if harness::cannot_boot() {
        return;
    }
    let (program, pod) = (Program::new(), Pod::new());
    let bundle = pong("unstarted", &pod, &[]);
    let container = Container::new(&program, "unstarted", &bundle);
    for delay in (0..40_000).step_by(1_000) {
        assert_eq!(container.create().code, 0);
        let mut start = program.command(&["start", "unstarted"]).spawn().unwrap();
        std::thread::sleep(Duration::from_micros(delay));
        start.kill().unwrap();
        start.wait().unwrap();
        let again = program.call(&["start", "unstarted"]);
        let ran = "cannot start an already running container";
        assert!(
            again.code == 0 || again.stderr.contains(ran),
            "{delay}: {again:?}"
        );
        if delay % 8_000 == 0 {
            container.wait_output("ready");
            assert!(pod.echoes("10.9.0.2:7", b"hello"), "{delay}");
        }
        program.ok(&["delete", "--force", "unstarted"]);
        pod.assert_no_traces();
    }
}

#[test]
fn what_others_have_set_stays_and_works() {
    if harness::cannot_boot() {
        return;
    }
    let program = Program::new();
    for kind in ["clsact", "ingress"] {
        let pod = Pod::new();
        pod.pod.run("tc", &format!("qdisc add dev eth0 {kind}"));
        // A neighbour's rule: what goes to port 9 stays with the pod's own kernel.
        let rule = "filter add dev eth0 ingress prio 1 protocol ip bpf bytecode";
        let port_9 = "6,40 0 0 12,21 0 3 2048,40 0 0 36,21 0 1 9,6 0 0 4294967295,6 0 0 0";
        let mut tc = pod.pod.command("tc", rule);
        let added = tc.arg(port_9).args(["flowid", "1:1"]).status();
        assert!(added.unwrap().success());
        let before = pod.traces();
        let bundle = pong("guest", &pod, &[]);
        let container = Container::new(&program, "guest", &bundle);
        start(&container);
        assert_answers(&pod);
        assert!(!pod.echoes("10.9.0.2:9", b"hello"), "{kind}");
        program.ok(&["delete", "--force", "guest"]);
        let after = pod.traces();
        let without_statistics = |traces: (String, Vec<String>)| {
            let lines = traces.0.lines().filter(|line| !line.contains("index"));
            (lines.map(str::to_owned).collect::<Vec<_>>(), traces.1)
        };
        assert_eq!(
            without_statistics(after),
            without_statistics(before),
            "{kind}"
        );
    }
}

/// A guest with virtio's device, which has the kernel leave checksums to it and gives large
/// packets, finds its address and its name.
#[test]
fn a_web_server_answers_for_its_pod() {
    if harness::cannot_boot() {
        return;
    }
    for abi in ["linux64", "multiboot1"] {
        let (program, pod) = (Program::new(), Pod::new());
        let bundle = Bundle::unikernel("web", "web", abi, &["web"])
            .annotate("runu.dev/family", "unikraft")
            .with(|config| join(config, pod.pod.path().to_str().unwrap()));
        fs::create_dir_all(bundle.rootfs().join("etc")).unwrap();
        let resolver = "search lab.test\nnameserver 10.9.0.1\n";
        fs::write(bundle.rootfs().join("etc/resolv.conf"), resolver).unwrap();
        let container = Container::new(&program, "web", &bundle);
        container.start();
        let body = get(&pod, "/hostname", &container);
        assert_eq!(
            body.trim_ascii_end(),
            b"runu-test",
            "{abi}: {}",
            container.stdout()
        );
        // More than one large packet.
        assert_eq!(get(&pod, "/pattern/300000", &container).len(), 300_000);
        assert!(pod.pings("ping -c 1 -W 5 10.9.0.2"));
        assert!(pod.echoes("10.9.0.2:7", b"hello"));
        program.ok(&["delete", "--force", "web"]);
        pod.assert_no_traces();
    }
}

/// The body of a page, which the world asks for until it gets one.
fn get(pod: &Pod, path: &str, container: &Container) -> Vec<u8> {
    let connect = || {
        let to = "10.9.0.2:80".parse().unwrap();
        pod.world
            .within(|| TcpStream::connect_timeout(&to, Duration::from_secs(1)).ok())
    };
    let what = format!("port 80 of {}", container.stdout() + &container.stderr());
    let mut stream = wait_for(&what, connect);
    stream
        .set_read_timeout(Some(Duration::from_secs(30)))
        .unwrap();
    write!(
        stream,
        "GET {path} HTTP/1.1\r\nHost: pod\r\nConnection: close\r\n\r\n"
    )
    .unwrap();
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer).unwrap();
    let body = answer.windows(4).position(|window| window == b"\r\n\r\n");
    answer.split_off(body.expect("an answer") + 4)
}
