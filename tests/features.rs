//! `features`: runc's, and runu's beside them.

use std::path::Path;
use std::process::Command;

use serde_json::Value;

/// What `features` prints with these runtimes configured; nothing may be on stderr.
fn features(runtimes: &[&Path]) -> Value {
    let config = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(config.path(), format!("runtimes = {runtimes:?}\n")).unwrap();
    let output = Command::new(harness::runu())
        .arg("features")
        .env("RUNU_CONFIG", config.path())
        .output()
        .unwrap();
    assert_eq!(String::from_utf8_lossy(&output.stderr), "");
    assert!(output.status.success());
    serde_json::from_slice(&output.stdout).unwrap()
}

#[test]
fn runcs_features_and_our_own() {
    let Ok(runc) = which::which_in("runc", Some("/usr/sbin:/usr/bin"), "/") else {
        harness::skip("runc is missing: apt-get install runc");
        return;
    };
    let theirs: Value =
        serde_json::from_slice(&Command::new(&runc).arg("features").output().unwrap().stdout)
            .unwrap();
    let merged = features(&[&runc]);
    for (key, value) in theirs.as_object().unwrap() {
        if key != "annotations" {
            assert_eq!(&merged[key], value, "{key}");
        }
    }
    for (key, value) in theirs["annotations"].as_object().unwrap() {
        assert_eq!(&merged["annotations"][key], value, "{key}");
    }
    assert_eq!(
        merged["annotations"]["dev.runu.version"],
        env!("CARGO_PKG_VERSION")
    );
    assert_eq!(
        merged["potentiallyUnsafeConfigAnnotations"],
        serde_json::json!(["runu.dev/"])
    );
}

#[test]
fn without_a_delegate_it_still_answers() {
    let alone = features(&[Path::new("/nowhere/runc")]);
    assert_eq!(alone["ociVersionMin"], "1.0.0");
    assert_eq!(
        alone["annotations"]["dev.runu.version"],
        env!("CARGO_PKG_VERSION")
    );
}
