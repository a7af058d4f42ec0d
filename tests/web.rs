//! The project's web unikernel in a pod's network: what the world gets from it, by every boot
//! ABI and every transport.

use std::fs;
use std::net::{Ipv4Addr, SocketAddr};

use harness::bundle::Bundle;
use harness::guard::Container;
use harness::http::{self, Answer, checksum, pattern, transfer};
use harness::pod::Pod;
use harness::program::{Program, TIMEOUT};
use harness::resolver::Resolver;
use serde_json::json;

const SERVER: &str = "10.9.0.2:80";
const SERVER6: &str = "[fd09::2]:80";
const PAGE: &str = "a page of the initrd's\n";

/// A bundle of the web server in a pod's network. It serves a page of its initrd, and asks the
/// world for names.
fn web(id: &str, abi: &str, pod: &Pod) -> Bundle {
    // Unikraft's words know nothing of IPv6.
    let args = ["web", "netdev.ip6=fd09::2/64,fd09::1"];
    let bundle = Bundle::unikernel(id, "web", abi, &args);
    fs::write(bundle.rootfs().join("site.tar"), site()).unwrap();
    let resolv_conf = bundle.path().join("resolv.conf");
    fs::write(&resolv_conf, "nameserver 10.9.0.1\nsearch pods.test\n").unwrap();
    bundle
        .annotate("runu.dev/initrd", "/site.tar")
        .with(|config| {
            config["linux"]["namespaces"][4] = json!({ "type": "network", "path": pod.pod.path() });
            let mounts = config["mounts"].as_array_mut().unwrap();
            mounts.push(json!({
                "destination": "/etc/resolv.conf",
                "type": "bind",
                "source": resolv_conf,
                "options": ["bind", "ro"],
            }));
        })
}

fn site() -> Vec<u8> {
    let mut tar = tar::Builder::new(Vec::new());
    let mut header = tar::Header::new_ustar();
    header.set_size(PAGE.len() as u64);
    header.set_mode(0o644);
    tar.append_data(&mut header, "index.html", PAGE.as_bytes())
        .unwrap();
    tar.into_inner().unwrap()
}

/// Starts it, and waits until it listens.
fn start(container: &Container) {
    container.start();
    container.wait_output("ready\n");
}

/// The world's request.
fn get(pod: &Pod, server: &str, path: &str) -> Answer {
    let server: SocketAddr = server.parse().unwrap();
    let answer = pod.world.within(|| http::get(server, path, TIMEOUT));
    answer.unwrap()
}

#[track_caller]
fn assert_sums(pod: &Pod, body: &[u8]) {
    let server: SocketAddr = SERVER.parse().unwrap();
    let answer = pod
        .world
        .within(|| http::post(server, "/sum", body, TIMEOUT));
    assert_eq!(answer.unwrap().text(), checksum(body) + "\n");
}

/// That it ends by itself when it is asked to.
#[track_caller]
fn assert_stops(program: &Program, container: &Container) {
    program.ok(&["kill", &container.id, "TERM"]);
    assert_eq!(container.wait(), 0, "{}", container.stderr());
}

#[test]
fn it_serves_by_every_abi_and_transport() {
    if harness::cannot_boot() {
        return;
    }
    let program = Program::new();
    for (abi, transport) in [
        ("linux64", "mmio"),
        ("linux64", "mmio-legacy"),
        ("linux64", "pci"),
        ("linux64", "pci-modern"),
        ("pvh", "mmio"),
        ("pvh", "pci"),
        ("multiboot1", "mmio"),
        ("multiboot1", "pci"),
    ] {
        println!("{abi}, {transport}");
        let pod = Pod::new();
        let bundle = web("web", abi, &pod).annotate("runu.dev/virtio", transport);
        let container = Container::new(&program, "web", &bundle);
        start(&container);
        assert_eq!(get(&pod, SERVER, "/").text(), PAGE);
        assert_eq!(get(&pod, SERVER, "/none").status, 404);
        assert_sums(&pod, &pattern(20_000));
        assert!(pod.echoes("10.9.0.2:7", b"hello"), "UDP");
        assert_stops(&program, &container);
        program.ok(&["delete", "web"]);
        pod.assert_no_traces();
        program.assert_nothing_left("web", &bundle);
    }
}

#[test]
fn bytes_pass_both_ways_unchanged() {
    if harness::cannot_boot() {
        return;
    }
    let (program, length) = (Program::new(), transfer());
    for mtu in [1500, 9000] {
        let pod = Pod::new().mtu(mtu);
        let bundle = web("bulk", "linux64", &pod);
        let container = Container::new(&program, "bulk", &bundle);
        start(&container);
        let said = container.stdout();
        assert!(said.contains(&format!("MTU {mtu}\n")), "{said}");
        let sent = pattern(length);
        for server in [SERVER, SERVER6] {
            let came = get(&pod, server, &format!("/pattern/{length}")).body;
            assert!(
                came == sent,
                "{server}: {} bytes came, not as sent",
                came.len()
            );
        }
        assert_sums(&pod, &sent);
    }
}

#[test]
fn it_is_told_names_and_addresses() {
    if harness::cannot_boot() {
        return;
    }
    let (program, pod) = (Program::new(), Pod::new());
    let bundle = web("told", "linux64", &pod);
    let container = Container::new(&program, "told", &bundle);
    start(&container);
    let said = container.stdout();
    assert!(said.contains("address: 10.9.0.2/24\n"), "{said}");
    assert_eq!(get(&pod, SERVER, "/hostname").text(), "runu-test\n");
    assert_eq!(get(&pod, SERVER6, "/hostname").text(), "runu-test\n");
    assert!(pod.pings("ping -c 1 -W 5 10.9.0.2"));
    assert!(pod.pings("ping6 -c 1 -W 5 fd09::2"));
    assert!(pod.echoes("[fd09::2]:7", b"hello"));

    let names = [("name.pods.test.", Ipv4Addr::new(192, 0, 2, 7))];
    let _resolver = Resolver::start(pod.world.udp("10.9.0.1:53"), &names).unwrap();
    assert_eq!(get(&pod, SERVER, "/resolve/name").text(), "192.0.2.7\n");
    assert_eq!(get(&pod, SERVER, "/resolve/nobody").status, 502);
    assert_stops(&program, &container);
}
