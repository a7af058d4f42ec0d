//! An image's /urunc.json, read from a rootfs.
//!
//! Mutations hardly make base64: an input that is an object of texts is also read with its
//! values so encoded.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;
use std::sync::LazyLock;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use bundle::Bundle;
use decision::facts::{Facts, GatherOptions};
use decision::policy::Outcome;
use tempfile::TempDir;
use vmm::BootAbi;

use super::decisions::{self, POLICIES};

/// What the pod says beside the image: nothing, another kernel, a choice.
const PODS: [&str; 3] = [
    "{}",
    r#"{"runu.dev/kernel":"/pod","com.urunc.unikernel.cmdline":"pod","runu.dev/memory":"64Mi"}"#,
    r#"{"io.kubernetes.cri.container-type":"container","io.kubernetes.cri.container-name":"app","runu.dev/mode.app":"unikernel"}"#,
];

/// A directory with a rootfs, and a bundle of it for each of [`PODS`].
static BUNDLES: LazyLock<(TempDir, Vec<Bundle>)> = LazyLock::new(|| {
    let shared = Path::new("/dev/shm");
    let dir = tempfile::tempdir_in(shared).or_else(|_| tempfile::tempdir());
    let dir = dir.expect("a directory for the bundles");
    fs::create_dir(dir.path().join("rootfs")).expect("a rootfs");
    let bundles = PODS.map(|pod| {
        let config = format!(r#"{{"root":{{"path":"rootfs"}},"annotations":{pod}}}"#);
        fs::write(dir.path().join("config.json"), config).expect("config.json");
        Bundle::open(dir.path()).expect("a bundle")
    });
    (dir, bundles.into())
});

pub fn run(input: &[u8]) {
    check(input);
    let Ok(texts) = serde_json::from_slice::<BTreeMap<String, String>>(input) else {
        return;
    };
    let encoded = texts.iter().map(|(key, text)| (key, STANDARD.encode(text)));
    let encoded: BTreeMap<_, _> = encoded.collect();
    let json = serde_json::to_vec(&encoded).expect("JSON");
    check(&json);
}

fn check(json: &[u8]) {
    let (dir, bundles) = &*BUNDLES;
    fs::write(dir.path().join("rootfs/urunc.json"), json).expect("urunc.json");
    let is_well_formed = serde_json::from_slice::<BTreeMap<String, String>>(json).is_ok();
    for (number, bundle) in bundles.iter().enumerate() {
        let gathered = Facts::gather(bundle, GatherOptions::default());
        let (mut facts, files) = gathered.expect("a rootfs");
        assert!(files.kernel.is_none() && files.initrd.is_none());
        assert!(
            is_well_formed || facts.has_evidence(),
            "the file is no sign"
        );
        decisions::check_all(&facts);
        facts.set_synthetic_kernel(BootAbi::Linux64);
        decisions::check_all(&facts);
        let outcome = POLICIES[0].decide(&facts).outcome;
        let is_denied = matches!(outcome, Outcome::Deny);
        assert!(is_well_formed || is_denied, "{outcome:?} of pod {number}");
    }
}
