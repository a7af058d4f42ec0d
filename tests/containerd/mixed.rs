//! The scenario: a sidecar and a unikernel in one pod, through all its ends.

use crate::{EXIT, Result, SLEEP, sidecar, stopped, unikernel};
use harness::containerd::{
    self, Container, ContainerSpec, ContainerState, Containerd, Pod, PodSandboxState, PodSpec,
};
use harness::{self, images};

/// A pod of a sidecar and a unikernel, both running.
struct Mixed {
    pod: Pod,
    sidecar: Container,
    unikernel: Container,
}

/// The four ways to end a pod; the kubelet's is the first.
#[derive(Clone, Copy, Debug)]
enum Ending {
    UnikernelThenSidecar,
    SidecarThenUnikernel,
    PodFirst,
    RemoveWhatRuns,
}

const ENDINGS: [Ending; 4] = [
    Ending::UnikernelThenSidecar,
    Ending::SidecarThenUnikernel,
    Ending::PodFirst,
    Ending::RemoveWhatRuns,
];

#[test]
fn a_sidecar_and_a_unikernel_in_one_pod() -> Result {
    if containerd::cannot_start() || harness::cannot_boot() {
        return Ok(());
    }
    let mut containerd = Containerd::start(&harness::runu())?;
    for guest in [SLEEP, EXIT] {
        containerd.import(&images::unikernel(guest)?)?;
    }
    let before = containerd.census()?;
    for round in 0..rounds()? {
        // Every second round containerd dies in the middle; eight rounds meet
        // every ending with and without that.
        let dies = round % 2 == 1;
        let ending = ENDINGS[(round + round / 4) % 4];
        println!("round {round}: {ending:?}, containerd dies: {dies}");
        let mixed = run_mixed(&containerd, false)?;
        a_unikernels_exit_code_arrives(&containerd, &mixed.pod)?;
        if dies {
            containerd.kill_and_restart()?;
        }
        both_run(&containerd, &mixed)?;
        end(&containerd, &mixed, ending)?;
        containerd.assert_nothing_left_since(&before);
    }
    Ok(())
}

/// How often the scenario runs.
fn rounds() -> Result<usize> {
    let rounds = std::env::var("RUNU_SOAK").unwrap_or("2".to_owned());
    match rounds.parse() {
        Ok(rounds) if rounds > 0 => Ok(rounds),
        _ => Err(format!("RUNU_SOAK={rounds}: not a number of rounds").into()),
    }
}

#[test]
fn an_exit_while_containerd_is_down_arrives() -> Result {
    if containerd::cannot_start() || harness::cannot_boot() {
        return Ok(());
    }
    let mut containerd = Containerd::start(&harness::runu())?;
    containerd.import(&images::unikernel(SLEEP)?)?;
    let before = containerd.census()?;

    let mixed = run_mixed(&containerd, false)?;
    mixed.sidecar.wait_log("stdout", "hello from the sidecar")?;
    let pids = [
        containerd.pid(&mixed.sidecar)?,
        containerd.pid(&mixed.unikernel)?,
    ];
    containerd.kill()?;
    for pid in pids {
        // Gone before containerd is back: the CRI plugin of 1.6 loses an exit in the moment
        // between asking for a container's status and knowing the container again.
        containerd.node().end(pid, "TERM")?;
    }
    containerd.restart()?;
    assert_eq!(containerd.wait_exit(&mixed.sidecar)?.exit_code, 3);
    assert_eq!(containerd.wait_exit(&mixed.unikernel)?.exit_code, 128 + 15);

    containerd.stop_pod(&mixed.pod)?;
    containerd.remove_pod(&mixed.pod)?;
    containerd.assert_nothing_left_since(&before);
    Ok(())
}

/// `shareProcessNamespace: true` in a pod's spec.
#[test]
fn a_pod_with_one_pid_namespace() -> Result {
    if containerd::cannot_start() || harness::cannot_boot() {
        return Ok(());
    }
    let containerd = Containerd::start(&harness::runu())?;
    containerd.import(&images::unikernel(SLEEP)?)?;
    let before = containerd.census()?;
    for ending in ENDINGS {
        let mixed = run_mixed(&containerd, true)?;
        both_run(&containerd, &mixed)?;
        end(&containerd, &mixed, ending)?;
        containerd.assert_nothing_left_since(&before);
    }
    Ok(())
}

fn run_mixed(containerd: &Containerd, share_pids: bool) -> Result<Mixed> {
    let pod = containerd.run_pod(&PodSpec {
        name: "mixed",
        // A pod has one address: the first unikernel's.
        annotations: &[("runu.dev/network.exits", "none")],
        share_pids,
        ..Default::default()
    })?;
    let sidecar = containerd.run(&pod, &sidecar())?;
    let unikernel = containerd.run(&pod, &unikernel(SLEEP, &[]))?;
    Ok(Mixed {
        pod,
        sidecar,
        unikernel,
    })
}

fn both_run(containerd: &Containerd, mixed: &Mixed) -> Result {
    let (state, ip) = containerd.pod_status(&mixed.pod)?;
    assert_eq!(state, PodSandboxState::Ready);
    assert!(ip.starts_with("10.88.77."), "the pod's address: {ip:?}");

    mixed.sidecar.wait_log("stdout", "hello from the sidecar")?;
    // One tick from now on: a log goes on after containerd's death.
    let ticks = mixed.unikernel.log("stdout")?.lines().count();
    let next = format!("tick {}\n", ticks + 1);
    mixed.unikernel.wait_log("stdout", &next)?;
    for container in [&mixed.sidecar, &mixed.unikernel] {
        let status = containerd.status(container)?;
        assert_eq!(status.state(), ContainerState::Running, "{status:?}");
    }

    let script = "kill -USR1 $(cat /tmp/pid); echo here; exit 5";
    let answer = containerd.exec(&mixed.sidecar, &["sh", "-c", script])?;
    assert_eq!(answer.stdout, b"here\n");
    assert_eq!(answer.exit_code, 5);
    assert_eq!(answer.stderr, b"");
    mixed.sidecar.wait_log("stdout", "still here")?;

    let refusal = containerd
        .exec(&mixed.unikernel, &["sh"])
        .expect_err("a unikernel has no programs to exec");
    assert!(refusal.message().contains("unikernel"), "{refusal}");
    // The refused exec has not touched the guest.
    let status = containerd.status(&mixed.unikernel)?;
    assert_eq!(status.state(), ContainerState::Running, "{status:?}");
    Ok(())
}

fn a_unikernels_exit_code_arrives(containerd: &Containerd, pod: &Pod) -> Result {
    let container = containerd.run(
        pod,
        &ContainerSpec {
            name: "exits",
            ..unikernel(EXIT, &["exit=7"])
        },
    )?;
    let status = containerd.wait_exit(&container)?;
    assert_eq!(status.exit_code, 7, "{status:?}");
    containerd.remove(&container)?;
    Ok(())
}

fn end(containerd: &Containerd, mixed: &Mixed, ending: Ending) -> Result {
    let Mixed {
        pod,
        sidecar,
        unikernel,
    } = mixed;
    match ending {
        Ending::UnikernelThenSidecar => {
            stopped(containerd, unikernel, 128 + 15)?;
            stopped(containerd, sidecar, 3)?;
            containerd.stop_pod(pod)?;
            containerd.remove(unikernel)?;
            containerd.remove(sidecar)?;
        }
        Ending::SidecarThenUnikernel => {
            stopped(containerd, sidecar, 3)?;
            containerd.remove(sidecar)?;
            stopped(containerd, unikernel, 128 + 15)?;
            containerd.remove(unikernel)?;
            containerd.stop_pod(pod)?;
        }
        Ending::PodFirst => {
            containerd.stop_pod(pod)?;
            for container in [sidecar, unikernel] {
                let status = containerd.wait_exit(container)?;
                assert_ne!(status.exit_code, 0, "{status:?}");
            }
            containerd.remove(unikernel)?;
        }
        Ending::RemoveWhatRuns => containerd.remove(unikernel)?,
    }
    // Twice is once, and what is left in the pod goes with it.
    containerd.stop_pod(pod)?;
    containerd.remove_pod(pod)?;
    Ok(())
}
