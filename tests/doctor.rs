//! What this host has: `runu doctor`, and rules that ask about it.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::UnixListener;
use std::path::Path;

use harness::bundle::Bundle;
use harness::program::{Outcome, Program};
use serde_json::Value;

/// What the node's owner may have written, in a directory that goes again.
struct Node {
    program: Program,
    dir: tempfile::TempDir,
}

impl Node {
    fn new(config: &str) -> Self {
        let dir = tempfile::tempdir().unwrap();
        fs::write(dir.path().join("config.toml"), config).unwrap();
        let program = Program::new();
        Self { program, dir }
    }

    fn call(&self, args: &[&str]) -> Outcome {
        let mut command = self.program.command(args);
        let config = self.dir.path().join("config.toml");
        self.program.capture(command.env("RUNU_CONFIG", config))
    }

    /// The report for programs, and the exit code.
    fn report(&self) -> (Value, i32) {
        let said = self.call(&["doctor", "--format", "json"]);
        assert_eq!(said.stderr, "");
        (serde_json::from_str(&said.stdout).unwrap(), said.code)
    }
}

#[track_caller]
fn check<'a>(report: &'a Value, subject: &str) -> &'a Value {
    let checks = report["checks"].as_array().unwrap();
    let found = checks.iter().find(|check| check["subject"] == subject);
    found.unwrap_or_else(|| panic!("no {subject} in {report:#}"))
}

/// A program that says that it is runc.
fn fake_runc(dir: &Path) -> std::path::PathBuf {
    let path = dir.join("runc");
    fs::write(&path, "#!/bin/sh\necho runc version 9.9\n").unwrap();
    fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).unwrap();
    path
}

#[test]
fn the_report_is_what_this_host_has() {
    let dir = tempfile::tempdir().unwrap();
    let node = Node::new(&format!("runtimes = [{:?}]\n", fake_runc(dir.path())));
    let (report, code) = node.report();
    assert_eq!(report["version"], 1);
    let has_kvm = fs::File::options()
        .read(true)
        .write(true)
        .open("/dev/kvm")
        .is_ok();
    assert_eq!(
        (report["ready"].as_bool(), code),
        (Some(has_kvm), i32::from(!has_kvm)),
        "{report:#}"
    );
    assert_eq!(check(&report, "kvm")["state"] == "missing", !has_kvm);
    let flags = fs::read_to_string("/proc/cpuinfo").unwrap();
    let has = |flag| flags.split_whitespace().any(|word| word == flag);
    if has_kvm {
        let names = check(&report, "kvm")["details"]["capabilities"].to_string();
        assert!(names.contains("\"irqchip\""), "{names}");
        let execution = match has("vmx") || has("svm") {
            true => "processor",
            false => "emulated",
        };
        assert_eq!(check(&report, "guests")["details"]["execution"], execution);
    }
    let features = &check(&report, "cpu")["details"]["features"];
    for feature in ["sse2", "avx2", "fsgsbase"] {
        assert_eq!(features[feature], has(feature), "{feature}");
    }
    assert!(check(&report, "memory")["details"]["bytes"].as_u64() > Some(1 << 28));
    assert_eq!(
        check(&report, "delegate")["details"]["version"],
        "runc version 9.9"
    );
    let tun = fs::File::open("/dev/net/tun").is_ok();
    assert_eq!(check(&report, "tun")["state"] == "ok", tun);

    let text = node.call(&["doctor"]);
    assert_eq!(text.code, code);
    for check in report["checks"].as_array().unwrap() {
        let line = |line: &str| {
            let mut words = line.split_whitespace();
            words.next() == check["state"].as_str() && words.next() == check["subject"].as_str()
        };
        assert!(text.stdout.lines().any(line), "{check} in {text:?}");
    }
}

#[test]
fn what_is_missing_is_named_with_its_cure() {
    let node = Node::new("runtimes = [\"/nowhere/runc\"]\n");
    let (report, code) = node.report();
    assert_eq!((code, &report["ready"]), (1, &Value::Bool(false)));
    let delegate = check(&report, "delegate");
    assert_eq!(delegate["state"], "missing");
    assert!(delegate["found"].to_string().contains("/nowhere/runc"));
    assert!(delegate["cure"].to_string().contains("config.toml"));

    let broken = Node::new("runtime = 1\n");
    let (report, code) = broken.report();
    assert_eq!(code, 1);
    let configuration = check(&report, "configuration");
    assert_eq!(configuration["state"], "missing");
    assert!(configuration["found"].to_string().contains("runtime"));

    let dir = tempfile::tempdir().unwrap();
    fs::write(dir.path().join("site.toml"), "version = 9\n").unwrap();
    let (report, code) = Node::new(&format!("policy = {:?}\n", dir.path())).report();
    assert_eq!(code, 1);
    let policy = check(&report, "policy");
    assert_eq!(policy["state"], "missing");
    assert!(policy["found"].to_string().contains("site.toml"));
}

#[test]
fn a_containerd_is_found_where_the_configuration_says() {
    let dir = tempfile::tempdir().unwrap();
    let socket = dir.path().join("containerd.sock");
    let node = Node::new(&format!("containerd = {socket:?}\n"));
    let (report, _) = node.report();
    assert_eq!(check(&report, "containerd")["state"], "limited");
    let _listening = UnixListener::bind(&socket).unwrap();
    let (report, _) = node.report();
    assert_eq!(check(&report, "containerd")["state"], "ok");
}

/// Cases for [`RULES`].
const CASES: &str = include_str!("../fixtures/policy-host/nodes.toml");

/// The site's rules of fixtures/policy-host.
const RULES: &str = r#"
version = 1

[[rules]]
name = "kvm"
when = { kvm = false }
then = "deny"
because = "there is no KVM"

[[rules]]
name = "irqfd"
when = { not = { kvm_capability = "irqfd" } }
then = "deny"
because = "KVM has no irqfd"

[[rules]]
name = "memory"
when = { not = { host_memory = "4Gi" } }
then = "deny"
because = "the node is too small"

[[rules]]
name = "delegate"
when = { not = { delegate = "*/runc" } }
then = "deny"
because = "only runc is approved here"
"#;

#[test]
fn rules_may_ask_about_the_node() {
    let dir = tempfile::tempdir().unwrap();
    let policy = dir.path().join("site.toml");
    fs::write(&policy, RULES).unwrap();
    let cases = tempfile::tempdir().unwrap();
    fs::write(cases.path().join("nodes.toml"), CASES).unwrap();
    let [policy, cases] = [&*policy, cases.path()].map(|path| path.to_str().unwrap());
    let program = Program::new();
    let passed = program.call(&["policy", "test", cases, "--policy", policy]);
    assert_eq!(passed.stdout, "6 passed, 0 failed\n", "{passed:?}");
}

#[test]
fn the_delegate_of_this_node_is_a_fact() {
    let dir = tempfile::tempdir().unwrap();
    let policies = dir.path().join("policy.d");
    fs::create_dir(&policies).unwrap();
    let rules = RULES
        .split_once("[[rules]]\nname = \"delegate\"")
        .unwrap()
        .1;
    let rules = format!("version = 1\n[[rules]]\nname = \"delegate\"{rules}");
    fs::write(policies.join("site.toml"), rules).unwrap();
    let decided = |runtime: &Path| {
        let node = Node::new(&format!(
            "policy = {policies:?}\nruntimes = [{runtime:?}]\n"
        ));
        let bundle = Bundle::fixture("ordinary");
        let bundle = bundle.path().to_str().unwrap();
        let said = node.call(&["explain", "--format", "json", "--bundle", bundle]);
        let report: Value = serde_json::from_str(&said.stdout).unwrap();
        (
            report["decision"].clone(),
            report["facts"]["host"]["delegate"].clone(),
        )
    };
    let runc = fake_runc(dir.path());
    assert_eq!(
        decided(&runc),
        ("container".into(), runc.to_str().unwrap().into())
    );
    let other = dir.path().join("other");
    fs::rename(&runc, &other).unwrap();
    assert_eq!(decided(&other).0, "deny");
    assert_eq!(
        decided(Path::new("/nowhere/runc")),
        ("deny".into(), Value::Null)
    );
}
