//! Decisions: `runu explain` over every case in `fixtures/bundles`.
//!
//! Each case is a config.json and a list of what its rootfs holds; its snapshot
//! is what the program prints, for people and as JSON, with the exit code.

use std::path::PathBuf;

use harness::bundle::Bundle;
use harness::program::Program;
use serde_json::Value;

#[test]
fn every_bundle_is_decided_as_before() {
    let dir = harness::repository().join("fixtures/bundles");
    let cases = std::fs::read_dir(&dir).unwrap();
    let mut cases: Vec<_> = cases
        .map(|case| case.unwrap().file_name().into_string().unwrap())
        .collect();
    cases.sort();
    assert!(cases.len() >= 60, "the fixtures are not all there");
    for case in cases {
        // Of several manifests KVM may be what decides.
        let has_image = dir.join(&case).join("image").exists();
        if has_image && harness::cannot_boot() {
            continue;
        }
        insta::assert_snapshot!(case.as_str(), explain(&case));
    }
}

/// The exit code and both forms of the answer.
fn explain(case: &str) -> String {
    let program = Program::new().with_policy(&policies(case));
    let bundle = Bundle::fixture(case);
    let path = bundle.path().to_str().unwrap();
    let text = program.call(&["explain", "--bundle", path]);
    let json = program.call(&["explain", "--bundle", path, "--format", "json"]);
    assert_eq!(text.code, json.code, "{case}");

    let mut value: Value = serde_json::from_str(&json.stdout).expect("JSON on stdout");
    let keys: Vec<_> = value
        .as_object()
        .unwrap()
        .keys()
        .map(String::as_str)
        .collect();
    assert_eq!(
        keys,
        ["decision", "facts", "plan", "reason", "rule", "version"],
        "{case}"
    );
    assert_eq!(json.code, i32::from(value["decision"] == "deny"), "{case}");
    assert_eq!(
        value["plan"].is_object(),
        value["decision"] == "unikernel",
        "{case}"
    );
    // The host's is another on each.
    assert!(value["facts"]["host"]["kvm"].is_boolean(), "{case}");
    value["facts"].as_object_mut().unwrap().remove("host");
    let story: Vec<_> = text
        .stdout
        .lines()
        .filter(|line| !line.starts_with("host "))
        .collect();
    let said = format!(
        "exit {}\n{}\n\n{value:#}\n{}",
        text.code,
        story.join("\n"),
        json.stderr
    );
    let dir = program.root().with_file_name("policy.d");
    said.replace(path, "[bundle]")
        .replace(dir.to_str().unwrap(), "[policy]")
}

/// The example that a case's file `policy` names, as the site's own.
fn policies(case: &str) -> Vec<PathBuf> {
    let repository = harness::repository();
    let file = repository
        .join("fixtures/bundles")
        .join(case)
        .join("policy");
    let names = std::fs::read_to_string(file).unwrap_or_default();
    let example = |name: &str| {
        repository
            .join("policy/examples")
            .join(format!("{name}.toml"))
    };
    names.lines().map(example).collect()
}

#[test]
fn a_bundle_that_cannot_be_read_is_an_error() {
    let program = Program::new();
    let outcome = program.call(&["explain", "--bundle", "/nowhere"]);
    assert_eq!(outcome.code, 1);
    assert!(outcome.stderr.contains("/nowhere"), "{}", outcome.stderr);
    assert_eq!(outcome.stdout, "");
}

#[test]
fn a_config_that_is_too_large_is_named() {
    // JSON that is whole, so that only its length is wrong.
    let text = format!("{{{}}}", " ".repeat(5 << 20));
    let bundle = Bundle::fixture("ordinary");
    let config = bundle.path().join("config.json");
    std::fs::write(&config, text).unwrap();
    let program = Program::new();
    let mut by_stdin = program.command(&["explain", "--bundle", "-"]);
    by_stdin.stdin(std::fs::File::open(&config).unwrap());
    let by_path = program.call(&["explain", "--bundle", bundle.path().to_str().unwrap()]);
    for (outcome, file) in [
        (program.capture(&mut by_stdin), "standard input"),
        (by_path, config.to_str().unwrap()),
    ] {
        assert_eq!((outcome.code, &*outcome.stdout), (1, ""), "{outcome:?}");
        for part in [file, "is too large", "4 MiB", "shorten"] {
            assert!(outcome.stderr.contains(part), "no {part}: {outcome:?}");
        }
        assert!(!outcome.stderr.contains("EOF"), "{outcome:?}");
        assert_eq!(outcome.stderr.lines().count(), 1, "{outcome:?}");
    }
}

#[test]
fn the_order_of_keys_does_not_matter() {
    let bundle = Bundle::fixture("kernel-annotation");
    let program = Program::new();
    let explain = || program.ok(&["explain", "--bundle", bundle.path().to_str().unwrap()]);
    let before = explain();
    let config = bundle.path().join("config.json");
    let Value::Object(object) = bundle.config.clone() else {
        panic!()
    };
    let reversed: Vec<String> = object
        .iter()
        .rev()
        .map(|(key, value)| format!("{key:?}:{value}"))
        .collect();
    std::fs::write(config, format!("{{{}}}", reversed.join(","))).unwrap();
    assert_eq!(explain(), before);
}
