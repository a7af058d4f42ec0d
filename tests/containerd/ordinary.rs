//! Ordinary containers: with runu they are as they are with runc.

use crate::{MIB, Result, sidecar, stopped};
use harness::containerd::{self, ContainerSpec, Containerd, PodSpec};

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

/// The other tests' "nothing is left" is worth as much as this.
#[test]
fn the_census_sees_what_a_running_pod_has() -> Result {
    if containerd::cannot_start() {
        return Ok(());
    }
    let containerd = Containerd::start(&harness::runu())?;
    let (before, tally) = (containerd.census()?, containerd.tally()?);
    let pod = containerd.run_pod(&PodSpec {
        name: "counted",
        ..Default::default()
    })?;
    let sidecar = containerd.run(&pod, &sidecar())?;
    // A process that is only just started still has runc's name.
    sidecar.wait_log("stdout", "hello from the sidecar")?;

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
    let more = containerd.tally()?.more_than(&tally);
    for kind in ["files in /run", "bytes of the pods' memory"] {
        assert!(more.iter().any(|line| line.starts_with(kind)), "{more:#?}");
    }
    containerd.remove_pod(&pod)?;
    containerd.assert_nothing_left_since(&before);
    Ok(())
}
