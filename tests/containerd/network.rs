//! A unikernel at its pod's address, by CNI's bridge plugin: another pod's ordinary container
//! speaks with it.

use std::time::Duration;

use crate::{Result, WEB, sidecar, unikernel};
use harness::containerd::{
    self, Container, ContainerSpec, ContainerState, Containerd, Pod, PodSpec, poll,
};
use harness::{self, images};

/// What busybox says in an ordinary container.
fn sh(containerd: &Containerd, client: &Container, script: &str) -> Result<String> {
    let done = containerd.exec(client, &["sh", "-c", script])?;
    let said = String::from_utf8_lossy(&done.stdout).into_owned();
    match done.exit_code {
        0 => Ok(said),
        code => {
            let told = String::from_utf8_lossy(&done.stderr);
            Err(format!("{script}: {code}: {said}{told}").into())
        }
    }
}

fn serve(containerd: &Containerd, pod: &Pod, name: &str) -> Result<Container> {
    let server = ContainerSpec {
        name,
        ..unikernel(WEB, &["web"])
    };
    Ok(containerd.run(pod, &server)?)
}

/// A call that prints a page, with what HTTP says before it: busybox's static wget crashes.
fn get(ip: &str, path: &str) -> String {
    format!("printf 'GET {path} HTTP/1.0\\r\\n\\r\\n' | timeout 20 nc {ip} 80")
}

/// Waits until the server says its name.
fn name(containerd: &Containerd, client: &Container, ip: &str) -> Result<String> {
    let script = get(ip, "/hostname");
    let ask = || sh(containerd, client, &script).ok();
    let answer = poll(Duration::from_secs(60), || {
        ask().filter(|answer| answer.contains(" 200 "))
    });
    let answer = answer.ok_or_else(|| format!("{:?}", sh(containerd, client, &script)))?;
    Ok(answer.lines().last().unwrap_or_default().to_owned())
}

#[test]
fn an_ordinary_container_of_another_pod_speaks_with_a_unikernel() -> Result {
    if containerd::cannot_start() || harness::cannot_boot() {
        return Ok(());
    }
    let containerd = Containerd::start(&harness::runu())?;
    containerd.import(&images::unikernel(WEB)?)?;
    let before = containerd.census()?;
    let annotations = [("runu.dev/family", "unikraft")];
    let here = containerd.run_pod(&PodSpec {
        name: "server",
        annotations: &annotations,
        ..Default::default()
    })?;
    let there = containerd.run_pod(&PodSpec {
        name: "client",
        ..Default::default()
    })?;
    let client = containerd.run(&there, &sidecar())?;
    let (_, ip) = containerd.pod_status(&here)?;
    let server = serve(&containerd, &here, "web")?;
    let named = name(&containerd, &client, &ip)?;
    assert!(!named.is_empty(), "{}", server.log("stdout")?);
    sh(&containerd, &client, &format!("ping -c 1 -W 5 {ip}"))?;
    let count = get(&ip, "/pattern/100000") + " | tail -c +200 | wc -c";
    let count: u32 = sh(&containerd, &client, &count)?.trim().parse()?;
    assert!((99_800..100_000).contains(&count), "{count}");

    // Another container in the same pod takes its place.
    let pid = containerd.pid(&server)?;
    containerd.node().end(pid, "KILL")?;
    assert_eq!(containerd.wait_exit(&server)?.exit_code, 128 + 9);
    assert_eq!(containerd.status(&server)?.state(), ContainerState::Exited);
    let again = serve(&containerd, &here, "again")?;
    assert_eq!(name(&containerd, &client, &ip)?, named);

    containerd.stop(&again)?;
    containerd.stop(&client)?;
    for pod in [&here, &there] {
        containerd.stop_pod(pod)?;
        containerd.remove_pod(pod)?;
    }
    containerd.assert_nothing_left_since(&before);
    Ok(())
}
