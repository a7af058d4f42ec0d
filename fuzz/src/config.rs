//! A config.json: what it alone says, with a kernel in the image and without.

use bundle::Config;
use decision::facts::{Facts, GatherOptions, Kind};
use vmm::BootAbi;

use super::decisions;

pub fn run(input: &[u8]) {
    let Ok(config) = Config::parse(input) else {
        return;
    };
    let everything = GatherOptions {
        digest: true,
        host: true,
        annotations: true,
    };
    let mut facts = Facts::of_config(&config, everything);
    check(&config, &facts);
    decisions::check_all(&facts);
    facts.set_synthetic_kernel(BootAbi::Pvh);
    assert!(facts.has_evidence());
    decisions::check_all(&facts);
}

/// What holds of the facts themselves.
fn check(config: &Config, facts: &Facts) {
    let by = |key| config.annotation(key);
    let says_sandbox = |key| by(key) == Some("sandbox");
    let containerds = "io.kubernetes.cri.container-type";
    let is_sandbox = says_sandbox(containerds)
        || by(containerds).is_none() && says_sandbox("io.kubernetes.cri-o.ContainerType");
    assert_eq!(facts.container.kind == Kind::Sandbox, is_sandbox);
    let names_kernel = ["runu.dev/kernel", "com.urunc.unikernel.binary"]
        .into_iter()
        .any(|key| by(key).is_some());
    assert!(facts.has_evidence() || !names_kernel, "{facts:?}");
    for key in &facts.recognized_keys {
        assert!(by(key).is_some(), "{key:?} is nobody's");
    }
}
