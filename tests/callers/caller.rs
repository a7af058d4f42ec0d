//! What every caller can be asked. The defaults speak the command line that docker
//! and podman have in common.

use std::fs::File;
use std::io::{Read, Seek};
use std::os::unix::process::ExitStatusExt;
use std::path::PathBuf;
use std::process::{Command, Stdio};

use crate::kind::Workload;
use crate::terminal::Terminal;
use harness::containerd::{Census, Node};
use harness::images::Image;
use harness::program::{Outcome, wait_for};

/// How a client runs a container.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Mode {
    /// The client leaves once the container runs.
    Detached,
    /// The client stays for as long as the container runs.
    Attached,
    /// As attached, with a terminal, which the client has too.
    Terminal,
}

/// A caller of runtimes on a node of its own, with runu as its runtime.
pub trait Caller {
    fn node(&self) -> &Node;

    /// The client, to be given a verb.
    fn client(&self) -> Command;

    /// The `--root` that the caller gives its runtime.
    fn root(&self) -> PathBuf;

    /// Brings an image in.
    fn import(&self, image: &Image);

    /// Flags of `run` that this caller needs here.
    fn run_flags(&self) -> Vec<String> {
        Vec::new()
    }

    /// `run`, complete.
    fn run_command(&self, name: &str, mode: Mode, workload: &Workload) -> Command {
        let mut run = self.client();
        run.args(["run", "--network", "none", "--name", name])
            .args(self.run_flags());
        match mode {
            Mode::Detached => run.arg("--detach"),
            Mode::Attached => &mut run,
            Mode::Terminal => run.args(["--interactive", "--tty"]),
        };
        run.arg(&workload.image).args(&workload.args);
        run
    }

    /// Runs a container in the background.
    fn run(&mut self, name: &str, workload: &Workload) {
        ok(self.run_command(name, Mode::Detached, workload));
    }

    /// Runs a container in the background, by whatever [`Caller::crash`] will end.
    fn run_by_what_crashes(&mut self, name: &str, workload: &Workload) {
        self.run(name, workload);
    }

    /// Runs a container to its end.
    fn run_to_its_end(&self, name: &str, workload: &Workload) -> Outcome {
        call(self.run_command(name, Mode::Attached, workload))
    }

    /// Runs a container with a terminal.
    fn run_in_terminal(&self, name: &str, workload: &Workload) -> Terminal {
        Terminal::spawn(self.run_command(name, Mode::Terminal, workload))
    }

    /// The ID that the caller gave its runtime.
    fn id(&self, name: &str) -> String {
        self.inspect(name, "{{.Id}}")
    }

    /// The pid of the container's first process, as the node sees it.
    fn pid(&self, name: &str) -> i64 {
        self.inspect(name, "{{.State.Pid}}").parse().unwrap()
    }

    /// `running`, `paused` and so on.
    fn status(&self, name: &str) -> String {
        self.inspect(name, "{{.State.Status}}")
    }

    /// One fact of a container, by a template of Go's.
    fn inspect(&self, name: &str, template: &str) -> String {
        let answer = self.verb(&["inspect", "--format", template, name]);
        answer.trim().to_owned()
    }

    /// What the container has said so far.
    fn logs(&self, name: &str) -> String {
        self.verb(&["logs", name])
    }

    /// `exec` in a container, up to the program; with a terminal or without one.
    fn exec_command(&self, name: &str, tty: bool) -> Command {
        let mut exec = self.client();
        exec.arg("exec");
        if tty {
            exec.args(["--interactive", "--tty"]);
        }
        exec.arg(name);
        exec
    }

    /// Asks the container to end, and waits until it has.
    fn stop(&self, name: &str) {
        self.verb(&["stop", name]);
    }

    /// SIGKILL.
    fn kill(&self, name: &str) {
        self.verb(&["kill", name]);
    }

    fn pause(&self, name: &str) {
        self.verb(&["pause", name]);
    }

    fn resume(&self, name: &str) {
        self.verb(&["unpause", name]);
    }

    /// Gives the container half a CPU.
    fn limit_cpus(&self, name: &str) {
        self.verb(&["update", "--cpus", "0.5", name]);
    }

    /// Waits for the container's end and gives its exit code.
    fn wait(&self, name: &str) -> i32 {
        let answer = self.verb(&["wait", name]);
        answer.trim().parse().expect(&answer)
    }

    /// Removes a container that has ended.
    fn remove(&self, name: &str) {
        self.verb(&["rm", name]);
    }

    /// Ends the caller by SIGKILL. [`Caller::restart`] must follow.
    fn crash(&mut self);

    /// Starts the caller again.
    fn restart(&mut self);

    /// Whether a container's last words are kept while the caller is down.
    fn keeps_last_words(&self) -> bool {
        true
    }

    /// A call that must work; what it printed.
    #[track_caller]
    fn verb(&self, args: &[&str]) -> String {
        let mut client = self.client();
        client.args(args);
        ok(client)
    }

    fn census(&self) -> Census {
        self.node().census().unwrap()
    }
}

/// Calls a client and waits; a client that hangs fails the test. Output goes to
/// files: what lives on may hold a pipe.
#[track_caller]
pub fn call(mut client: Command) -> Outcome {
    let file = || tempfile::tempfile().unwrap();
    let (stdout, stderr) = (file(), file());
    let mut child = client
        .stdin(Stdio::null())
        .stdout(stdout.try_clone().unwrap())
        .stderr(stderr.try_clone().unwrap())
        .spawn()
        .unwrap();
    let status = wait_for(&format!("{client:?}"), || child.try_wait().unwrap());
    Outcome {
        code: status
            .code()
            .unwrap_or_else(|| 128 + status.signal().unwrap_or(0)),
        stdout: text(stdout),
        stderr: text(stderr),
    }
}

/// [`call`], which must work; what it printed.
#[track_caller]
pub fn ok(client: Command) -> String {
    let called = format!("{client:?}");
    let outcome = call(client);
    assert_eq!(outcome.code, 0, "{called}\n{outcome:#?}");
    outcome.stdout
}

fn text(mut file: File) -> String {
    let mut bytes = Vec::new();
    file.rewind().unwrap();
    file.read_to_end(&mut bytes).unwrap();
    String::from_utf8_lossy(&bytes).into_owned()
}
