//! What CRI sees of both kinds alike: exit codes, a pause, a terminal.

use std::fs;
use std::time::Duration;

use crate::{EXIT, Result, SLEEP, unikernel};
use harness::containerd::{self, Container, ContainerSpec, Containerd, Pod, PodSpec};
use harness::{self, images};

/// An ordinary container that does as the guest `sleep` does.
const TICKS: &str = "tty; i=0; while :; do i=$((i + 1)); echo tick $i; sleep 0.2; done";

fn ordinary<'a>(script: &'a [&'a str]) -> ContainerSpec<'a> {
    ContainerSpec {
        name: "ordinary",
        command: &["sh", "-c"],
        args: script,
        ..Default::default()
    }
}

/// Both kinds, saying `tick N` for ever.
fn ticking() -> [ContainerSpec<'static>; 2] {
    [ordinary(&[TICKS]), unikernel(SLEEP, &[])]
}

/// A pod of its own for a test that leaves nothing behind; nothing is run where it
/// cannot run.
fn in_a_pod(test: fn(&Containerd, &Pod) -> Result) -> Result {
    if containerd::cannot_start() || harness::cannot_boot() {
        return Ok(());
    }
    let containerd = Containerd::start(&harness::runu())?;
    for guest in [SLEEP, EXIT] {
        containerd.import(&images::unikernel(guest)?)?;
    }
    let before = containerd.census()?;
    let pod = containerd.run_pod(&PodSpec {
        name: "ends",
        ..Default::default()
    })?;
    test(&containerd, &pod)?;
    containerd.stop_pod(&pod)?;
    containerd.remove_pod(&pod)?;
    containerd.assert_nothing_left_since(&before);
    Ok(())
}

#[test]
fn exit_codes_arrive() -> Result {
    in_a_pod(|containerd, pod| {
        let ends = [
            (ordinary(&["exit 0"]), 0),
            (unikernel(EXIT, &["exit=0"]), 0),
            (ordinary(&["exit 3"]), 3),
            (unikernel(EXIT, &["exit=3"]), 3),
        ];
        for (spec, exit_code) in &ends {
            let container = containerd.run(pod, spec)?;
            let status = containerd.wait_exit(&container)?;
            assert_eq!(status.exit_code, *exit_code, "{status:?}");
            let reason = if *exit_code == 0 {
                "Completed"
            } else {
                "Error"
            };
            assert_eq!(status.reason, reason, "{status:?}");
            containerd.remove(&container)?;
        }
        for spec in &ticking() {
            let container = containerd.run(pod, spec)?;
            container.wait_log("stdout", "tick 1\n")?;
            containerd
                .node()
                .signal(containerd.pid(&container)?, "KILL")?;
            let status = containerd.wait_exit(&container)?;
            assert_eq!(status.exit_code, 128 + 9, "{status:?}");
            containerd.remove(&container)?;
        }
        Ok(())
    })
}

/// CRI has no pause; containerd's own client has.
#[test]
fn a_pause_stops_a_container_and_no_other() -> Result {
    in_a_pod(|containerd, pod| {
        let [ordinary, unikernel] = ticking();
        let both = [
            containerd.run(pod, &ordinary)?,
            containerd.run(pod, &unikernel)?,
        ];
        for (paused, other) in [(&both[0], &both[1]), (&both[1], &both[0])] {
            goes_on(paused)?;
            task(containerd, "pause", paused)?;
            std::thread::sleep(Duration::from_millis(100)); // what is on its way
            let then = paused.log("stdout")?;
            goes_on(other)?;
            goes_on(other)?;
            assert_eq!(paused.log("stdout")?, then);
            task(containerd, "resume", paused)?;
            goes_on(paused)?;
        }
        Ok(())
    })
}

#[test]
fn a_terminal_is_logged() -> Result {
    in_a_pod(|containerd, pod| {
        for spec in ticking() {
            let container = containerd.run(pod, &ContainerSpec { tty: true, ..spec })?;
            container.wait_log("stdout", "tick 2")?;
            // A container's stdio is a pty of its own mount namespace's.
            let process = format!("/proc/{}/fd", containerd.pid(&container)?);
            let descriptors = fs::read_dir(containerd.node().path(&process))?;
            let terminals = descriptors
                .filter_map(|entry| fs::read_link(entry.ok()?.path()).ok())
                .filter(|target| target.starts_with("/dev/pts"));
            assert!(terminals.count() > 0, "{} has no terminal", container.id);
            containerd.remove(&container)?;
        }
        Ok(())
    })
}

/// Waits for the next tick.
fn goes_on(container: &Container) -> Result {
    let ticks = container.log("stdout")?.matches("tick").count();
    container.wait_log("stdout", &format!("tick {}\n", ticks + 1))?;
    Ok(())
}

/// `ctr tasks VERB`, as an administrator would on a node.
fn task(containerd: &Containerd, verb: &str, container: &Container) -> Result {
    let mut ctr = containerd.ctr("k8s.io");
    let output = ctr.args(["tasks", verb, &container.id]).output()?;
    assert!(output.status.success(), "{output:?}");
    Ok(())
}
