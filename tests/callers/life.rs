//! The life of a container: run, logs, exec, a pause, a terminal, its ends, and a
//! crash of its caller.

use std::path::Path;
use std::thread::sleep;
use std::time::Duration;

use crate::caller::{Caller, call};
use crate::kind::{self, Kind, Store, Workload};
use crate::terminal::Terminal;
use harness::containerd::TEST_ID;
use harness::program::wait_for;

/// Longer than from one tick to the next.
const MORE_THAN_A_TICK: Duration = Duration::from_millis(1500);

/// A part of that life: the caller, what is expected, and a name for the container.
type Step = fn(&mut dyn Caller, &Kind, &str);

/// Leads a container of this kind through all of it; nothing may be left.
pub fn lead(caller: &mut dyn Caller, kind: &Kind) {
    for image in &kind.images {
        caller.import(image);
    }
    caller.import(&kind::not_a_kernel());
    let before = caller.census();
    let steps: [(&str, Step); 7] = [
        ("exit codes", exit_codes),
        ("a terminal", a_terminal),
        ("a stop", logs_exec_pause_and_stop),
        ("a kill", a_kill),
        ("a crash of the caller", a_crash_of_the_caller),
        ("an exit without the caller", an_exit_without_the_caller),
        ("a refusal", a_refusal),
    ];
    for (number, (step, lead)) in steps.into_iter().enumerate() {
        println!("{step}"); // shown when the test fails
        lead(caller, kind, &format!("{TEST_ID}{number}"));
        caller.node().assert_nothing_left_since(&before);
    }
}

fn exit_codes(caller: &mut dyn Caller, kind: &Kind, name: &str) {
    for code in [0, 3] {
        let outcome = caller.run_to_its_end(name, &(kind.exits)(code));
        assert_eq!(outcome.code, code, "{outcome:#?}");
        caller.remove(name);
    }
}

fn a_terminal(caller: &mut dyn Caller, kind: &Kind, name: &str) {
    let mut terminal = caller.run_in_terminal(name, &kind.dialog);
    terminal.wait_for("ready");
    terminal.type_line("one");
    terminal.wait_for("echo: one");
    terminal.type_line("quit");
    let (code, said) = terminal.end();
    assert_eq!(code, 0, "{said:?}");
    caller.remove(name);
}

fn logs_exec_pause_and_stop(caller: &mut dyn Caller, kind: &Kind, name: &str) {
    caller.run(name, &kind.ticks);
    goes_on(caller, name);
    let said = caller.logs(name);
    assert!(said.starts_with("tick 1\n"), "{said:?}");
    lies_in_its_store(caller, kind, name);
    exec(caller, kind, name);
    caller.limit_cpus(name);

    caller.pause(name);
    assert_eq!(caller.status(name), "paused");
    sleep(Duration::from_millis(100)); // what is on its way to the log
    let then = caller.logs(name);
    sleep(MORE_THAN_A_TICK);
    assert_eq!(caller.logs(name), then);
    caller.resume(name);
    assert_eq!(caller.status(name), "running");
    goes_on(caller, name);

    caller.stop(name);
    assert_eq!(caller.wait(name), kind.stopped);
    assert!(caller.logs(name).starts_with(&then));
    caller.remove(name);
}

fn a_kill(caller: &mut dyn Caller, kind: &Kind, name: &str) {
    caller.run(name, &kind.ticks);
    goes_on(caller, name);
    caller.kill(name);
    assert_eq!(caller.wait(name), 128 + 9);
    caller.remove(name);
}

/// The container does not notice, and its caller still knows it.
fn a_crash_of_the_caller(caller: &mut dyn Caller, kind: &Kind, name: &str) {
    caller.run_by_what_crashes(name, &kind.ticks);
    goes_on(caller, name);
    let pid = caller.pid(name);
    caller.crash();
    sleep(MORE_THAN_A_TICK);
    caller.restart();
    assert_eq!(caller.status(name), "running");
    assert_eq!(caller.pid(name), pid);
    goes_on(caller, name);
    exec(caller, kind, name);
    caller.stop(name);
    assert_eq!(caller.wait(name), kind.stopped);
    caller.remove(name);
}

/// It ends while nobody looks; the exit code and the last words arrive.
fn an_exit_without_the_caller(caller: &mut dyn Caller, kind: &Kind, name: &str) {
    caller.run_by_what_crashes(name, &kind.ticks);
    goes_on(caller, name);
    let pid = caller.pid(name);
    caller.crash();
    caller.node().end(pid, "TERM").unwrap();
    caller.restart();
    assert_eq!(caller.wait(name), kind.stopped);
    if kind.store == Store::Runc && caller.keeps_last_words() {
        let said = caller.logs(name);
        assert!(said.ends_with("asked to stop\n"), "{said}");
    }
    caller.remove(name);
}

/// Shows that the runtime is runu, which decides by the image alone.
fn a_refusal(caller: &mut dyn Caller, _: &Kind, name: &str) {
    let broken = Workload {
        image: kind::not_a_kernel().name,
        args: Vec::new(),
    };
    let outcome = caller.run_to_its_end(name, &broken);
    assert_ne!(outcome.code, 0);
    assert!(
        outcome.stderr.contains("/unikraft/bin/kernel"),
        "{outcome:#?}"
    );
    caller.remove(name);
}

/// Another program inside, with a terminal and without; or the refusal, which leaves
/// the container as it was.
fn exec(caller: &dyn Caller, kind: &Kind, name: &str) {
    let mut plain = caller.exec_command(name, false);
    plain.args(["sh", "-c", "echo here; exit 5"]);
    let outcome = call(plain);
    if kind.has_exec {
        assert_eq!(outcome.code, 5, "{outcome:#?}");
        assert_eq!(outcome.stdout, "here\n");
        let mut tty = caller.exec_command(name, true);
        tty.args(["sh", "-c", "tty; exit 6"]);
        let (code, said) = Terminal::spawn(tty).end();
        assert_eq!(code, 6, "{said:?}");
        assert!(said.contains("/dev/pts/"), "{said:?}");
    } else {
        assert_ne!(outcome.code, 0);
        // docker says it on stdout.
        let said = outcome.stdout.clone() + &outcome.stderr;
        assert!(said.contains("it is a unikernel"), "{outcome:#?}");
        assert_eq!(caller.status(name), "running");
        goes_on(caller, name);
    }
}

/// Waits for the next tick.
#[track_caller]
fn goes_on(caller: &dyn Caller, name: &str) {
    // Whole lines: a unikernel's come byte by byte.
    let ticks = || caller.logs(name).matches('\n').count();
    let then = ticks();
    wait_for(&format!("{name} to tick"), || {
        (ticks() > then).then_some(())
    });
}

/// runc holds the ordinary container and runu the unikernel, under the caller's own
/// root and ID.
fn lies_in_its_store(caller: &dyn Caller, kind: &Kind, name: &str) {
    let id = caller.id(name);
    let state_by = |program: &Path| {
        let mut state = caller.node().command(program);
        state.arg("--root").arg(caller.root()).args(["state", &id]);
        call(state)
    };
    let runc = state_by(&which::which("runc").unwrap());
    assert_eq!(runc.code == 0, kind.store == Store::Runc, "{runc:#?}");
    let runu = state_by(&harness::runu());
    let status: serde_json::Value = serde_json::from_str(&runu.stdout).expect(&runu.stderr);
    assert_eq!(status["status"], "running", "{status}");
}
