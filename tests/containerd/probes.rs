//! A unikernel's health, asked for as the kubelet does: from the node, at the pod's address.

use std::io;
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

use crate::{Result, WEB, stopped, unikernel};
use harness::containerd::{self, Container, Containerd, PodSpec};
use harness::{self, http, images};

/// A probe's `timeoutSeconds`.
const TIMEOUT: Duration = Duration::from_secs(5);

#[test]
fn probes_find_what_the_guest_does() -> Result {
    if containerd::cannot_start() || harness::cannot_boot() {
        return Ok(());
    }
    let containerd = Containerd::start(&harness::runu())?;
    containerd.import(&images::unikernel(WEB)?)?;
    let pod = containerd.run_pod(&PodSpec {
        name: "probed",
        ..Default::default()
    })?;
    let ip = containerd.pod_status(&pod)?.1.parse()?;
    let (port, wrong) = (SocketAddr::new(ip, 80), SocketAddr::new(ip, 81));
    // Nobody is there yet.
    assert!(tcp(&containerd, port).is_err());

    let guest = containerd.run(&pod, &unikernel(WEB, &[]))?;
    guest.wait_log("stdout", "ready\n")?;
    tcp(&containerd, port)?;
    assert!(tcp(&containerd, wrong).is_err());
    assert_eq!(get(&containerd, port, "/hostname")?, 200);
    assert_eq!(get(&containerd, port, "/not-here")?, 404);

    // It has hung.
    task(&containerd, "pause", &guest)?;
    assert!(tcp(&containerd, port).is_err());
    assert!(get(&containerd, port, "/hostname").is_err());
    task(&containerd, "resume", &guest)?;
    assert_eq!(get(&containerd, port, "/hostname")?, 200);

    stopped(&containerd, &guest, 0)?;
    assert!(tcp(&containerd, port).is_err());
    containerd.remove(&guest)?;
    let again = containerd.run(&pod, &unikernel(WEB, &[]))?;
    again.wait_log("stdout", "ready\n")?;
    tcp(&containerd, port)?;
    assert_eq!(get(&containerd, port, "/hostname")?, 200);
    Ok(())
}

/// `tcpSocket`.
fn tcp(containerd: &Containerd, port: SocketAddr) -> io::Result<()> {
    let connect = || TcpStream::connect_timeout(&port, TIMEOUT);
    containerd.node().within(connect).map(drop)
}

/// `httpGet`: gives the status, of which 200 to 399 are good.
fn get(containerd: &Containerd, port: SocketAddr, path: &str) -> io::Result<u16> {
    let get = || http::get(port, path, TIMEOUT);
    Ok(containerd.node().within(get)?.status)
}

/// `ctr tasks VERB`.
fn task(containerd: &Containerd, verb: &str, container: &Container) -> Result {
    containerd.ask_ctr("k8s.io", &["tasks", verb, &container.id])?;
    Ok(())
}
