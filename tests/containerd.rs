//! runu under containerd, as the default runtime of a private one, spoken to
//! over CRI as a kubelet does.
//!
//! `RUNU_SOAK=N` runs the scenario N times in a row (2 by default);
//! `RUNU_TEST_BIN` names another binary to test.

mod harness;

use harness::containerd::{
    self, Container, ContainerSpec, ContainerState, Containerd, Pod, PodSandboxState, PodSpec,
};
use harness::images::{self, Guest};

/// Says a line at the start and at each SIGUSR1, ends with 3 when it is asked to.
const SIDECAR: &str = "trap 'echo asked to stop; exit 3' TERM
trap 'echo still here' USR1
echo $$ >/tmp/pid
echo hello from the sidecar
while :; do sleep 0.05; done";

const MIB: i64 = 1 << 20;

/// The guests that the tests run, as `fixtures/bin` names them.
/// `sleep` says `tick N` once a second.
const SLEEP: Guest = ("sleep", "linux64");
const SPIN: Guest = ("spin", "linux64");
const EXIT: Guest = ("exit", "pvh");
const HELLO: Guest = ("hello", "multiboot1");

type Result<T = ()> = std::result::Result<T, Box<dyn std::error::Error>>;

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

fn run_mixed(containerd: &Containerd, share_pids: bool) -> Result<Mixed> {
    let pod = containerd.run_pod(&PodSpec {
        name: "mixed",
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

/// Stops a container, twice; it must have ended with `exit_code`.
fn stopped(containerd: &Containerd, container: &Container, exit_code: i32) -> Result {
    containerd.stop(container)?;
    containerd.stop(container)?;
    let status = containerd.status(container)?;
    assert_eq!(status.state(), ContainerState::Exited, "{status:?}");
    assert_eq!(status.exit_code, exit_code, "{status:?}");
    Ok(())
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
        containerd.signal(pid, "TERM")?;
    }
    containerd.restart()?;
    assert_eq!(containerd.wait_exit(&mixed.sidecar)?.exit_code, 3);
    assert_eq!(containerd.wait_exit(&mixed.unikernel)?.exit_code, 128 + 15);

    containerd.stop_pod(&mixed.pod)?;
    containerd.remove_pod(&mixed.pod)?;
    containerd.assert_nothing_left_since(&before);
    Ok(())
}

#[test]
fn a_guests_lines_and_its_command_line() -> Result {
    if containerd::cannot_start() || harness::cannot_boot() {
        return Ok(());
    }
    let containerd = Containerd::start(&harness::runu())?;
    containerd.import(&images::unikernel(HELLO)?)?;
    let pod = containerd.run_pod(&PodSpec {
        name: "hello",
        ..Default::default()
    })?;
    let guest = containerd.run(&pod, &unikernel(HELLO, &["one", "two=3"]))?;
    let status = containerd.wait_exit(&guest)?;
    let said = guest.log("stdout")?;
    assert_eq!(status.exit_code, 0, "{status:?}\n{said}");
    assert!(said.contains("hello from a unikernel"), "{said}");
    assert!(said.contains("cmdline: one two=3"), "{said}");
    Ok(())
}

/// `shareProcessNamespace: true` in a pod's spec.
#[test]
#[ignore = "libcontainer 0.7 on cgroup v1 looks its pid of the inner namespace up in the outer /proc"]
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

/// Pod-wide annotations reach every container of the pod; the key with a
/// container's name is for that one alone.
#[test]
fn annotations_pick_the_mode_of_one_container() -> Result {
    if containerd::cannot_start() || harness::cannot_boot() {
        return Ok(());
    }
    let containerd = Containerd::start(&harness::runu())?;
    containerd.import(&images::unikernel(SPIN)?)?;
    let before = containerd.census()?;
    let pod = containerd.run_pod(&PodSpec {
        name: "annotated",
        annotations: &[
            ("runu.dev/mode.guest", "unikernel"),
            ("runu.dev/mode.plain", "container"),
            ("runu.dev/mode.wrong", "unikernel"),
        ],
        ..Default::default()
    })?;

    let named = |name, spec| ContainerSpec { name, ..spec };
    let guest = containerd.run(&pod, &named("guest", unikernel(SPIN, &[])))?;
    guest.wait_log("stdout", "spinning")?;
    let plain = containerd.run(&pod, &named("plain", sidecar()))?;
    plain.wait_log("stdout", "hello from the sidecar")?;
    // Not named by any annotation.
    let other = containerd.run(&pod, &named("other", sidecar()))?;
    other.wait_log("stdout", "hello from the sidecar")?;

    // A sign that cannot be honoured is an error, never a container.
    let wrong = containerd.create(&pod, &named("wrong", sidecar()))?;
    let refusal = containerd
        .start_container(&wrong)
        .expect_err("busybox's image has no kernel");
    assert!(refusal.message().contains("kernel"), "{refusal}");
    assert_eq!(wrong.log("stdout").unwrap_or_default(), "");

    containerd.stop_pod(&pod)?;
    containerd.remove_pod(&pod)?;
    containerd.assert_nothing_left_since(&before);
    Ok(())
}

/// The other tests' "nothing is left" is worth as much as this.
#[test]
fn the_census_sees_what_a_running_pod_has() -> Result {
    if containerd::cannot_start() {
        return Ok(());
    }
    let containerd = Containerd::start(&harness::runu())?;
    let before = containerd.census()?;
    let pod = containerd.run_pod(&PodSpec {
        name: "counted",
        ..Default::default()
    })?;
    containerd.run(&pod, &sidecar())?;

    let more = containerd.census()?.since(&before);
    for kind in [
        "process containerd-shim",
        "process sh ",
        "mount ",
        "network device veth",
        "cgroup ",
        "state ",
    ] {
        assert!(more.iter().any(|line| line.starts_with(kind)), "{more:#?}");
    }
    containerd.remove_pod(&pod)?;
    containerd.assert_nothing_left_since(&before);
    Ok(())
}

#[test]
fn an_ordinary_pod_is_as_it_is_under_runc() -> Result {
    if containerd::cannot_start() {
        return Ok(());
    }
    let mut containerd = Containerd::start(&harness::runu())?;
    let before = containerd.census()?;
    for restart in [false, true] {
        let runc = ordinary_pod(&mut containerd, "runc", restart)?;
        let runu = ordinary_pod(&mut containerd, "", restart)?;
        assert_same_lines(&runu, &runc);
        containerd.assert_nothing_left_since(&before);
    }
    Ok(())
}

fn assert_same_lines(runu: &str, runc: &str) {
    let different: Vec<_> = runu
        .lines()
        .zip(runc.lines())
        .filter(|(runu, runc)| runu != runc)
        .map(|(runu, runc)| format!("runu: {runu}\nrunc: {runc}"))
        .collect();
    assert!(different.is_empty(), "{}", different.join("\n"));
    assert_eq!(runu.lines().count(), runc.lines().count());
}

/// What a container can see of how it was made. Devices and numbers that
/// differ from pod to pod are left out.
const LOOK_AROUND: &str = "id; hostname; pwd; env | sort
grep -E '^(Cap|NoNewPrivs|Seccomp|Groups|Cpus_allowed)' /proc/self/status
cut -d' ' -f4-6 /proc/self/mountinfo; cut -d: -f2- /proc/self/cgroup
cat /proc/self/limits /proc/self/oom_score_adj; ls /dev /proc/self/fd; ls /sys/class/net
cat /sys/fs/cgroup/memory/memory.limit_in_bytes /sys/fs/cgroup/memory.max 2>/dev/null
echo on stderr >&2";

/// A pod of ordinary containers from start to end, and all that is seen of it.
fn ordinary_pod(
    containerd: &mut Containerd,
    runtime_handler: &str,
    restart: bool,
) -> Result<String> {
    let pod = containerd.run_pod(&PodSpec {
        name: "ordinary",
        runtime_handler,
        ..Default::default()
    })?;
    let shell = |name, script| ContainerSpec {
        name,
        command: &["sh", "-c"],
        args: script,
        ..Default::default()
    };
    let sidecar = containerd.run(&pod, &sidecar())?;
    let look = containerd.run(
        &pod,
        &ContainerSpec {
            memory_limit: 64 * MIB,
            ..shell("look", &[LOOK_AROUND])
        },
    )?;
    let fails = containerd.run(&pod, &shell("fails", &["echo no; exit 9"]))?;
    let absent = containerd.create(
        &pod,
        &ContainerSpec {
            name: "absent",
            command: &["/no/such/program"],
            ..Default::default()
        },
    )?;

    let mut seen = Vec::new();
    let refusal = containerd.start_container(&absent).unwrap_err();
    seen.push(format!("absent: {refusal}"));
    for container in [&look, &fails, &absent] {
        let status = containerd.wait_exit(container)?;
        seen.push(format!(
            "{} {} {}",
            status.exit_code, status.reason, status.message
        ));
    }
    for container in [&look, &fails] {
        seen.push(container.log("stdout")?);
        seen.push(container.log("stderr")?);
    }
    sidecar.wait_log("stdout", "hello from the sidecar")?;
    if restart {
        containerd.kill_and_restart()?;
    }
    for command in [&["sh", "-c", LOOK_AROUND][..], &["false"], &["/no/such"]] {
        seen.push(match containerd.exec(&sidecar, command) {
            Ok(answer) => format!(
                "{} {} {}",
                answer.exit_code,
                String::from_utf8_lossy(&answer.stdout),
                String::from_utf8_lossy(&answer.stderr)
            ),
            Err(refusal) => refusal.to_string(),
        });
    }
    stopped(containerd, &sidecar, 3)?;
    seen.push(sidecar.log("stdout")?);
    containerd.remove(&sidecar)?;
    containerd.stop_pod(&pod)?;
    containerd.remove_pod(&pod)?;

    Ok(without_ids(&seen.join("\n")))
}

/// containerd's IDs, of pods, containers and execs, are 64 hexadecimal digits.
fn without_ids(text: &str) -> String {
    let words = text.split_inclusive(|c: char| !c.is_ascii_hexdigit());
    let is_id = |word: &str| {
        word.trim_end_matches(|c: char| !c.is_ascii_hexdigit())
            .len()
            == 64
    };
    words
        .map(|word| match is_id(word) {
            true => format!("<id>{}", word.get(64..).unwrap_or("")),
            false => word.to_owned(),
        })
        .collect()
}

fn sidecar() -> ContainerSpec<'static> {
    ContainerSpec {
        name: "sidecar",
        command: &["sh", "-c"],
        args: &[SIDECAR],
        ..Default::default()
    }
}

fn unikernel<'a>(guest: Guest, args: &'a [&'a str]) -> ContainerSpec<'a> {
    ContainerSpec {
        name: "unikernel",
        image: images::unikernel_name(guest),
        args,
        memory_limit: 64 * MIB,
        ..Default::default()
    }
}

fn rounds() -> Result<usize> {
    match std::env::var("RUNU_SOAK") {
        Ok(rounds) => Ok(rounds
            .parse()
            .map_err(|e| format!("RUNU_SOAK={rounds}: {e}"))?),
        Err(_) => Ok(2),
    }
}
