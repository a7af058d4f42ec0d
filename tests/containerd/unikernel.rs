//! What a pod's spec says to one unikernel.

use crate::{HELLO, Result, SPIN, sidecar, unikernel};
use harness::containerd::{self, ContainerSpec, Containerd, PodSpec};
use harness::{self, images};

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

/// containerd's shim is the parent of what serves the guest's files, and sees to its end.
#[test]
fn a_pod_with_virtiofsd_leaves_nothing() -> Result {
    if containerd::cannot_start() || harness::cannot_boot() || harness::no_virtiofsd() {
        return Ok(());
    }
    let containerd = Containerd::start(&harness::runu())?;
    containerd.import(&images::unikernel(SPIN)?)?;
    let before = containerd.census()?;
    let pod = containerd.run_pod(&PodSpec {
        name: "served",
        annotations: &[("runu.dev/rootfs", "virtiofs")],
        ..Default::default()
    })?;
    let guest = containerd.run(&pod, &unikernel(SPIN, &[]))?;
    guest.wait_log("stdout", "spinning")?;
    containerd.stop_pod(&pod)?;
    containerd.remove_pod(&pod)?;
    containerd.assert_nothing_left_since(&before);
    Ok(())
}
