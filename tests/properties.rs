//! What holds of a decision whatever the facts are.

use std::sync::OnceLock;

use bundle::Config;
use decision::explanation::Explanation;
use decision::facts::{Facts, GatherOptions};
use decision::policy::{Outcome, Policy};
use proptest::collection::btree_map;
use proptest::option;
use proptest::prelude::*;
use proptest::sample::{Index, select};
use serde_json::{Map, Value, json};
use vmm::BootAbi;

const KEYS: [&str; 22] = [
    "runu.dev/mode",
    "runu.dev/mode.app",
    "runu.dev/mode.proxy",
    "runu.dev/kernel",
    "runu.dev/initrd",
    "runu.dev/cmdline",
    "runu.dev/family",
    "runu.dev/memory",
    "runu.dev/vcpus",
    "runu.dev/kernal",
    "com.urunc.unikernel.binary",
    "com.urunc.unikernel.unikernelType",
    "com.urunc.unikernel.block",
    "com.urunc.unikernel.unknown",
    "org.unikraft.kernel.image",
    "org.unikraft.kernel.initrd",
    "io.kubernetes.cri.container-type",
    "io.kubernetes.cri.container-name",
    "io.kubernetes.cri.image-name",
    "io.kubernetes.cri.sandbox-namespace",
    "io.kubernetes.cri-o.ContainerType",
    "org.example.other",
];

const VALUES: [&str; 18] = [
    "",
    "auto",
    "unikernel",
    "container",
    "sandbox",
    "app",
    "proxy",
    "/boot/app",
    "/unikraft/bin/kernel",
    "../../etc/passwd",
    "64Mi",
    "1",
    "4",
    "edge",
    "true",
    "a\nb",
    "registry.example.com/app:2",
    "docker.io/library/app",
];

/// A config.json's fields that a decision may depend on.
fn config() -> impl Strategy<Value = Map<String, Value>> {
    let annotations = btree_map(select(&KEYS[..]), select(&VALUES[..]), 0..8);
    let vm_path = option::of(select(vec!["", "/boot/app", "/boot/other"]));
    let memory = option::of(-1..1_i64 << 40);
    (annotations, vm_path, memory).prop_map(|(annotations, vm_path, memory)| {
        let mut config = Map::new();
        config.insert("annotations".into(), json!(annotations));
        config.insert("process".into(), json!({ "args": ["app"] }));
        if let Some(path) = vm_path {
            config.insert("vm".into(), json!({ "kernel": { "path": path } }));
        }
        let memory = json!({ "resources": { "memory": { "limit": memory } } });
        config.insert("linux".into(), memory);
        config
    })
}

fn facts(config: &str, kernel: bool) -> Facts {
    let config: Config = serde_json::from_str(config).unwrap();
    let everything = GatherOptions {
        annotations: true,
        ..GatherOptions::default()
    };
    let mut facts = Facts::of_config(&config, everything);
    if kernel {
        facts.set_synthetic_kernel(BootAbi::Pvh);
    }
    facts
}

/// The default policy.
fn default_policy() -> &'static Policy {
    policies().last().unwrap()
}

/// Each of the examples before the default policy, and it alone as the last. Read once.
fn policies() -> &'static [Policy] {
    static ALL: OnceLock<Vec<Policy>> = OnceLock::new();
    ALL.get_or_init(|| {
        let dir = harness::repository().join("policy/examples");
        let examples = std::fs::read_dir(dir).unwrap();
        let of = |path| Policy::of_files(&[path]).unwrap();
        let examples = examples.map(|entry| of(entry.unwrap().path()));
        examples.chain([Policy::of_files(&[]).unwrap()]).collect()
    })
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(2000) })]

    /// What looks like a unikernel is a container only where an annotation chose that.
    #[test]
    fn no_sign_is_passed_over(config in config(), kernel in any::<bool>()) {
        let facts = facts(&Value::from(config).to_string(), kernel);
        let decision = default_policy().decide(&facts);
        if facts.has_evidence() && matches!(decision.outcome, Outcome::Container) {
            // None: the sandbox.
            let rule = decision.rule.map(|rule| rule.name);
            let is_sandbox = facts.container.kind == decision::facts::Kind::Sandbox;
            prop_assert!(
                is_sandbox && rule.is_none() || rule.as_deref() == Some("chosen-container"),
                "{rule:?} for {facts:?}"
            );
        }
    }

    /// By no rule of any site's, and whatever its annotations say.
    #[test]
    fn the_sandbox_is_a_container(mut config in config(), kernel in any::<bool>()) {
        config["annotations"]["io.kubernetes.cri.container-type"] = "sandbox".into();
        let facts = facts(&Value::from(config).to_string(), kernel);
        for policy in policies() {
            let outcome = policy.decide(&facts).outcome;
            prop_assert!(matches!(outcome, Outcome::Container), "{outcome:?}");
        }
    }

    /// A decision, with its reason and all that was seen, does not depend on the order of
    /// keys in config.json.
    #[test]
    fn the_order_of_keys_means_nothing(
        config in config(),
        kernel in any::<bool>(),
        order in prop::collection::vec(any::<Index>(), 16),
    ) {
        let explain = |config: &str| {
            let facts = facts(config, kernel);
            let all = policies();
            let decisions = all.iter().map(|policy| policy.decide(&facts));
            let texts = decisions.map(|decision| {
                Explanation::of(&facts, &decision).unwrap().to_string()
            });
            texts.collect::<Vec<_>>()
        };
        let config = Value::from(config);
        let shuffled = shuffled(&config, &order);
        prop_assert_eq!(explain(&config.to_string()), explain(&shuffled));
    }
}

/// The text of a value with the keys of every object in another order.
fn shuffled(value: &Value, order: &[Index]) -> String {
    let Value::Object(fields) = value else {
        return value.to_string();
    };
    let mut fields: Vec<_> = fields.iter().collect();
    for (at, index) in (1..fields.len()).zip(order) {
        fields.swap(at, index.index(at + 1));
    }
    let texts = fields
        .iter()
        .map(|(key, value)| format!("{}:{}", Value::from(key.as_str()), shuffled(value, order)));
    format!("{{{}}}", texts.collect::<Vec<_>>().join(","))
}
