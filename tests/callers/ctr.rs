//! containerd, by its own client `ctr`. It has no `stop`, no `wait` and no `logs`:
//! a signal, the task's exit code at its `delete`, and a file.

use std::path::PathBuf;
use std::process::Command;

use crate::caller::{Caller, Mode, call};
use crate::kind::Workload;
use harness::containerd::{Containerd, Node};
use harness::images::Image;
use harness::program::wait_for;

const NAMESPACE: &str = "callers";

pub struct Ctr(Containerd);

impl Ctr {
    pub fn start() -> Self {
        Self(Containerd::start(&harness::runu()).unwrap())
    }

    fn log(&self, name: &str) -> PathBuf {
        self.node().dir().join(format!("{name}.log"))
    }

    /// The PID and STATUS of a task, from `ctr tasks ls`.
    fn task(&self, name: &str) -> (i64, String) {
        let table = self.verb(&["tasks", "ls"]);
        let rows = table.lines().map(|line| line.split_whitespace());
        let mut row = rows
            .filter_map(|mut words| (words.next() == Some(name)).then_some(words))
            .next()
            .unwrap_or_else(|| panic!("no task {name}:\n{table}"));
        let pid = row.next().unwrap().parse().unwrap();
        (pid, row.next().unwrap().to_lowercase())
    }

    fn signal(&self, name: &str, signal: &str) {
        self.verb(&["tasks", "kill", "--signal", signal, name]);
    }

    fn wait_stopped(&self, name: &str) {
        wait_for(&format!("{name} to stop"), || {
            (self.status(name) == "stopped").then_some(())
        });
    }
}

impl Caller for Ctr {
    fn node(&self) -> &Node {
        self.0.node()
    }

    fn client(&self) -> Command {
        self.0.ctr(NAMESPACE)
    }

    fn root(&self) -> PathBuf {
        PathBuf::from("/run/containerd/runc").join(NAMESPACE)
    }

    fn import(&self, image: &Image) {
        self.0.import_into(NAMESPACE, image).unwrap();
    }

    fn run_command(&self, name: &str, mode: Mode, workload: &Workload) -> Command {
        let mut run = self.client();
        run.arg("run").arg("--runc-binary").arg(harness::runu());
        run.args(["--cgroup", &format!("{}/{name}", self.node().cgroup())]);
        match mode {
            Mode::Detached => {
                let log = self.log(name);
                run.args(["--detach", "--log-uri"])
                    .arg(format!("file://{}", log.display()))
            }
            Mode::Attached => &mut run,
            Mode::Terminal => run.arg("--tty"),
        };
        run.args([&workload.image, name]).args(&workload.args);
        run
    }

    fn id(&self, name: &str) -> String {
        name.to_owned()
    }

    fn pid(&self, name: &str) -> i64 {
        self.task(name).0
    }

    fn status(&self, name: &str) -> String {
        self.task(name).1
    }

    fn logs(&self, name: &str) -> String {
        std::fs::read_to_string(self.log(name)).unwrap_or_default()
    }

    fn exec_command(&self, name: &str, tty: bool) -> Command {
        let mut exec = self.client();
        exec.args(["tasks", "exec", "--exec-id", "exec"])
            .args(tty.then_some("--tty"))
            .arg(name);
        exec
    }

    fn stop(&self, name: &str) {
        self.signal(name, "SIGTERM");
        self.wait_stopped(name);
    }

    fn kill(&self, name: &str) {
        self.signal(name, "SIGKILL");
    }

    fn pause(&self, name: &str) {
        self.verb(&["tasks", "pause", name]);
    }

    fn resume(&self, name: &str) {
        self.verb(&["tasks", "resume", name]);
    }

    fn limit_cpus(&self, _: &str) {} // it has no such verb

    fn wait(&self, name: &str) -> i32 {
        self.wait_stopped(name);
        let mut delete = self.client();
        delete.args(["tasks", "delete", name]);
        let outcome = call(delete);
        assert_eq!(outcome.code, 0, "{outcome:#?}");
        exit_code(&outcome.stderr)
    }

    fn remove(&self, name: &str) {
        self.verb(&["containers", "delete", name]);
        let _ = std::fs::remove_file(self.log(name)); // not there if it was attached
    }

    fn crash(&mut self) {
        self.0.kill().unwrap();
    }

    fn restart(&mut self) {
        self.0.restart().unwrap();
    }
}

/// `ctr tasks delete` says nothing of a 0, and of others "task NAME exit with
/// non-zero exit code N" in a line of its log.
fn exit_code(log: &str) -> i32 {
    let Some((_, rest)) = log.split_once("non-zero exit code ") else {
        return 0;
    };
    let digits = rest.split(|c: char| !c.is_ascii_digit()).next();
    digits.and_then(|code| code.parse().ok()).expect(log)
}
