//! What a pod's image is by its media types alone: containerd is asked.

use crate::{HELLO, Result, sidecar};
use harness::containerd::{self, ContainerSpec, Containerd, PodSpec};
use harness::{self, images};

/// No annotation of the pod's or of the image's says anything.
fn artifact() -> ContainerSpec<'static> {
    ContainerSpec {
        name: "artifact",
        image: images::ARTIFACT.to_owned(),
        ..Default::default()
    }
}

#[test]
fn an_artifact_type_makes_a_unikernel_and_a_sites_policy_a_container() -> Result {
    if containerd::cannot_start() || harness::cannot_boot() {
        return Ok(());
    }
    let mut containerd = Containerd::start(&harness::runu())?;
    containerd.import(&images::artifact(HELLO)?)?;
    let before = containerd.census()?;
    for (policy, says) in [
        (None, "hello from a unikernel"),
        (Some("containers-anyway"), "an ordinary container"),
    ] {
        if let Some(name) = policy {
            let examples = harness::repository().join("policy/examples");
            containerd.use_policy(&examples.join(format!("{name}.toml")))?;
        }
        let pod = containerd.run_pod(&PodSpec {
            name: "artifact",
            ..Default::default()
        })?;
        // Twice: the second time the answer is kept already.
        for name in ["first", "second"] {
            let spec = ContainerSpec { name, ..artifact() };
            let container = containerd.run(&pod, &spec)?;
            let status = containerd.wait_exit(&container)?;
            let said = container.log("stdout")?;
            assert_eq!(status.exit_code, 0, "{status:?}\n{said}");
            assert!(said.contains(says), "{said}");
        }
        // The pod's other containers are what their own image is.
        let sidecar = containerd.run(&pod, &sidecar())?;
        sidecar.wait_log("stdout", "hello from the sidecar")?;
        containerd.stop_pod(&pod)?;
        containerd.remove_pod(&pod)?;
    }
    containerd.assert_nothing_left_since(&before);
    Ok(())
}
