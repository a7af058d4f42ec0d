//! Many starts and stops in a row: what there is afterwards is what there was before.
//!
//! `RUNU_CHURN=N` makes it N of each kind (10 by default).

use crate::{Result, WEB, stopped, unikernel};
use harness::containerd::{self, Container, Containerd, Pod, PodSpec};
use harness::{self, images};

#[test]
fn pods_come_and_go() -> Result {
    if containerd::cannot_start() || harness::cannot_boot() {
        return Ok(());
    }
    let containerd = Containerd::start(&harness::runu())?;
    containerd.import(&images::unikernel(WEB)?)?;
    // What is made once and kept is there after the first.
    come_and_go(&containerd)?;
    let (census, tally) = (containerd.census()?, containerd.tally()?);
    for _ in 0..times()? {
        come_and_go(&containerd)?;
        containerd.assert_nothing_left_since(&census);
    }
    containerd.assert_no_more_than(&tally);
    Ok(())
}

/// A pod's network outlives its containers.
#[test]
fn a_unikernel_comes_and_goes_in_its_pod() -> Result {
    if containerd::cannot_start() || harness::cannot_boot() {
        return Ok(());
    }
    let containerd = Containerd::start(&harness::runu())?;
    containerd.import(&images::unikernel(WEB)?)?;
    let pod = new_pod(&containerd)?;
    let ordinary = containerd.run(&pod, &containerd::ordinary())?;
    ordinary.wait_log("stdout", "ready\n")?;
    let pid = containerd.pid(&ordinary)?;
    let network = || containerd.node().network_of(pid);
    // With its first qdisc an interface gets a length for its queue from the kernel, for good.
    start_and_stop(&containerd, &pod)?;
    let (census, tally, before) = (containerd.census()?, containerd.tally()?, network()?);
    for _ in 0..times()? {
        let guest = start(&containerd, &pod)?;
        assert_ne!(network()?, before);
        stop(&containerd, &guest)?;
        assert_eq!(network()?, before);
        containerd.assert_nothing_left_since(&census);
    }
    containerd.assert_no_more_than(&tally);
    Ok(())
}

fn times() -> Result<usize> {
    let times = std::env::var("RUNU_CHURN").unwrap_or("10".to_owned());
    let parsed = times.parse();
    Ok(parsed.map_err(|e| format!("RUNU_CHURN={times}: {e}"))?)
}

fn new_pod(containerd: &Containerd) -> Result<Pod> {
    let spec = PodSpec {
        name: "churn",
        ..Default::default()
    };
    Ok(containerd.run_pod(&spec)?)
}

fn come_and_go(containerd: &Containerd) -> Result {
    let pod = new_pod(containerd)?;
    start_and_stop(containerd, &pod)?;
    containerd.stop_pod(&pod)?;
    containerd.remove_pod(&pod)?;
    Ok(())
}

fn start_and_stop(containerd: &Containerd, pod: &Pod) -> Result {
    let guest = start(containerd, pod)?;
    stop(containerd, &guest)
}

fn stop(containerd: &Containerd, guest: &Container) -> Result {
    stopped(containerd, guest, 0)?;
    Ok(containerd.remove(guest)?)
}

/// Runs a unikernel that has the pod's network.
fn start(containerd: &Containerd, pod: &Pod) -> Result<Container> {
    let guest = containerd.run(pod, &unikernel(WEB, &[]))?;
    let said = guest.wait_log("stdout", "ready\n")?;
    assert!(said.contains("address: 10.88.77."), "{said}");
    Ok(guest)
}
