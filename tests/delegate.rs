//! The delegating path: a fake runc tells what reached it.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use harness::bundle::Bundle;
use harness::program::text;

/// A directory with a runc that writes its pid, argv, working directory, environment
/// and descriptors to `call`, and a configuration that names it.
struct Fake {
    dir: tempfile::TempDir,
}

impl Fake {
    fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let script = format!(
            "#!/bin/sh\nexec >'{0}/call'\necho pid $$\nfor word in \"$@\"; do echo \"arg $word\"; done\n\
             echo cwd $PWD\necho env $FAKE_ENV\nls /proc/self/fd | tr '\\n' ' '\nexit 42\n",
            dir.path().display()
        );
        let fake = Self { dir };
        fs::write(fake.runc(), script).unwrap();
        fs::set_permissions(fake.runc(), fs::Permissions::from_mode(0o755)).unwrap();
        fake.configure(&[&fake.runc()]);
        fake
    }

    fn runc(&self) -> PathBuf {
        self.dir.path().join("runc")
    }

    fn configure(&self, runtimes: &[&Path]) {
        fs::write(
            self.dir.path().join("config.toml"),
            format!("runtimes = {runtimes:?}\n"),
        )
        .unwrap();
    }

    fn command(&self, args: &[&str]) -> Command {
        let mut command = Command::new(harness::runu());
        command
            .args(args)
            .env("RUNU_CONFIG", self.dir.path().join("config.toml"));
        command
            .env("FAKE_ENV", "kept")
            .current_dir(self.dir.path())
            .stdin(Stdio::null());
        command
    }

    /// Calls runu, which must end as the fake does; gives what the fake saw.
    #[track_caller]
    fn call(&self, args: &[&str]) -> String {
        let mut child = self.command(args).spawn().unwrap();
        let pid = child.id();
        assert_eq!(child.wait().unwrap().code(), Some(42), "{args:?}");
        let seen = fs::read_to_string(self.dir.path().join("call")).unwrap();
        assert!(
            seen.starts_with(&format!("pid {pid}\n")),
            "another process: {seen}"
        );
        seen
    }
}

#[test]
fn every_other_verb_reaches_runc_as_it_was_written() {
    let fake = Fake::new();
    let bundle = Bundle::fixture("ordinary");
    let bundle = bundle.path().to_str().unwrap();
    let calls: &[&[&str]] = &[
        &[
            "--root=/r",
            "--log",
            "/l",
            "create",
            "--bundle",
            bundle,
            "create",
        ],
        &["run", "-b", bundle, "-d", "id"],
        &["-debug", "start", "id"],
        &["state", "id"],
        &["kill", "--all", "id", "9"],
        &["delete", "-force=true", "id"],
        &["exec", "-d", "--process", "p.json", "id"],
        &["exec", "id", "sh", "-c", "echo  two  blanks"],
        &["ps", "--format", "json", "id"],
        &["list", "-q"],
        &["pause", "id"],
        &["resume", "id"],
        &["events", "--stats", "id"],
        &["update", "--resources=-", "id"],
        &["checkpoint", "id"],
        &["restore", "-b", bundle, "--image-path", "images", "id"],
        &["spec"],
        &["frobnicate", "--all", ""],
        &["create"],
    ];
    for args in calls {
        let seen = fake.call(args);
        let expected: String = args.iter().map(|arg| format!("arg {arg}\n")).collect();
        assert!(
            seen.contains(&format!("\n{expected}cwd ")),
            "{args:?} became {seen}"
        );
        assert!(
            seen.contains(&format!("cwd {}\n", fake.dir.path().display())),
            "{seen}"
        );
        assert!(seen.contains("env kept\n"), "{seen}");
    }
}

#[test]
fn no_descriptor_is_added() {
    let fake = Fake::new();
    let through = fake.call(&["state", "id"]);
    fs::remove_file(fake.dir.path().join("call")).unwrap();
    let status = Command::new(fake.runc())
        .arg("x")
        .stdin(Stdio::null())
        .status()
        .unwrap();
    assert_eq!(status.code(), Some(42));
    let direct = fs::read_to_string(fake.dir.path().join("call")).unwrap();
    let last = |seen: &str| seen.lines().last().unwrap().to_owned();
    assert_eq!(last(&through), last(&direct));
}

#[test]
fn it_never_executes_itself() {
    let fake = Fake::new();
    let own = harness::runu();
    let copy_of_name = fake.dir.path().join("same");
    std::os::unix::fs::symlink(&own, &copy_of_name).unwrap();
    fake.configure(&[&own, &copy_of_name, &fake.runc()]);
    fake.call(&["state", "id"]);
    fake.configure(&[&own]);
    let output = fake.command(&["spec"]).output().unwrap();
    assert_eq!(output.status.code(), Some(1));
    assert!(
        text(&output).contains("no runtime for ordinary containers"),
        "{}",
        text(&output)
    );
}

#[test]
fn the_first_runtime_found_serves_without_a_path() {
    let fake = Fake::new();
    fake.configure(&[Path::new("/nowhere/runc"), &fake.runc()]);
    fake.call(&["state", "id"]);
    // By name: PATH, and without one the usual directories.
    fake.configure(&[Path::new("runc")]);
    let status = fake
        .command(&["state", "id"])
        .env("PATH", fake.dir.path())
        .status()
        .unwrap();
    assert_eq!(status.code(), Some(42));
    let output = fake
        .command(&["--version"])
        .env_remove("PATH")
        .output()
        .unwrap();
    assert!(
        text(&output).starts_with("runu version "),
        "{}",
        text(&output)
    );
}

#[test]
fn by_runcs_name_it_presents_runc() {
    let fake = Fake::new();
    let call = |arg| {
        let mut command = fake.command(&[arg]);
        command.arg0("/usr/bin/runc").output().unwrap()
    };
    for arg in ["--version", "-v", "--help", "-h"] {
        assert_eq!(call(arg).status.code(), Some(42), "{arg}");
    }
    // Where there is no runc, it answers itself.
    fake.configure(&[Path::new("/nowhere/runc")]);
    let output = call("--version");
    assert!(output.status.success(), "{output:?}");
    assert!(text(&output).starts_with("runu version "), "{output:?}");
}

#[test]
fn a_broken_configuration_stops_create_and_nothing_else() {
    let fake = Fake::new();
    let bundle = Bundle::fixture("ordinary");
    fs::write(fake.dir.path().join("config.toml"), "runtime = 1\n").unwrap();
    let create = ["create", "-b", bundle.path().to_str().unwrap(), "id"];
    let output = fake.command(&create).output().unwrap();
    assert_eq!(output.status.code(), Some(1));
    assert!(text(&output).contains("config.toml"), "{}", text(&output));
    // With the defaults it finds a runc by name.
    let status = fake
        .command(&["kill", "id"])
        .env("PATH", fake.dir.path())
        .status()
        .unwrap();
    assert_eq!(status.code(), Some(42));
}
