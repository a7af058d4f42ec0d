//! Odd command lines, by runu and by the runc that is installed: the same answer, byte for
//! byte. And what callers make of `--version`.

use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Command, Stdio};

use harness::bundle::Bundle;
use harness::guard::Container;
use harness::program::Program;

/// Command lines on which both must agree, words between blanks.
const LINES: &[&str] = &[
    "",
    "-h",
    "--help",
    "help",
    "help create",
    "help no-such-verb",
    "-v",
    "-version",
    "--version=true",
    "--version=false list",
    "--frob",
    "-f json",
    "--root",
    "--root=",
    "--debug=maybe list",
    "--systemd-cgroup=x list",
    "--log-format=xml list",
    "--rootless=perhaps list",
    "frobnicate",
    "frobnicate --all x",
    "list",
    "list -q",
    "list --quiet=0",
    "list -f json",
    "list --format=xml",
    "list -q -f xml",
    "list x",
    "list --frob",
    "create",
    "create a b",
    "create --bundle",
    "create --preserve-fds x a",
    "run --preserve-fds= a",
    "exec --preserve-fds 1.5 a sh",
    "create -h",
    "create a --help",
    "run --detach=x a",
    "run -d",
    "start",
    "start a b",
    "start --frob a",
    "state",
    "state .",
    "state ../a",
    "state -- a",
    "kill",
    "kill a b c",
    "kill -a",
    "kill a/b",
    "kill a",
    "kill a NOSUCH",
    "kill --all=maybe a",
    "delete",
    "delete a b",
    "delete a",
    "delete -f a",
    "delete a -f",
    "delete a --force=false",
    "delete --force=maybe a",
    "pause",
    "resume a b",
    "exec",
    "exec a",
    "exec a sh -c true",
    "exec --frob a sh",
    "ps",
    "ps -f xml a",
    "ps a -ef",
    "events",
    "events --interval",
    "events --stats a",
    "update",
    "update a",
    "update --memory a",
    "checkpoint",
    "checkpoint a",
    "restore",
    "spec x",
    "features x",
    "features -h",
];

/// What a call comes to: exit code, stdout, and stderr without the time.
fn answer(mut command: Command) -> (Option<i32>, String, String) {
    let output = command.stdin(Stdio::null()).output().unwrap();
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    let stderr = text(&output.stderr);
    let timeless = stderr.lines().map(|line| match line.split_once("level=") {
        Some((_, rest)) if line.starts_with("time=") => format!("{rest}\n"),
        _ => format!("{line}\n"),
    });
    (
        output.status.code(),
        text(&output.stdout),
        timeless.collect(),
    )
}

#[test]
fn runc_and_runu_answer_alike() {
    let Ok(runc) = which::which("runc") else {
        harness::skip("there is no runc to compare with");
        return;
    };
    let dir = tempfile::tempdir().unwrap();
    for line in LINES {
        // By runc's name: usage and version name the program.
        let call = |binary: &Path| {
            let mut command = Command::new(binary);
            command.arg0("runc").current_dir(dir.path());
            if !line.contains("--root") {
                command.arg("--root").arg(dir.path().join("root"));
            }
            command.args(line.split(' ').filter(|word| !word.is_empty()));
            answer(command)
        };
        assert_eq!(call(&harness::runu()), call(&runc), "{line}");
    }
}

#[test]
fn a_unikernel_by_odd_command_lines() {
    if harness::cannot_boot() {
        return;
    }
    let program = Program::new();
    let bundle = Bundle::unikernel("odd", "spin", "pvh", &["spin"]);
    let _container = Container::new(&program, "create", &bundle);
    let link = bundle.path().join("create");
    std::os::unix::fs::symlink(".", link).unwrap();
    let calls: &[&[&str]] = &[
        &["create", "-bundle=create", "create"],
        &["create", "create", "--bundle", "create", "--no-pivot=false"],
        &["create", "--pid-file=list", "-b=create", "--", "create"],
        &["run", "create", "-d=true", "--bundle", "create"],
    ];
    for call in calls {
        let mut command = Command::new(harness::runu());
        command.arg(format!("-root={}", program.root().display()));
        command.args(["-log", "list", "--log-format=json", "-debug=false"]);
        command.args(*call).current_dir(bundle.path());
        let outcome = program.capture(command.stdin(Stdio::null()));
        assert_eq!(outcome.code, 0, "{call:?}: {outcome:?}");
        let running = call[0] == "run";
        let status = if running { "running" } else { "created" };
        assert_eq!(program.state("create")["status"], status, "{call:?}");
        // Refused before anything is done.
        for refused in [
            &["delete", "--force=maybe", "create"][..],
            &["kill", "create", "9", "9"],
        ] {
            assert_eq!(program.call(refused).code, 1, "{refused:?}");
            assert_eq!(program.state("create")["status"], status, "{refused:?}");
        }
        program.ok(&["delete", "create", "-f"]);
        program.assert_nothing_left("odd", &bundle);
    }
}

/// Source: moby, `daemon/info_unix.go`, parseRuntimeVersion: the name and the version, and
/// the commit.
fn as_docker_reads(text: &str) -> (&str, &str, &str) {
    let mut found = ("", "", "");
    for line in text.trim().lines() {
        if let Some((name, version)) = line.rsplit_once("version") {
            (found.0, found.1) = (name.trim(), version.trim());
        } else if let Some(commit) = line.strip_prefix("commit:") {
            found.2 = commit.trim();
        }
    }
    found
}

/// Source: containerd's go-runc, parseVersion: what follows "runc version " and "spec: ".
fn as_go_runc_reads(text: &str) -> (Option<&str>, Option<&str>) {
    let lines: Vec<_> = text.trim().split('\n').collect();
    match lines[0].strip_prefix("runc version ") {
        Some(version) => {
            let spec = lines.iter().find_map(|line| line.strip_prefix("spec: "));
            (Some(version), spec)
        }
        None => (None, None),
    }
}

#[test]
fn the_version_breaks_no_parser() {
    let version = |name: &str| {
        let mut command = Command::new(harness::runu());
        answer({
            command.arg0(name).arg("--version");
            command
        })
    };
    let (code, text, stderr) = version("runu");
    assert_eq!((code, stderr.as_str()), (Some(0), ""));
    let own = env!("CARGO_PKG_VERSION");
    assert_eq!(as_docker_reads(&text), ("runu", own, ""));
    // No error, and no version of runc's where it is not runc.
    assert_eq!(as_go_runc_reads(&text), (None, None));
    // podman and CRI-O show the lines; "name version number" comes first.
    let first: Vec<_> = text.lines().next().unwrap().split(' ').collect();
    assert_eq!(first, ["runu", "version", own]);
    let spec = text
        .lines()
        .find_map(|line| line.strip_prefix("spec: "))
        .unwrap();
    assert!(spec.starts_with("1."), "{spec}");

    // Installed in runc's place, it is runc to who asks.
    if which::which("runc").is_err() && harness::skip("there is no runc to be") {
        return;
    }
    let (_, text, _) = version("runc");
    let (name, version, _) = as_docker_reads(&text);
    assert!(name == "runc" && !version.is_empty(), "{text}");
    let (runc, spec) = as_go_runc_reads(&text);
    assert!(runc == Some(version) && spec.is_some(), "{text}");
}
