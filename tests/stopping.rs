//! How a guest is ended from outside: asked in the way that it listens to, or at once.

use std::time::{Duration, Instant};

use harness::bundle::Bundle;
use harness::guard::Container;
use harness::program::Program;

/// What a guest that is ended by SIGTERM, unasked, has for its exit status.
const TERMINATED: i32 = 143;
const KILLED: i32 = 137;

struct Case<'a> {
    program: &'a Program,
    container: Container<'a>,
    id: &'a str,
}

impl<'a> Case<'a> {
    /// A guest that is ready to be asked.
    fn start(program: &'a Program, id: &'a str, bundle: &'a Bundle) -> Self {
        let container = Container::new(program, id, bundle);
        container.start();
        container.wait_output("ready");
        Self {
            program,
            container,
            id,
        }
    }

    fn kill(&self, signal: &str) {
        self.program.ok(&["kill", self.id, signal]);
    }

    /// The guest's exit status and last line, within much less than a caller's patience.
    fn end(&self) -> (i32, String) {
        let asked = Instant::now();
        let status = self.container.wait();
        assert!(
            asked.elapsed() < Duration::from_secs(5),
            "{:?}",
            asked.elapsed()
        );
        let said = self.container.stdout();
        (status, said.lines().last().unwrap_or("").to_owned())
    }
}

/// A guest that listens as `listen` says, and exits with `exit` when it is asked.
fn bundle(id: &str, listen: &str, exit: &str) -> Bundle {
    let (listens, exits) = (format!("listen={listen}"), format!("exit={exit}"));
    Bundle::unikernel(id, "stop", "pvh", &["stop", &listens, &exits])
}

#[test]
fn sigterm_asks_the_guest_in_the_way_it_listens_to() {
    if harness::cannot_boot() {
        return;
    }
    let program = Program::new();
    for (id, listen, exit, how) in [
        ("stop-keys", "keys", ("5", 5), "asked by keys"),
        (
            "stop-button",
            "button",
            ("0", 0),
            "asked by the power button",
        ),
        // Linux reboots so where it is told `reboot=t`.
        ("stop-reset", "keys", ("triple-fault", 0), "asked by keys"),
    ] {
        let (exit, status) = exit;
        let bundle = bundle(id, listen, exit);
        let case = Case::start(&program, id, &bundle);
        case.kill("TERM");
        // Some callers send it more than once, perhaps to one that has ended.
        let _ = program.call(&["kill", id, "TERM"]);
        assert_eq!(case.end(), (status, how.to_owned()));
        assert_eq!(case.container.stderr(), "");
    }
}

#[test]
fn a_guest_that_cannot_be_asked_is_ended_at_once() {
    if harness::cannot_boot() {
        return;
    }
    let program = Program::new();
    let bundle = bundle("stop-nothing", "nothing", "0");
    let case = Case::start(&program, "stop-nothing", &bundle);
    case.kill("TERM");
    assert_eq!(case.end(), (TERMINATED, "ready".to_owned()));
}

#[test]
fn other_signals_ask_nobody() {
    if harness::cannot_boot() {
        return;
    }
    let program = Program::new();
    for (signal, status) in [("INT", 130), ("QUIT", 131), ("KILL", KILLED)] {
        let id = format!("stop-{signal}");
        let listens = bundle(&id, "keys", "0");
        let case = Case::start(&program, &id, &listens);
        case.kill(signal);
        assert_eq!(case.end(), (status, "ready".to_owned()), "{signal}");
    }
}

#[test]
fn a_guest_that_does_not_care_runs_on_until_it_is_killed() {
    if harness::cannot_boot() {
        return;
    }
    let program = Program::new();
    let bundle = bundle("stop-deaf", "deaf", "0");
    let case = Case::start(&program, "stop-deaf", &bundle);
    for _ in 0..3 {
        case.kill("TERM");
        std::thread::sleep(Duration::from_millis(100));
        assert_eq!(program.state("stop-deaf")["status"], "running");
    }
    case.kill("KILL");
    assert_eq!(case.end(), (KILLED, "ready".to_owned()));
}

#[test]
fn a_paused_guest_is_asked_when_it_goes_on() {
    if harness::cannot_boot() {
        return;
    }
    let program = Program::new();
    let bundle = bundle("stop-paused", "button", "0");
    let case = Case::start(&program, "stop-paused", &bundle);
    program.ok(&["pause", case.id]);
    case.kill("TERM");
    program.ok(&["resume", case.id]);
    assert_eq!(case.end(), (0, "asked by the power button".to_owned()));
}
