//! Two pods on the node's network: the web unikernel in one, an ordinary container in the other.
//! `make soak` sends 16 MiB each way.

use std::net::{IpAddr, Ipv4Addr, SocketAddr, UdpSocket};
use std::time::Duration;

use sha2::{Digest, Sha256};

use crate::{Result, WEB, stopped, unikernel};
use harness::containerd::{self, ContainerSpec, Containerd, PodSpec, Server};
use harness::http::{checksum, pattern, transfer};
use harness::resolver::Resolver;
use harness::{self, images};

/// IPv4's header, and UDP's or ICMP's.
const HEADERS: usize = 20 + 8;

/// A unikernel's pod and an ordinary one, on a network with packets of `mtu` bytes.
fn between_two_pods(mtu: u16, test: fn(&Containerd, &Server, &Server) -> Result) -> Result {
    if containerd::cannot_start() || harness::cannot_boot() {
        return Ok(());
    }
    let containerd = Containerd::with_mtu(&harness::runu(), mtu)?;
    containerd.import(&images::unikernel(WEB)?)?;
    let before = containerd.census()?;
    let named = |name| PodSpec {
        name,
        ..Default::default()
    };
    let ordinary = containerd.serve(&named("ordinary"), &containerd::ordinary())?;
    let nameserver = ordinary.ip.to_string();
    let pod = PodSpec {
        nameservers: &[&nameserver],
        searches: &["pods.test"],
        ..named("web")
    };
    let web = containerd.serve(&pod, &unikernel(WEB, &[]))?;
    test(&containerd, &web, &ordinary)?;
    containerd.end_pod(&web.pod)?;
    containerd.end_pod(&ordinary.pod)?;
    containerd.assert_nothing_left_since(&before);
    Ok(())
}

#[test]
fn a_unikernel_serves_an_ordinary_container() -> Result {
    between_two_pods(1500, |containerd, web, ordinary| {
        // host-local's: of the node's subnet, and the guest knows it.
        assert_ne!(web.ip, ordinary.ip);
        let said = web.container.log("stdout")?;
        assert!(
            said.contains(&format!("address: {}/24\n", web.ip)),
            "{said}"
        );
        assert!(said.contains("MTU 1500\n"), "{said}");
        assert!(web.ip.to_string().starts_with("10.88.77."), "{}", web.ip);

        let (length, url) = (transfer(), format!("http://{}", web.ip));
        let shell = |script: &str| containerd.shell(&ordinary.container, script);
        assert_eq!(shell(&format!("wget -q -O - {url}/hostname"))?, "web\n");
        let sent = pattern(length);
        let said = shell(&format!(
            "wget -q -O /tmp/p {url}/pattern/{length}; sha256sum </tmp/p"
        ))?;
        assert_eq!(said, sha256(&sent));
        // busybox's wget posts texts only.
        let head = format!("POST /sum HTTP/1.1\\r\\nContent-Length: {length}\\r\\n\\r\\n");
        let post = format!(
            "{{ printf '{head}'; cat /tmp/p; }} | nc {} 80 | tail -n 1",
            web.ip
        );
        assert_eq!(shell(&post)?, checksum(&sent) + "\n");
        Ok(())
    })
}

#[test]
fn a_unikernel_is_an_ordinary_containers_client() -> Result {
    between_two_pods(1500, |containerd, web, ordinary| {
        let (length, url) = (transfer(), format!("http://{}:8080", ordinary.ip));
        let made = format!("head -c {length} /dev/urandom >/srv/page; sha256sum </srv/page");
        let page = containerd.shell(&ordinary.container, &made)?;
        stopped(containerd, &web.container, 0)?;
        let client = |name, words: &[&str]| -> Result<String> {
            let spec = unikernel(WEB, words);
            let container = containerd.run(&web.pod, &ContainerSpec { name, ..spec })?;
            let status = containerd.wait_exit(&container)?;
            let said = container.log("stdout")? + &container.log("stderr")?;
            assert_eq!(status.exit_code, 0, "{status:?}\n{said}");
            let line = said
                .lines()
                .find_map(|line| line.strip_prefix("fetched: status 200, "));
            Ok(line.ok_or(said.clone())?.to_owned())
        };
        // What came, by the guest's own checksum of it.
        let came = client("fetches", &[&format!("fetch={url}/page")])?;
        let path = format!(
            "/proc/{}/root/srv/page",
            containerd.pid(&ordinary.container)?
        );
        let bytes = std::fs::read(containerd.node().path(&path))?;
        assert_eq!(sha256(&bytes), page);
        assert_eq!(came, checksum(&bytes));
        // What went: the other one's checksum, of which the guest says its own.
        let (fetch, post) = (format!("fetch={url}/cgi-bin/sum"), format!("post={length}"));
        let came = client("posts", &[&fetch, &post])?;
        assert_eq!(came, checksum(sha256(&pattern(length)).as_bytes()));
        Ok(())
    })
}

#[test]
fn datagrams_names_and_pings_pass_between_pods() -> Result {
    between_two_pods(1500, |containerd, web, ordinary| {
        small_packets(containerd, web, ordinary, 1500)
    })
}

#[test]
fn large_packets_pass_where_the_network_has_them() -> Result {
    between_two_pods(9000, |containerd, web, ordinary| {
        let said = web.container.log("stdout")?;
        assert!(said.contains("MTU 9000\n"), "{said}");
        small_packets(containerd, web, ordinary, 9000)
    })
}

/// UDP and ICMP, with packets up to the MTU and none cut into fragments; and UDP that the
/// unikernel begins: it asks for names.
fn small_packets(containerd: &Containerd, web: &Server, ordinary: &Server, mtu: usize) -> Result {
    let pid = containerd.pid(&ordinary.container)?;
    let bind = |port| {
        containerd
            .node()
            .within_that_of(pid, || UdpSocket::bind((ordinary.ip, port)))
    };
    let fragments = "grep '^Ip:' /proc/net/snmp | awk 'NR == 1 { split($0, name) } \
        NR == 2 { for (i in name) if (name[i] ~ /Frag|Reasm/) sum += $i; print sum }'";
    let fragments = || containerd.shell(&ordinary.container, fragments);
    let before = fragments()?;
    let socket = bind(0)?;
    for length in [1, 512, mtu - HEADERS] {
        echoed(&socket, SocketAddr::new(web.ip, 7), &pattern(length))?;
    }
    for length in [56, mtu - HEADERS] {
        let ping = format!("ping -c 3 -W 5 -s {length} {}", web.ip);
        let said = containerd.shell(&ordinary.container, &ping)?;
        assert!(said.contains(" 0% packet loss"), "{said}");
    }
    assert_eq!(fragments()?, before);
    // The echo's port is for more than a packet.
    echoed(&socket, SocketAddr::new(web.ip, 7), &pattern(mtu))?;
    assert_ne!(fragments()?, before);

    let names = [("name.pods.test.", Ipv4Addr::new(192, 0, 2, 7))];
    let _resolver = Resolver::start(bind(53)?, &names)?;
    let asked = |name| {
        let script = format!("wget -q -O - http://{}/resolve/{name}", web.ip);
        containerd.shell(&ordinary.container, &script)
    };
    assert_eq!(asked("name")?, "192.0.2.7\n");
    assert_eq!(asked("name.pods.test")?, "192.0.2.7\n");
    let refused = asked("nobody").expect_err("a status of 502").to_string();
    assert!(refused.contains("502 Bad Gateway"), "{refused}");
    Ok(())
}

/// Sends a datagram until it comes back: one may be lost.
fn echoed(socket: &UdpSocket, to: SocketAddr, datagram: &[u8]) -> Result {
    socket.set_read_timeout(Some(Duration::from_secs(2)))?;
    let mut answer = vec![0; datagram.len() + 1];
    for _ in 0..5 {
        socket.send_to(datagram, to)?;
        if let Ok((length, from)) = socket.recv_from(&mut answer) {
            assert_eq!(from, to);
            assert!(
                &answer[..length] == datagram,
                "{length} bytes of {}",
                datagram.len()
            );
            return Ok(());
        }
    }
    Err(format!("{} bytes to {to}: no echo", datagram.len()).into())
}

/// A pod that is made again has an address of its own; a container that is made again in its
/// pod has the pod's.
#[test]
fn a_pod_and_its_container_are_made_again() -> Result {
    between_two_pods(1500, |containerd, web, ordinary| {
        let says = |ip: IpAddr| {
            let script = format!("timeout 5 wget -q -O - http://{ip}/hostname");
            containerd.shell(&ordinary.container, &script)
        };
        assert_eq!(says(web.ip)?, "web\n");
        stopped(containerd, &web.container, 0)?;
        assert!(says(web.ip).is_err());
        containerd.remove(&web.container)?;
        let again = containerd.run(&web.pod, &unikernel(WEB, &[]))?;
        again.wait_log("stdout", "ready\n")?;
        assert_eq!(says(web.ip)?, "web\n");

        containerd.end_pod(&web.pod)?;
        assert!(says(web.ip).is_err());
        let pod = PodSpec {
            name: "another",
            ..Default::default()
        };
        let another = containerd.serve(&pod, &unikernel(WEB, &[]))?;
        assert_eq!(says(another.ip)?, "another\n");
        Ok(containerd.end_pod(&another.pod)?)
    })
}

/// As sha256sum prints it of its input.
fn sha256(bytes: &[u8]) -> String {
    let hex = |byte: &u8| format!("{byte:02x}");
    let digest: String = Sha256::digest(bytes).iter().map(hex).collect();
    digest + "  -\n"
}
