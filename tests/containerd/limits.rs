//! What containerd reads and sets by the container's cgroup: the monitor is in it.

use std::path::Path;
use std::process::{Command, Stdio};

use crate::{MIB, Result, SLEEP, SPIN, unikernel};
use harness::containerd::{self, ContainerSpec, ContainerState, Containerd, PodSpec};
use harness::{self, images};

#[test]
fn metrics_and_limits_are_the_monitors() -> Result {
    if containerd::cannot_start() || harness::cannot_boot() {
        return Ok(());
    }
    let containerd = Containerd::start(&harness::runu())?;
    containerd.import(&images::unikernel(SPIN)?)?;
    let pod = containerd.run_pod(&PodSpec {
        name: "metrics",
        ..Default::default()
    })?;
    let guest = containerd.run(&pod, &unikernel(SPIN, &[]))?;
    guest.wait_log("stdout", "spinning")?;

    // Only the guest spins; the calls that made it took some hundredths of a second.
    const SECOND: u64 = 1_000_000_000;
    let used = containerd::poll(harness::program::TIMEOUT, || {
        let (cpu, memory) = containerd.usage(&guest).ok()?;
        (cpu > SECOND).then_some(memory)
    });
    let memory = used.expect("a second of CPU time");
    assert!(
        (MIB as u64 / 2..64 * MIB as u64).contains(&memory),
        "{memory}"
    );

    containerd.limit_memory(&guest, 96 * MIB)?;
    let cgroup = containerd.memory_cgroup(&guest)?;
    assert_eq!(limit(&cgroup), (96 * MIB).to_string());
    let refusal = containerd.limit_memory(&guest, 32 * MIB).unwrap_err();
    let words = "its guest has 55.5 MiB of memory";
    assert!(refusal.message().contains(words), "{refusal}");
    assert_eq!(limit(&cgroup), (96 * MIB).to_string());
    let status = containerd.status(&guest)?;
    assert_eq!(status.state(), ContainerState::Running, "{status:?}");

    containerd.remove_pod(&pod)?;
    Ok(())
}

/// v1 and v2 name the file otherwise.
fn limit(cgroup: &Path) -> String {
    let read = |name| std::fs::read_to_string(cgroup.join(name));
    let text = read("memory.limit_in_bytes").or_else(|_| read("memory.max"));
    text.unwrap_or_default().trim().to_owned()
}

#[test]
fn an_oom_kill_of_the_monitor_is_the_containers() -> Result {
    if containerd::cannot_start() || harness::cannot_boot() {
        return Ok(());
    }
    let containerd = Containerd::start(&harness::runu())?;
    containerd.import(&images::unikernel(SLEEP)?)?;
    let before = containerd.census()?;
    let pod = containerd.run_pod(&PodSpec {
        name: "oom",
        ..Default::default()
    })?;
    let spec = ContainerSpec {
        oom_score_adj: 1000,
        ..unikernel(SLEEP, &[])
    };
    let guest = containerd.run(&pod, &spec)?;
    guest.wait_log("stdout", "tick 1\n")?;

    // More than the cgroup has: the kernel ends the monitor first, and then this.
    let script = "echo $$ >\"$0/cgroup.procs\"; exec dd if=/dev/zero of=/dev/null bs=128M count=1";
    let hog = Command::new(containerd::BUSYBOX)
        .args(["sh", "-c", script])
        .arg(containerd.memory_cgroup(&guest)?)
        .stderr(Stdio::null())
        .status()?;
    assert!(!hog.success());
    let status = containerd.wait_exit(&guest)?;
    assert_eq!(status.exit_code, 137, "{status:?}");
    // The event and the exit come to containerd by two ways.
    let told = containerd::poll(harness::program::TIMEOUT, || {
        let status = containerd.status(&guest).ok()?;
        (status.reason == "OOMKilled").then_some(())
    });
    assert!(told.is_some(), "{:?}", containerd.status(&guest)?);

    containerd.remove_pod(&pod)?;
    containerd.assert_nothing_left_since(&before);
    Ok(())
}
