//! A container that a test made, and its removal however the test ends.

use std::fs::File;
use std::os::unix::process::ExitStatusExt;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};

use nix::sys::wait::{Id, WaitPidFlag, WaitStatus, waitid, waitpid};
use nix::unistd::Pid;

use super::bundle::Bundle;
use super::program::{Outcome, Program, wait_for};

/// A container under a program, with its output in files as containerd keeps
/// it. Dropping it deletes the container by force.
pub struct Container<'a> {
    program: &'a Program,
    pub id: String,
    bundle: &'a Bundle,
}

impl<'a> Container<'a> {
    /// A container that is not created yet. This process becomes the reaper of
    /// its orphans, as containerd's shim is.
    pub fn new(program: &'a Program, id: &str, bundle: &'a Bundle) -> Self {
        nix::sys::prctl::set_child_subreaper(true).unwrap();
        Self {
            program,
            id: id.to_owned(),
            bundle,
        }
    }

    /// `create` with a pid file; stdio goes to files.
    pub fn create(&self) -> Outcome {
        let mut command = self.create_command();
        command.stdin(Stdio::null());
        self.spawn(&mut command)
    }

    /// `create` with what the test gives as stdin.
    pub fn create_with_stdin(&self, stdin: impl Into<Stdio>) -> Outcome {
        let mut command = self.create_command();
        command.stdin(stdin);
        self.spawn(&mut command)
    }

    /// The `create` call, for a test to add to.
    pub fn create_command(&self) -> Command {
        let bundle = self.bundle.path().to_str().unwrap();
        let pid_file = self.pid_file();
        let args = [
            "create",
            "--bundle",
            bundle,
            "--pid-file",
            pid_file.to_str().unwrap(),
        ];
        let mut command = self.program.command(&args);
        command.arg(&self.id);
        command
    }

    /// Runs a `create` call that the test has changed.
    pub fn spawn(&self, command: &mut Command) -> Outcome {
        let open = |path: PathBuf| {
            File::options()
                .append(true)
                .create(true)
                .open(path)
                .unwrap()
        };
        let mut child: Child = command
            .stdout(open(self.file("stdout")))
            .stderr(open(self.file("stderr")))
            .spawn()
            .unwrap();
        let status = child.wait().unwrap();
        let code = status
            .code()
            .unwrap_or_else(|| 128 + status.signal().unwrap_or(0));
        Outcome {
            code,
            stdout: self.stdout(),
            stderr: self.stderr(),
        }
    }

    /// `create` and `start`, both of which must work.
    #[track_caller]
    pub fn start(&self) {
        let created = self.create();
        assert_eq!(created.code, 0, "{}", created.stderr);
        self.program.ok(&["start", &self.id]);
    }

    /// Waits for the init process and gives its status as a shell would.
    pub fn wait(&self) -> i32 {
        let pid = Pid::from_raw(self.pid());
        wait_for(
            &format!("{} to end; so far: {}", self.id, self.stdout()),
            || match waitpid(pid, Some(WaitPidFlag::WNOHANG)).unwrap() {
                WaitStatus::Exited(_, code) => Some(code),
                WaitStatus::Signaled(_, signal, _) => Some(128 + signal as i32),
                _ => None,
            },
        )
    }

    /// Whether its process has ended; [`Self::wait`] tells how.
    pub fn has_ended(&self) -> bool {
        let id = Id::Pid(Pid::from_raw(self.pid()));
        let flags = WaitPidFlag::WEXITED | WaitPidFlag::WNOHANG | WaitPidFlag::WNOWAIT;
        waitid(id, flags).unwrap() != WaitStatus::StillAlive
    }

    /// The pid in the pid file.
    pub fn pid(&self) -> i32 {
        std::fs::read_to_string(self.pid_file())
            .unwrap()
            .parse()
            .expect("a bare number")
    }

    pub fn stdout(&self) -> String {
        std::fs::read_to_string(self.file("stdout")).unwrap_or_default()
    }

    pub fn stderr(&self) -> String {
        std::fs::read_to_string(self.file("stderr")).unwrap_or_default()
    }

    /// Waits until the container has printed this.
    #[track_caller]
    pub fn wait_output(&self, text: &str) {
        wait_for(&format!("{text:?} from {}", self.id), || {
            self.stdout().contains(text).then_some(())
        });
    }

    fn pid_file(&self) -> PathBuf {
        self.file("pid")
    }

    fn file(&self, name: &str) -> PathBuf {
        self.bundle.path().join(format!("{}.{name}", self.id))
    }
}

impl Drop for Container<'_> {
    fn drop(&mut self) {
        self.program.call(&["delete", "--force", &self.id]);
        // Its zombie is ours.
        if let Ok(pid) = std::fs::read_to_string(self.pid_file())
            .unwrap_or_default()
            .parse()
        {
            let _ = waitpid(Pid::from_raw(pid), Some(WaitPidFlag::WNOHANG));
        }
    }
}
