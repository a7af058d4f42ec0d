//! `run` in a terminal, as people call it: the caller's terminal and the guest's are one.

use std::fs::File;
use std::process::{Child, Command};

use harness::bundle::Bundle;
use harness::guard::Container;
use harness::program::{Program, wait_for};
use harness::terminal::{Terminal, in_own_session, size_of};
use nix::sys::signal::{Signal, kill};
use nix::sys::termios::LocalFlags;
use nix::unistd::Pid;

/// A bundle of a guest that wants a terminal.
fn bundle(id: &str, guest: &str) -> Bundle {
    Bundle::unikernel(id, guest, "pvh", &[guest])
        .with(|config| config["process"]["terminal"] = true.into())
}

fn run(program: &Program, bundle: &Bundle, id: &str) -> Command {
    program.command(&["run", "--bundle", bundle.path().to_str().unwrap(), id])
}

/// The status of a call, which must come.
fn status(mut call: Child) -> Option<i32> {
    wait_for("the call to end", || call.try_wait().unwrap()).code()
}

#[test]
fn keys_words_and_sizes_pass() {
    if harness::cannot_boot() {
        return;
    }
    let program = Program::new();
    let bundle = bundle("typed", "echo");
    let _container = Container::new(&program, "typed", &bundle);
    let mut terminal = Terminal::new(33, 77);
    let before = terminal.modes();
    let call = terminal.spawn(&mut run(&program, &bundle, "typed"));
    terminal.read_until("ready");
    let raw = LocalFlags::ICANON | LocalFlags::ECHO | LocalFlags::ISIG;
    assert!(!terminal.modes().3.intersects(raw));

    // Ctrl-C is a key like others.
    terminal.write("one\u{3}two\n");
    terminal.read_until("echo: one\u{3}two\r\n");
    // Nothing but the guest has echoed, and its newlines were turned once.
    assert_eq!(terminal.said, "ready\r\necho: one\u{3}two\r\n");

    let pid = program.state("typed")["pid"].as_i64().unwrap();
    let console = File::open(format!("/proc/{pid}/root/dev/console")).unwrap();
    assert_eq!(size_of(&console), (33, 77));
    terminal.resize(24, 80);
    wait_for("the new size", || {
        (size_of(&console) == (24, 80)).then_some(())
    });
    drop(console);

    terminal.write("quit\n");
    assert_eq!(status(call), Some(0));
    assert_eq!(terminal.modes(), before);
    program.assert_nothing_left("typed", &bundle);
}

#[test]
fn however_it_ends_the_terminal_is_as_before() {
    if harness::cannot_boot() {
        return;
    }
    let program = Program::new();
    let bundle = bundle("untyped", "echo");
    let _container = Container::new(&program, "untyped", &bundle);
    for (signal, code) in [(Signal::SIGTERM, 143), (Signal::SIGHUP, 129)] {
        let mut terminal = Terminal::new(24, 80);
        let before = terminal.modes();
        let call = terminal.spawn(&mut run(&program, &bundle, "untyped"));
        terminal.read_until("ready");
        assert_ne!(terminal.modes(), before);
        kill(Pid::from_raw(call.id() as i32), signal).unwrap();
        assert_eq!(status(call), Some(code), "{signal}");
        assert_eq!(terminal.modes(), before, "{signal}");
        program.assert_nothing_left("untyped", &bundle);
    }

    // Its monitor dies.
    let mut terminal = Terminal::new(24, 80);
    let before = terminal.modes();
    let call = terminal.spawn(&mut run(&program, &bundle, "untyped"));
    terminal.read_until("ready");
    program.ok(&["kill", "untyped", "KILL"]);
    assert_eq!(status(call), Some(137));
    assert_eq!(terminal.modes(), before);
    program.assert_nothing_left("untyped", &bundle);
}

#[test]
fn the_last_words_are_not_lost() {
    if harness::cannot_boot() {
        return;
    }
    let program = Program::new();
    for _ in 0..10 {
        let bundle = bundle("brief", "hello");
        let _container = Container::new(&program, "brief", &bundle);
        let mut terminal = Terminal::new(24, 80);
        let call = terminal.spawn(&mut run(&program, &bundle, "brief"));
        assert_eq!(status(call), Some(0));
        terminal.read_until("hello");
    }
}

#[test]
fn without_a_terminal_it_says_so() {
    if harness::cannot_boot() {
        return;
    }
    let program = Program::new();
    let bundle = bundle("nowhere", "echo");
    let _container = Container::new(&program, "nowhere", &bundle);
    let outcome = program.capture(in_own_session(&mut run(&program, &bundle, "nowhere")));
    assert_eq!(outcome.code, 1, "{outcome:?}");
    assert!(outcome.stderr.contains("no terminal here"), "{outcome:?}");
    program.assert_nothing_left("nowhere", &bundle);

    // One of stdio suffices.
    let mut terminal = Terminal::new(24, 80);
    let call = run(&program, &bundle, "nowhere");
    let script = "exec \"$@\" <&-";
    let mut shell = Command::new("sh");
    shell.args(["-c", script, "sh"]).arg(call.get_program());
    let call = terminal.spawn(shell.args(call.get_args()));
    terminal.read_until("ready");
    program.ok(&["kill", "nowhere", "TERM"]);
    assert_eq!(status(call), Some(143));

    // In the foreground there is nobody else to take the terminal.
    let socket = bundle.path().join("console.sock");
    let mut call = run(&program, &bundle, "nowhere");
    let outcome = program.capture(call.arg("--console-socket").arg(socket));
    assert_eq!(outcome.code, 1, "{outcome:?}");
    program.assert_nothing_left("nowhere", &bundle);
}
