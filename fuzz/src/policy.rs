//! A site's policy file, in force before the default over a few bundles.

use std::sync::LazyLock;

use bundle::Config;
use decision::facts::{Facts, GatherOptions, Media};
use decision::policy::{Policy, PolicyFile};
use image::SyntheticImage;
use serde_json::json;
use vmm::BootAbi;

use super::decisions::{self, DEFAULT, POLICIES};

const CONFIGS: [&str; 5] = [
    include_str!("../../fixtures/bundles/container-of-cri-o/config.json"),
    include_str!("../../fixtures/bundles/pod-unikernel-sidecar-container/config.json"),
    include_str!("../../fixtures/bundles/sandbox-of-containerd/config.json"),
    include_str!("../../fixtures/bundles/urunc-annotations/config.json"),
    include_str!("../../fixtures/bundles/vm-object/config.json"),
];

/// The configurations, each with another image.
static FACTS: LazyLock<Vec<Facts>> = LazyLock::new(|| {
    let everything = GatherOptions {
        digest: true,
        host: true,
        annotations: true,
    };
    let mut all: Vec<_> = CONFIGS
        .iter()
        .map(|text| Config::parse(text.as_bytes()).expect("a fixture"))
        .map(|config| Facts::of_config(&config, everything))
        .collect();
    all.push(Facts::of_config(&long(), everything));
    all[0].set_media(Media::None);
    all[1].set_synthetic_kernel(BootAbi::Multiboot1);
    all[3].set_media(Media::Unknown {
        why: "it is down".to_owned(),
    });
    all[4].set_media(unikernel());
    all[4].set_synthetic_kernel(BootAbi::Pvh);
    all
});

pub fn run(input: &[u8]) {
    let Ok(text) = str::from_utf8(input) else {
        return;
    };
    let file = match PolicyFile::parse("site.toml", text) {
        Ok(file) => file,
        Err(error) => return assert!(error.to_string().contains("site.toml")),
    };
    let is_empty = file.rules.is_empty() && !text.contains("pods");
    let default = PolicyFile::parse("default.toml", DEFAULT).expect("the default");
    let policy = Policy::of(vec![file, default]);
    let _ = (policy.gather_options(), policy.limits.describe());
    for facts in &*FACTS {
        let _ = policy.needs_media(facts);
        let decision = decisions::check(&policy, facts);
        if decisions::passes_over_a_sign(facts, &decision) {
            let rule = decision.rule.as_ref().expect("a rule");
            let by_name = rule.file == "site.toml" || rule.name == "chosen-container";
            assert!(by_name, "{rule:?} of {facts:?}");
        }
        if is_empty {
            let default = POLICIES[0].decide(facts);
            assert_eq!(decision.reason, default.reason);
        }
    }
}

/// Texts for patterns with many stars to go back and forth in.
fn long() -> Config {
    let text = format!("{}b", "a".repeat(1000));
    let annotations = json!({
        "io.kubernetes.cri.container-type": "container",
        "io.kubernetes.cri.image-name": text,
        "runu.dev/kernel": text,
    });
    let config = json!({ "annotations": annotations }).to_string();
    Config::parse(config.as_bytes()).expect("a configuration")
}

/// An image with everything that a rule can ask for.
fn unikernel() -> Media {
    let image = json!({
        "artifact_type": "application/vnd.runu.unikernel.v1",
        "config_type": "application/vnd.unikraft.config.v1+json",
        "layer_types": ["application/vnd.oci.image.layer.v1.tar"],
        "platform": "linux/amd64",
        "os_features": ["kvm"],
        "annotations": { "runu.dev/memory": "1Gi" },
        "labels": { "maintainer": "fuzz" },
    });
    let image: SyntheticImage = serde_json::from_value(image).expect("an image");
    Media::Known(Box::new(image.into()))
}
