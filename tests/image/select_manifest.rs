//! Which manifest of an index is taken, and why the others are not.

use image::{ImageError, Verdict, from_layout};
use serde_json::{Value, json};

use crate::{host, layout};
use harness::layout::Layout;

/// The verdicts on an index's manifests, in its order.
fn verdicts(kvm: bool, manifests: impl Fn(&Layout) -> Vec<Value>) -> Vec<Verdict> {
    let (dir, layout) = layout();
    let manifests = manifests(&layout);
    layout.top(&manifests);
    let image = from_layout(dir.path(), &host(kvm)).unwrap().unwrap();
    let chosen = image
        .candidates
        .iter()
        .position(|c| c.verdict == Verdict::Chosen)
        .expect("one is chosen");
    assert_eq!(image.digest, manifests[chosen]["digest"]);
    image.candidates.into_iter().map(|c| c.verdict).collect()
}

fn platforms(kvm: bool, names: &[&str]) -> Vec<String> {
    let verdicts = verdicts(kvm, |layout| {
        names.iter().map(|name| layout.for_platform(name)).collect()
    });
    verdicts.iter().map(Verdict::to_string).collect()
}

const CONTAINER: &str = "it is a container, and this host can run the image's unikernel";
const NO_KVM: &str = "a unikernel needs KVM, and this host has none";
const OTHER_CPU: &str = "it is for another CPU than this host's amd64";
const OTHER_SYSTEM: &str = "it is for another system than Linux or a monitor that boots here";
const LESS: &str = "the chosen one makes more of this host's CPU";

#[test]
fn the_unikernel_wins_where_there_is_kvm_and_the_container_elsewhere() {
    let matrix = [
        "linux/arm64",
        "linux/amd64",
        "xen/x86_64",
        "qemu/x86_64",
        "windows/amd64",
        "fc/arm64",
    ];
    assert_eq!(
        platforms(true, &matrix),
        [
            OTHER_CPU,
            CONTAINER,
            OTHER_SYSTEM,
            "chosen",
            OTHER_SYSTEM,
            OTHER_CPU
        ]
    );
    assert_eq!(
        platforms(false, &matrix),
        [
            OTHER_CPU,
            "chosen",
            OTHER_SYSTEM,
            NO_KVM,
            OTHER_SYSTEM,
            OTHER_CPU
        ]
    );
    // None is better than the other, and one is what the image is.
    assert_eq!(
        platforms(false, &["kvm/x86_64", "linux/arm64"])[0],
        "chosen"
    );
}

#[test]
fn the_cpu_decides_among_equals() {
    assert_eq!(
        platforms(
            true,
            &[
                "linux/amd64",
                "linux/amd64/v2",
                "linux/amd64/v3",
                "linux/386"
            ]
        ),
        [LESS, "chosen", OTHER_CPU, LESS]
    );
    assert_eq!(platforms(true, &["linux/386", "linux/arm64"])[0], "chosen");

    let with = |layout: &Layout, features: &[&str]| {
        let mut one = layout.for_platform("linux/amd64");
        one["platform"]["features"] = json!(features);
        // Build options of kraftkit's ask nothing of a host.
        one["platform"]["os.features"] = json!(["CONFIG_X=y"]);
        one
    };
    let verdicts = verdicts(true, |layout| {
        [&["sse4", "avx512f"][..], &[], &["sse4", "aes"], &["aes"]]
            .map(|features| with(layout, features))
            .to_vec()
    });
    let missing = vec!["avx512f".to_owned()];
    assert_eq!(verdicts[0], Verdict::CpuFeatures { missing });
    assert_eq!(
        verdicts[1..],
        [
            Verdict::LowerCpuLevel,
            Verdict::Chosen,
            Verdict::LowerCpuLevel
        ]
    );
}

#[test]
fn of_unikernels_the_one_for_a_monitor_more_like_ours_is_taken_and_then_the_first() {
    let later = "the chosen one is as good and stands before it";
    let monitor = "the chosen one is for a monitor that is more like this one";
    assert_eq!(
        platforms(true, &["qemu/x86_64", "fc/x86_64", "fc/amd64"]),
        [monitor, "chosen", later]
    );
}

#[test]
fn a_linux_image_can_be_a_unikernel_by_its_artifact_type() {
    let index = |layout: &Layout| {
        let plain = layout.manifest(|_| {});
        let mut artifact = layout.manifest(|m| {
            m["artifactType"] = "application/vnd.example.unikernel.v1".into();
        });
        artifact["platform"] = json!({ "os": "linux", "architecture": "amd64" });
        vec![plain, artifact]
    };
    assert_eq!(verdicts(true, index), [Verdict::Container, Verdict::Chosen]);
    assert_eq!(verdicts(false, index), [Verdict::Chosen, Verdict::NoKvm]);
}

#[test]
fn what_is_no_manifest_is_passed_over() {
    let unknown = "application/vnd.example.signature";
    let verdicts = verdicts(true, |layout| {
        let mut attestation = layout.for_platform("unknown/unknown");
        attestation["annotations"] = json!({ "vnd.docker.reference.type": "attestation-manifest" });
        vec![
            layout.blob(unknown, b"?"),
            attestation,
            layout.for_platform("linux/amd64"),
        ]
    });
    let media_type = unknown.to_owned();
    assert_eq!(verdicts[0], Verdict::UnknownMediaType { media_type });
    assert_eq!(verdicts[1..], [Verdict::OtherOs, Verdict::Chosen]);
}

#[test]
fn what_cannot_run_here_need_not_be_there() {
    let verdicts = verdicts(true, |layout| {
        let away = layout.for_platform("linux/s390x");
        std::fs::remove_file(layout.path(&away)).unwrap();
        vec![away, layout.for_platform("linux/amd64")]
    });
    assert_eq!(verdicts[1], Verdict::Chosen);
}

#[test]
fn an_image_for_other_hosts_only_is_an_error_with_each_reason() {
    let (dir, layout) = layout();
    layout.top(&["linux/arm64", "linux/s390x", "plan9/amd64"].map(|p| layout.for_platform(p)));
    let error = from_layout(dir.path(), &host(true)).unwrap_err();
    let ImageError::NoMatch(candidates) = &error else {
        panic!("{error}")
    };
    assert_eq!(candidates.len(), 3);
    let text = error.to_string();
    for part in [
        "linux/arm64: it is for another CPU",
        "plan9/amd64: it is for another system",
    ] {
        assert!(text.contains(part), "{text}");
    }
}

#[test]
fn the_order_of_keys_decides_nothing() {
    let (dir, layout) = layout();
    let [one, two] = ["linux/amd64", "fc/x86_64"].map(|p| layout.for_platform(p));
    let text = |d: &Value, flip: bool| {
        let mut fields: Vec<String> = d
            .as_object()
            .unwrap()
            .iter()
            .map(|(key, value)| format!("{key:?}:{value}"))
            .collect();
        if flip {
            fields.reverse();
        }
        format!("{{{}}}", fields.join(","))
    };
    let images = [false, true].map(|flip| {
        let manifests = [&one, &two].map(|d| text(d, flip)).join(",");
        layout.top_text(&match flip {
            false => format!(r#"{{"schemaVersion":2,"manifests":[{manifests}]}}"#),
            true => format!(r#"{{"manifests":[{manifests}],"schemaVersion":2}}"#),
        });
        from_layout(dir.path(), &host(true)).unwrap().unwrap()
    });
    assert_eq!(images[0].digest, two["digest"]);
    assert_eq!(images[0], images[1]);
}
