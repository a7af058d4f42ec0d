//! Several in one pod: which ports reach whom, and who gets no network at all.

use std::net::UdpSocket;
use std::time::Duration;

use harness::bundle::Bundle;
use harness::guard::Container;
use harness::pod::Pod;
use harness::program::Program;
use serde_json::{Value, json};

/// A bundle of `pong` that joins a pod's network; `ports` are its own.
fn pong(id: &str, pod: &Pod, ports: Option<&str>, args: &[&str]) -> Bundle {
    let args = [&["pong"], args].concat();
    let mut bundle = Bundle::unikernel(id, "pong", "solo5", &args);
    if let Some(ports) = ports {
        bundle = bundle.annotate("runu.dev/ports", ports);
    }
    let path = pod.pod.path();
    bundle.with(|config| join(config, path.to_str().unwrap()))
}

fn join(config: &mut Value, path: &str) {
    config["linux"]["namespaces"][4] = json!({ "type": "network", "path": path });
}

fn start(container: &Container) {
    container.start();
    container.wait_output("ready");
}

/// An ordinary process of the pod that answers one port, with the text in capitals.
fn neighbour(pod: &Pod, address: &str) -> UdpSocket {
    let socket = pod.pod.udp(address);
    socket.set_read_timeout(None).unwrap();
    let answering = socket.try_clone().unwrap();
    std::thread::spawn(move || {
        let mut text = [0; 64];
        while let Ok((len, from)) = answering.recv_from(&mut text) {
            text.make_ascii_uppercase();
            let _ = answering.send_to(&text[..len], from);
        }
    });
    socket
}

/// What comes back of a datagram from the world: `None` where nothing does.
fn asked(pod: &Pod, to: &str) -> Option<String> {
    let any = if to.starts_with('[') {
        "[::]:0"
    } else {
        "0.0.0.0:0"
    };
    let socket = pod.world.udp(any);
    let mut text = [0; 64];
    for _ in 0..6 {
        socket.send_to(b"hello", to).unwrap();
        if let Ok(len) = socket.recv(&mut text) {
            return Some(String::from_utf8_lossy(&text[..len]).into_owned());
        }
    }
    None
}

#[test]
fn ports_of_its_own_are_the_guests_and_the_rest_is_the_pods() {
    if harness::cannot_boot() {
        return;
    }
    let (program, pod) = (Program::new(), Pod::new());
    let bundle = pong("shared", &pod, Some("7/udp, 9000-9001/udp"), &[]);
    let container = Container::new(&program, "shared", &bundle);
    start(&container);
    let _neighbours = ["0.0.0.0:8", "[fd09::2]:8"].map(|address| neighbour(&pod, address));
    for (port, answer) in [(7, "hello"), (9001, "hello"), (8, "HELLO")] {
        for host in ["10.9.0.2", "[fd09::2]"] {
            let answered = asked(&pod, &format!("{host}:{port}"));
            assert_eq!(answered.as_deref(), Some(answer), "{host} {port}");
        }
    }
    assert!(!container.stdout().contains("heard at 8"));
    // The pod's kernel answers for all, whoever listens.
    assert!(pod.pings("ping -c 1 -W 5 10.9.0.2"));
    assert!(pod.pings("ping6 -c 1 -W 5 fd09::2"));
    program.ok(&["delete", "--force", "shared"]);
    pod.assert_no_traces();
}

/// What a guest asks of others comes back to a port that it was given.
#[test]
fn a_guest_with_ports_of_its_own_gets_answers_on_them() {
    if harness::cannot_boot() {
        return;
    }
    let (program, pod) = (Program::new(), Pod::new());
    let world = pod.world.udp("10.9.0.1:53");
    world
        .set_read_timeout(Some(Duration::from_secs(20)))
        .unwrap();
    let ask = "ask=10.9.0.1:53:50000";
    let bundle = pong("asks", &pod, Some("50000-50100/udp"), &[ask]);
    let container = Container::new(&program, "asks", &bundle);
    start(&container);
    let mut text = [0; 64];
    let (len, from) = world.recv_from(&mut text).unwrap();
    assert_eq!(
        (&text[..len], from.to_string().as_str()),
        (&b"who are you"[..], "10.9.0.2:50000")
    );
    world.send_to(b"the world", from).unwrap();
    container.wait_output("answer: the world");
}

#[test]
fn two_guests_share_a_pod_by_ports_and_only_so() {
    if harness::cannot_boot() {
        return;
    }
    let (program, pod) = (Program::new(), Pod::new());
    let (seven, eight) = (
        pong("seven", &pod, Some("7/udp"), &[]),
        pong("eight", &pod, Some("8/udp,80/tcp"), &[]),
    );
    let first = Container::new(&program, "seven", &seven);
    let second = Container::new(&program, "eight", &eight);
    start(&first);
    start(&second);
    for (port, guest) in [(7, &first), (8, &second)] {
        assert_eq!(
            asked(&pod, &format!("10.9.0.2:{port}")).as_deref(),
            Some("hello")
        );
        assert_eq!(
            asked(&pod, &format!("[fd09::2]:{port}")).as_deref(),
            Some("hello")
        );
        guest.wait_output(&format!("heard at {port}"));
    }
    for (ports, told) in [
        (
            None,
            "another unikernel has this pod's network: give each of them its ports",
        ),
        (
            Some("1-7/udp"),
            "another unikernel of this pod has 7/udp, this one asks for 1-7/udp",
        ),
    ] {
        let bundle = pong("third", &pod, ports, &[]);
        let third = Container::new(&program, "third", &bundle);
        assert_eq!(third.create().code, 0);
        let started = program.call(&["start", "third"]);
        assert!(
            started.code == 1 && started.stderr.contains(told),
            "{started:?}"
        );
        assert_eq!(
            program.state("third")["status"],
            "created",
            "as runc leaves it"
        );
        program.ok(&["delete", "third"]);
    }
    // One goes, the other stays, and its ports are free.
    program.ok(&["delete", "--force", "seven"]);
    assert_eq!(asked(&pod, "10.9.0.2:8").as_deref(), Some("hello"));
    assert_eq!(asked(&pod, "10.9.0.2:7"), None);
    start(&first);
    assert_eq!(asked(&pod, "10.9.0.2:7").as_deref(), Some("hello"));
    for id in ["eight", "seven"] {
        program.ok(&["delete", "--force", id]);
    }
    pod.assert_no_traces();
}

#[test]
fn one_guest_that_has_all_shares_with_nobody() {
    if harness::cannot_boot() {
        return;
    }
    let (program, pod) = (Program::new(), Pod::new());
    let (all, some) = (
        pong("all", &pod, None, &[]),
        pong("some", &pod, Some("8/udp"), &[]),
    );
    let first = Container::new(&program, "all", &all);
    start(&first);
    let second = Container::new(&program, "some", &some);
    assert_eq!(second.create().code, 0);
    let started = program.call(&["start", "some"]);
    assert!(
        started
            .stderr
            .contains("another unikernel has this pod's network"),
        "{started:?}"
    );
    // And it is none the worse for that.
    assert_eq!(asked(&pod, "10.9.0.2:8").as_deref(), Some("hello"));
    // Without a network the second one starts.
    let hello = Bundle::unikernel("some", "hello", "solo5", &["hello"])
        .annotate("runu.dev/network", "none");
    program.ok(&["delete", "some"]);
    let third = Container::new(&program, "some", &hello);
    third.start();
    assert_eq!(third.wait(), 0);
}

#[test]
fn who_cannot_have_a_network_is_told() {
    if harness::cannot_boot() {
        return;
    }
    let program = Program::new();
    let pong = || Bundle::unikernel("alone", "pong", "solo5", &["pong"]);
    let host = |config: &mut Value| {
        let namespaces = config["linux"]["namespaces"].as_array_mut().unwrap();
        namespaces.retain(|namespace| namespace["type"] != "network");
    };
    for (bundle, told) in [
        (
            pong().with(host),
            "the host's own network, which a guest cannot share",
        ),
        (
            pong().annotate("runu.dev/network", "none"),
            "needs network device service, and annotation runu.dev/network says that it shall have none",
        ),
        (
            pong().annotate("runu.dev/network", "host"),
            "\"host\" is no network: write none",
        ),
        (
            pong().annotate("runu.dev/ports", "80"),
            "\"80\" is no list of ports",
        ),
    ] {
        let created = Container::new(&program, "alone", &bundle).create();
        assert!(
            created.code == 1 && created.stderr.contains(told),
            "{told}: {created:?}"
        );
        program.assert_nothing_left("alone", &bundle);
    }
    // What shows at start only: a namespace without an interface, and the host's by its path.
    let own = "/proc/self/ns/net";
    for (bundle, told) in [
        (
            pong(),
            "the kernel needs network device service, and its network namespace has no interface",
        ),
        (
            pong().with(|config| join(config, own)),
            "the network namespace is this host's own",
        ),
    ] {
        let container = Container::new(&program, "alone", &bundle);
        assert_eq!(container.create().code, 0, "{told}");
        let started = program.call(&["start", "alone"]);
        assert!(
            started.code == 1 && started.stderr.contains(told),
            "{told}: {started:?}"
        );
        program.ok(&["delete", "alone"]);
        program.assert_nothing_left("alone", &bundle);
    }
    // Who needs none has none.
    let bundle = Bundle::unikernel("alone", "hello", "solo5", &["hello"]).with(host);
    let container = Container::new(&program, "alone", &bundle);
    container.start();
    assert_eq!(container.wait(), 0);
}
