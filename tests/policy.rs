//! The node's policy: its files, `runu policy`, and the ways to ask for a decision.

use std::fs;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::process::Stdio;

use harness::bundle::Bundle;
use harness::guard::Container;
use harness::program::{Outcome, Program};
use serde_json::Value;

fn examples() -> Vec<PathBuf> {
    let dir = harness::repository().join("policy/examples");
    let mut files: Vec<_> = fs::read_dir(dir)
        .unwrap()
        .map(|e| e.unwrap().path())
        .collect();
    files.sort();
    files
}

fn path(path: &Path) -> &str {
    path.to_str().unwrap()
}

#[test]
fn every_example_is_a_policy() {
    let program = Program::new();
    let files = examples();
    assert!(files.len() >= 4);
    let mut args = vec!["policy", "check"];
    args.extend(files.iter().map(|file| path(file)));
    let said = program.ok(&args);
    assert_eq!(
        said.lines().filter(|line| line.starts_with("ok")).count(),
        files.len(),
        "{said}"
    );
}

/// What is wrong with a policy file, by `policy check`, and that a node with it starts
/// nothing, but goes on ruling what runs.
#[track_caller]
fn wrong(text: &str, words: &[&str]) {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("site.toml");
    fs::write(&file, text).unwrap();
    let checked = Program::new().call(&["policy", "check", path(&file)]);
    assert_eq!(checked.code, 1, "{checked:?}");
    let program = Program::new().with_policy(&[file]);
    let bundle = Bundle::fixture("ordinary");
    let created = program.call(&["create", "--bundle", path(bundle.path()), "c"]);
    assert_eq!(created.code, 1, "{created:?}");
    assert_eq!(created.stderr.lines().count(), 1, "{created:?}");
    for said in [&checked.stdout, &created.stderr] {
        for words in words.iter().chain(&["site.toml"]) {
            assert!(said.contains(words), "no {words:?} in {said}");
        }
    }
    // runc's answer: the policy does not keep a verb from it.
    let state = program.call(&["state", "c"]);
    assert!(state.stderr.contains("does not exist"), "{state:?}");
}

#[test]
fn a_broken_policy_names_the_place_and_starts_nothing() {
    let rule = "version = 1\n[[rules]]\nname = \"x\"\nbecause = \"y\"\nthen = \"deny\"\n";
    wrong("", &["is empty"]);
    wrong("version = 9\nfuture = true\n", &["version 9"]);
    wrong("rules = []\n", &["version"]);
    wrong(
        &format!("{rule}when = {{ imgae = \"x\" }}\n"),
        &["line 6", "imgae"],
    );
    wrong(
        &format!("{rule}when = {{ mode = \"vm\" }}\n"),
        &["line 6", "`unikernel`"],
    );
    wrong(
        &format!("{rule}when = {{}}\n[pods]\nmemory = \"lots\"\n"),
        &["lots"],
    );
    wrong(
        &format!("{rule}when = {{}}\n{}when = {{}}\n", &rule[12..]),
        &["two rules", "\"x\""],
    );
    wrong("\0", &["line 1"]);
    wrong(&format!("#{}", "x".repeat(2 << 20)), &["bytes"]);
}

#[test]
fn a_policy_that_cannot_be_read_starts_nothing() {
    let dir = tempfile::tempdir().unwrap();
    let policies = dir.path().join("policy.d");
    let site = policies.join("site.toml");
    let config = dir.path().join("config.toml");
    fs::create_dir(&policies).unwrap();
    fs::write(&config, format!("policy = {policies:?}\n")).unwrap();
    let bundle = Bundle::fixture("ordinary");
    let program = Program::new();
    let refused = |words: &str| {
        let mut command = program.command(&["create", "--bundle", path(bundle.path()), "c"]);
        let outcome = program.capture(command.env("RUNU_CONFIG", &config));
        assert_eq!(outcome.code, 1, "{words}: {outcome:?}");
        assert!(outcome.stderr.contains(words), "{words}: {outcome:?}");
    };
    fs::create_dir(&site).unwrap();
    refused("not a regular file");
    fs::remove_dir(&site).unwrap();
    nix::unistd::mkfifo(&site, nix::sys::stat::Mode::S_IRUSR).unwrap();
    refused("not a regular file");
    fs::remove_file(&site).unwrap();
    symlink("/nowhere", &site).unwrap();
    refused("No such file");
    fs::remove_dir_all(&policies).unwrap();
    fs::write(&policies, "").unwrap();
    refused("Not a directory");
}

#[test]
fn show_prints_the_rules_in_their_order() {
    let example = harness::repository().join("policy/examples/one-registry.toml");
    let said = Program::new().ok(&["policy", "show", "--policy", path(&example)]);
    let at = |words: &str| {
        said.find(words)
            .unwrap_or_else(|| panic!("no {words} in {said}"))
    };
    assert!(at("one-registry.toml:") < at("unikernels-of-our-own"));
    assert!(at("unikernels-of-our-own") < at("default.toml:"));
    assert!(at("default.toml:") < at("ordinary"));
    let limits = harness::repository().join("policy/examples/pod-limits.toml");
    let said = Program::new().ok(&["policy", "show", "--policy", path(&limits)]);
    assert!(
        said.contains("pods may ask for 512 MiB of memory"),
        "{said}"
    );
    assert!(said.contains("pods may name the kernels /boot/*"), "{said}");
}

#[test]
fn cases_are_held_against_a_policy() {
    let program = Program::new();
    let dir = harness::repository().join("fixtures/policy");
    let example = harness::repository().join("policy/examples/one-registry.toml");
    let run = |dir: &Path, policy: &Path| -> Outcome {
        program.call(&["policy", "test", path(dir), "--policy", path(policy)])
    };
    let passed = run(&dir, &example);
    assert_eq!(
        (passed.code, &*passed.stdout),
        (0, "4 passed, 0 failed\n"),
        "{passed:?}"
    );

    let media = dir.with_file_name("policy-media");
    let signed_off = example.with_file_name("signed-off-media-types.toml");
    let passed = run(&media, &signed_off);
    assert_eq!(
        (passed.code, &*passed.stdout),
        (0, "5 passed, 0 failed\n"),
        "{passed:?}"
    );

    let other = example.with_file_name("no-unikernels.toml");
    let failed = run(&dir, &other);
    assert_eq!(failed.code, 1, "{failed:?}");
    let said = failed.stdout.replace(path(&dir), "[directory]");
    insta::assert_snapshot!("policy_test_that_fails", said);

    let empty = tempfile::tempdir().unwrap();
    let none = run(empty.path(), &example);
    assert_eq!(none.code, 1);
    assert!(none.stderr.contains("no cases"), "{none:?}");
    fs::write(empty.path().join("c.toml"), "[[cases]]\nnam = 1\n").unwrap();
    let wrong = run(empty.path(), &example);
    assert!(
        wrong.stderr.contains("c.toml") && wrong.stderr.contains("nam"),
        "{wrong:?}"
    );
}

#[test]
fn a_config_on_stdin() {
    let program = Program::new();
    let bundle = Bundle::fixture("kernel-annotation");
    let mut command = program.command(&["explain", "--bundle", "-"]);
    command.current_dir(bundle.path());
    command.stdin(fs::File::open(bundle.path().join("config.json")).unwrap());
    let by_stdin = program.capture(&mut command);
    let by_path = program.call(&["explain", "--bundle", path(bundle.path())]);
    assert_eq!((by_stdin.code, by_stdin.stdout), (0, by_path.stdout));
    let mut command = program.command(&["explain", "--bundle", "-"]);
    let nothing = program.capture(command.stdin(Stdio::null()));
    assert_eq!(nothing.code, 1);
    assert!(nothing.stderr.contains("config.json"), "{nothing:?}");
}

#[test]
fn a_live_container_is_explained_as_it_was_decided() {
    if harness::cannot_boot() {
        return;
    }
    let program = Program::new();
    let bundle = Bundle::unikernel("explained", "spin", "pvh", &["spin"]);
    let before = program.ok(&["explain", "--bundle", path(bundle.path())]);
    let container = Container::new(&program, "explained", &bundle);
    container.start();
    fs::remove_file(bundle.rootfs().join("unikraft/bin/kernel")).unwrap();
    let now = program.ok(&["explain", "--container", "explained"]);
    // What costs a look and no rule asked for was not looked at then.
    let without_host = |text: &str| -> Vec<String> {
        text.lines()
            .filter(|line| !line.starts_with("host"))
            .map(str::to_owned)
            .collect()
    };
    assert_eq!(without_host(&now), without_host(&before));
    let json = program.ok(&["explain", "--container=explained", "--format=json"]);
    let json: Value = serde_json::from_str(&json).unwrap();
    assert_eq!(json["rule"]["name"], "kernel-in-image");

    let bundle = Bundle::busybox("explained-runc", &["/bin/busybox", "sleep", "1000"]);
    let ordinary = Container::new(&program, "explained-runc", &bundle);
    ordinary.start();
    let runcs = program.call(&["explain", "--container", "explained-runc"]);
    assert_eq!(runcs.code, 0, "{runcs:?}");
    assert!(
        runcs.stdout.starts_with("decision   container"),
        "{runcs:?}"
    );
    assert!(runcs.stderr.contains("is runc's"), "{runcs:?}");
    let none = program.call(&["explain", "--container", "nobodys"]);
    assert_eq!(none.code, 1);
    assert!(none.stderr.contains("does not exist"), "{none:?}");
}

#[test]
fn every_decision_is_a_line_in_the_debug_log() {
    let program = Program::new();
    for (case, words) in [
        (
            "contradiction",
            "container c: refused, by rule contradiction in default.toml",
        ),
        (
            "kernel-missing",
            "container c: refused, by rule kernel-annotation in default.toml",
        ),
    ] {
        let bundle = Bundle::fixture(case);
        let _ = fs::remove_file(program.log());
        let args = ["create", "--bundle", path(bundle.path()), "c"];
        program.call(&args);
        assert_eq!(
            program.log_lines().len(),
            1,
            "without --debug: the error alone"
        );
        program.call(&[&["--debug"], &args[..]].concat());
        let lines = program.log_lines();
        assert_eq!(lines.len(), 3, "{lines:?}");
        assert_eq!(lines[1]["level"], "debug");
        let message = lines[1]["msg"].as_str().unwrap();
        assert!(message.starts_with(words), "{message}");
    }
}

#[test]
fn an_image_is_explained_from_its_layout() {
    let program = Program::new();
    let image = harness::images::artifact(("hello", "pvh")).unwrap();
    let dir = tempfile::tempdir().unwrap();
    let archive = dir.path().join("image.tar");
    image.write(&archive).unwrap();
    let layout = dir.path().join("layout");
    tar::Archive::new(fs::File::open(archive).unwrap())
        .unpack(&layout)
        .unwrap();
    let explained = program.call(&["explain", "--layout", path(&layout)]);
    if harness::cannot_boot() {
        return;
    }
    assert_eq!(explained.code, 0, "{explained:?}");
    for words in [
        "decision   unikernel",
        "rule       unikernel-image",
        "kernel     /boot/kernel",
        "boots      /boot/kernel by pvh",
        "an ordinary container",
    ] {
        assert!(
            explained.stdout.contains(words),
            "no {words:?}: {explained:?}"
        );
    }
    let none = program.call(&["explain", "--layout", path(dir.path())]);
    assert_eq!(none.code, 1);
    assert!(none.stderr.contains("is no OCI layout"), "{none:?}");
}
