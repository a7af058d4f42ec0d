//! The program, called as its callers call it.

use std::ffi::OsStr;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::sync::Arc;
use std::time::{Duration, Instant};

use serde_json::Value;
use tempfile::TempDir;

use super::bundle::Bundle;

/// How long anything that a test waits for may take. Slow machines boot guests
/// in software.
pub const TIMEOUT: Duration = Duration::from_secs(60);

/// The program with a state root of its own.
pub struct Program {
    binary: PathBuf,
    dir: Arc<TempDir>,
    /// Global flags that every call has, beside those of containerd.
    flags: Vec<&'static str>,
    /// The node's configuration in place of the usual file.
    config: Option<PathBuf>,
}

/// What one call came to.
#[derive(Debug)]
pub struct Outcome {
    pub code: i32,
    pub stdout: String,
    pub stderr: String,
}

impl Program {
    /// runu.
    pub fn new() -> Self {
        Self::of(super::runu())
    }

    /// runu, and runc to compare it with; `None`, said aloud, where there is no runc.
    pub fn beside_runc() -> Option<(Self, Self)> {
        let Ok(runc) = which::which("runc") else {
            super::skip("there is no runc to compare with");
            return None;
        };
        Some((Self::new(), Self::of(runc)))
    }

    /// Another runtime, to compare with.
    pub fn of(binary: PathBuf) -> Self {
        Self {
            binary,
            dir: Arc::new(tempfile::tempdir().unwrap()),
            flags: Vec::new(),
            config: None,
        }
    }

    /// Another runtime with the same state root, as after one was put in the other's place.
    pub fn replaced_by(&self, binary: PathBuf) -> Self {
        Self {
            binary,
            dir: self.dir.clone(),
            config: self.config.clone(),
            flags: self.flags.clone(),
        }
    }

    /// The same program, with a global flag in every call.
    pub fn with_flag(mut self, flag: &'static str) -> Self {
        self.flags.push(flag);
        self
    }

    /// On a node with these policy files of its site's.
    pub fn with_policy(mut self, files: &[PathBuf]) -> Self {
        let dir = self.dir.path().join("policy.d");
        fs::create_dir(&dir).unwrap();
        for file in files {
            fs::copy(file, dir.join(file.file_name().unwrap())).unwrap();
        }
        let config = self.dir.path().join("config.toml");
        fs::write(&config, format!("policy = {dir:?}\n")).unwrap();
        self.config = Some(config);
        self
    }

    /// The caller's `--root`.
    pub fn root(&self) -> PathBuf {
        self.dir.path().join("root")
    }

    /// runu's own directory for that root.
    pub fn store(&self) -> PathBuf {
        let root = self.root().to_str().unwrap().replace('/', "%2F");
        Path::new("/run/runu").join(root)
    }

    /// The file given as `--log`.
    pub fn log(&self) -> PathBuf {
        self.dir.path().join("log.json")
    }

    /// A call with the flags that containerd gives before the verb.
    pub fn command<S: AsRef<OsStr>>(&self, args: &[S]) -> Command {
        let mut command = Command::new(&self.binary);
        command
            .arg("--root")
            .arg(self.root())
            .arg("--log")
            .arg(self.log());
        command
            .args(["--log-format", "json"])
            .args(&self.flags)
            .args(args)
            .stdin(Stdio::null());
        command.envs(self.config.iter().map(|config| ("RUNU_CONFIG", config)));
        command
    }

    /// Calls it and waits. Output goes to files: a container that lives on holds
    /// its stdio, and a pipe would be read for as long. Each call has files of its
    /// own: what such a container writes later is in no other call's output.
    pub fn call<S: AsRef<OsStr>>(&self, args: &[S]) -> Outcome {
        let mut command = self.command(args);
        self.capture(&mut command)
    }

    /// Runs a prepared command as [`Program::call`] does.
    pub fn capture(&self, command: &mut Command) -> Outcome {
        let [stdout, stderr] = [(); 2].map(|()| tempfile::NamedTempFile::new().unwrap());
        let status = command
            .stdout(stdout.reopen().unwrap())
            .stderr(stderr.reopen().unwrap())
            .status()
            .unwrap();
        let text = |file: &tempfile::NamedTempFile| {
            String::from_utf8_lossy(&fs::read(file).unwrap()).into_owned()
        };
        Outcome {
            code: status.code().expect("it was ended by a signal"),
            stdout: text(&stdout),
            stderr: text(&stderr),
        }
    }

    /// Calls it and fails the test if it fails.
    #[track_caller]
    pub fn ok<S: AsRef<OsStr>>(&self, args: &[S]) -> String {
        let outcome = self.call(args);
        assert_eq!(outcome.code, 0, "{}", outcome.stderr);
        outcome.stdout
    }

    /// `state`, as JSON.
    #[track_caller]
    pub fn state(&self, id: &str) -> Value {
        serde_json::from_str(&self.ok(&["state", id])).unwrap()
    }

    /// Waits until the container's status is this.
    #[track_caller]
    pub fn wait_status(&self, id: &str, status: &str) {
        wait_for(&format!("{id} to be {status}"), || {
            (self.state(id)["status"] == status).then_some(())
        });
    }

    /// That a deleted container has left nothing on the host: state, mount, cgroup.
    #[track_caller]
    pub fn assert_nothing_left(&self, id: &str, bundle: &Bundle) {
        // The directory of the root itself may be left by a `create` that was killed before
        // it made anything in it.
        let left: Vec<_> = fs::read_dir(self.store()).into_iter().flatten().collect();
        assert!(left.is_empty(), "{left:?} are left");
        let mounts = fs::read_to_string("/proc/self/mountinfo").unwrap();
        assert!(
            !mounts.contains(bundle.path().to_str().unwrap()),
            "{mounts}"
        );
        let cgroups = super::cgroups(&format!("runu-test-{id}"));
        assert!(cgroups.is_empty(), "{cgroups:?} are left");
    }

    /// The lines of the error log, each one JSON.
    pub fn log_lines(&self) -> Vec<Value> {
        let text = fs::read_to_string(self.log()).unwrap_or_default();
        text.lines()
            .map(|line| serde_json::from_str(line).expect(line))
            .collect()
    }
}

impl Drop for Program {
    fn drop(&mut self) {
        let _ = fs::remove_dir(self.store());
    }
}

/// Waits until `ready` gives something, and fails the test after [`TIMEOUT`].
#[track_caller]
pub fn wait_for<T>(what: &str, mut ready: impl FnMut() -> Option<T>) -> T {
    let deadline = Instant::now() + TIMEOUT;
    loop {
        if let Some(value) = ready() {
            return value;
        }
        assert!(Instant::now() < deadline, "waited in vain for {what}");
        std::thread::sleep(Duration::from_millis(5));
    }
}

/// The text of a finished command's output, both streams.
pub fn text(output: &Output) -> String {
    String::from_utf8_lossy(&[&output.stdout[..], &output.stderr[..]].concat()).into_owned()
}
