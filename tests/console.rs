//! The console socket: the caller gets the pty that is the guest's COM1.

use std::fs::File;
use std::io::{IoSliceMut, Read, Write};
use std::os::fd::{AsRawFd, FromRawFd};
use std::os::unix::net::UnixListener;

use harness::bundle::Bundle;
use harness::guard::Container;
use harness::program::Program;
use nix::sys::socket::{ControlMessageOwned, MsgFlags, recvmsg};

#[test]
fn a_terminal_by_the_console_socket() {
    if harness::cannot_boot() {
        return;
    }
    let program = Program::new();
    let bundle = Bundle::unikernel("terminal", "echo", "pvh", &["echo"])
        .with(|config| config["process"]["terminal"] = true.into());
    let container = Container::new(&program, "terminal", &bundle);
    let socket = bundle.path().join("console.sock");
    let listener = UnixListener::bind(&socket).unwrap();
    let mut create = container.create_command();
    create.arg("--console-socket").arg(&socket);
    let outcome = program.capture(&mut create);
    assert_eq!(outcome.code, 0, "{}", outcome.stderr);

    let mut master = receive_terminal(&listener);
    program.ok(&["start", "terminal"]);
    read_until(&mut master, "ready");
    master.write_all(b"one\nquit\n").unwrap();
    let said = read_until(&mut master, "echo: one");
    // The terminal is raw: it neither echoes nor turns the guest's newlines.
    assert!(!said.contains("quit"), "{said:?}");
    assert_eq!(container.wait(), 0);
}

#[test]
fn a_terminal_without_a_socket_is_an_error() {
    if harness::cannot_boot() {
        return;
    }
    let program = Program::new();
    let bundle = Bundle::unikernel("socketless", "echo", "pvh", &["echo"])
        .with(|config| config["process"]["terminal"] = true.into());
    let container = Container::new(&program, "socketless", &bundle);
    let outcome = container.create();
    assert_eq!(outcome.code, 1);
    assert!(
        outcome.stderr.contains("console socket"),
        "{}",
        outcome.stderr
    );
    assert!(!program.store().exists());
}

/// Takes the one descriptor that a runtime sends (SCM_RIGHTS).
fn receive_terminal(listener: &UnixListener) -> File {
    let (stream, _) = listener.accept().unwrap();
    let mut name = [0; 4096];
    let mut parts = [IoSliceMut::new(&mut name)];
    let mut space = nix::cmsg_space!(std::os::fd::RawFd);
    let message = recvmsg::<()>(
        stream.as_raw_fd(),
        &mut parts,
        Some(&mut space),
        MsgFlags::MSG_CMSG_CLOEXEC,
    )
    .unwrap();
    let Some(ControlMessageOwned::ScmRights(fds)) = message.cmsgs().unwrap().next() else {
        panic!("no descriptor came")
    };
    assert_eq!(fds.len(), 1);
    // SAFETY: the kernel made this descriptor for us just now.
    unsafe { File::from_raw_fd(fds[0]) }
}

fn read_until(terminal: &mut File, text: &str) -> String {
    let mut said = String::new();
    let mut buffer = [0; 256];
    while !said.contains(text) {
        let count = terminal.read(&mut buffer).unwrap_or(0);
        assert!(count > 0, "the terminal ended after {said:?}");
        said += &String::from_utf8_lossy(&buffer[..count]);
    }
    said
}
