//! Hermit's kernels through the program: what they see, the container's files by their calls,
//! and what calls that are wrong come to.

use std::fs;
use std::io::Write;
use std::os::unix::fs::{PermissionsExt, symlink};

use harness::bundle::Bundle;
use harness::guard::Container;
use harness::program::Program;
use nix::sys::stat::{Mode, SFlag, makedev, mknod};
use serde_json::Value;

const ABIS: [&str; 2] = ["hermit1", "hermit3"];

/// A guest that is told this command line. Tests that run at once have their own `id`s.
fn bundle(id: &str, guest: &str, abi: &str, cmdline: &str) -> Bundle {
    let id = format!("hermit-{id}");
    Bundle::unikernel(&id, guest, abi, &[guest]).annotate("runu.dev/cmdline", cmdline)
}

/// Runs it to its end: its status, what it said, and what the monitor said.
fn run(program: &Program, bundle: &Bundle) -> (i32, String, String) {
    let container = Container::new(program, "hermit", bundle);
    container.start();
    (container.wait(), container.stdout(), container.stderr())
}

#[test]
fn hello_by_both_interfaces() {
    if harness::cannot_boot() {
        return;
    }
    for abi in ABIS {
        let program = Program::new();
        let hello = bundle("hello", "hello", abi, "app -- a 'b c'");
        fs::write(hello.rootfs().join("unikraft/bin/initrd"), [1, 2, 0xff]).unwrap();
        let (status, said, faults) = run(&program, &hello);
        assert_eq!((status, &*faults), (0, ""), "{abi}: {said}");
        for line in [
            "hello from a unikernel",
            "cmdline: app -- a 'b c'",
            "initrd: 3 bytes, checksum 0x00000102",
            &format!("abi: {abi}"),
        ] {
            assert!(said.contains(line), "{abi}: {line:?} is not in {said}");
        }
    }
}

#[test]
fn the_exit_code_and_a_crash_are_the_guests() {
    if harness::cannot_boot() {
        return;
    }
    for abi in ABIS {
        let program = Program::new();
        for (guest, cmdline, expected, fault) in [
            ("exit", "exit=7", 7, ""),
            ("exit", "exit=255", 255, ""),
            ("crash", "how=triple-fault", 139, "triple fault"),
            ("crash", "how=halt", 139, "halted with interrupts off"),
        ] {
            let (status, said, faults) = run(&program, &bundle("ends", guest, abi, cmdline));
            assert_eq!(status, expected, "{abi}, {cmdline}: {said}{faults}");
            assert!(faults.contains(fault), "{abi}, {cmdline}: {faults}");
        }
    }
}

#[test]
fn input_reaches_the_guest_up_to_its_end() {
    if harness::cannot_boot() {
        return;
    }
    for abi in ABIS {
        let program = Program::new();
        let bundle = bundle("input", "echo", abi, "");
        let container = Container::new(&program, "echo", &bundle);
        let (reader, mut writer) = std::io::pipe().unwrap();
        assert_eq!(container.create_with_stdin(reader).code, 0);
        program.ok(&["start", "echo"]);
        container.wait_output("ready");
        writer.write_all(b"one\ntwo words\n").unwrap();
        container.wait_output("echo: two words");
        drop(writer);
        assert_eq!(container.wait(), 0, "{abi}: {}", container.stderr());
        assert!(container.stdout().contains("echo: one\n"));
    }
}

/// While it waits for input as well.
#[test]
fn a_guest_is_ended_by_a_signal() {
    if harness::cannot_boot() {
        return;
    }
    for (guest, ready) in [("echo", "ready"), ("spin", "spinning")] {
        let program = Program::new();
        let bundle = bundle("signal", guest, "hermit3", "");
        let container = Container::new(&program, guest, &bundle);
        let (reader, _writer) = std::io::pipe().unwrap();
        assert_eq!(container.create_with_stdin(reader).code, 0);
        program.ok(&["start", guest]);
        container.wait_output(ready);
        program.ok(&["kill", guest, "TERM"]);
        assert_eq!(container.wait(), 143);
    }
}

/// A root file system with all that a guest must and must not have.
fn add_files(bundle: &Bundle) {
    let data = bundle.rootfs().join("data");
    fs::create_dir(&data).unwrap();
    for (name, text) in [
        ("in", "hello, guest"),
        ("old", "older and longer"),
        ("gone", ""),
        ("read-only", ""),
    ] {
        fs::write(data.join(name), text).unwrap();
    }
    let mode = fs::Permissions::from_mode(0o400);
    fs::set_permissions(data.join("read-only"), mode).unwrap();
    // The guest has the container's user, and without capabilities is root held to modes.
    std::os::unix::fs::chown(data.join("read-only"), Some(1), None).unwrap();
    for (name, target) in [
        ("link", "in"),
        ("loop", "loop"),
        ("to-proc", "/proc/self/mem"),
        ("out-of-root", "/../../../../../../data/in"),
    ] {
        symlink(target, data.join(name)).unwrap();
    }
    let mode = Mode::from_bits_truncate(0o666);
    for (name, kind, device) in [
        ("fifo", SFlag::S_IFIFO, 0),
        ("device", SFlag::S_IFCHR, makedev(1, 3)),
        ("socket", SFlag::S_IFSOCK, 0),
    ] {
        mknod(&data.join(name), kind, mode, device).unwrap();
    }
}

/// What both interfaces print after their own beginnings.
const FILES: &str = r#"by descriptor 1
by descriptor 2
open: 3
read: 12, "hello, guest"
at the end: 0
lseek: 7
read: 5, "guest"
lseek before the beginning: ERROR
close: 0
close again: -9
read what is closed: -9
close the console: 0
create: 3
lseek: 0
read: 18, "written by a guest"
create again: -17
unlink: 0
unlink again: -2
"#;

const LOOKING: &str = r#"stat: 0, mode 100644, 12 bytes
lstat: 0, mode 120777
stat of the link: 0, 12 bytes
stat of nothing: -2
fstat: 0, 12 bytes
fstat of the console: -9
mkdir: 0
mkdir again: -17
mkdir of the root: -22
getdents: (3, 9)
"#;

const REFUSALS: &str = r#"open "/none": -2
open "/data": -21
open "/data/fifo": -1
open "/data/device": -1
open "/data/socket": -1
open "/proc/self/mem": -2
open "/proc/self/root/data/in": -2
open "/dev/null": -2
open "/data/to-proc": -2
open "/data/loop": -2
open "": -2
open "/data/out-of-root": true
read: 12, "hello, guest"
open "/../../../data/in": true
read: 12, "hello, guest"
open "data/in": true
read: 12, "hello, guest"
open a directory: -21
write to what is read-only: -1
unlink the root: -22
unlink in proc: -2
create in proc: -2
open at once: 64
"#;

#[test]
fn a_guest_has_the_regular_files_of_its_container_and_nothing_else() {
    if harness::cannot_boot() {
        return;
    }
    for (abi, told, looking, error) in [
        (
            "hermit1",
            "arg: app\narg: -v\narg: b c\nenv: A=1\n",
            "",
            "-1",
        ),
        ("hermit3", "", LOOKING, "-22"),
    ] {
        let program = Program::new();
        let bundle = bundle("files", "files", abi, "app env=A=1 -- -v 'b c'");
        add_files(&bundle);
        let (status, said, faults) = run(&program, &bundle);
        let files = FILES.replace("ERROR", error);
        let expected = format!("{told}{files}{looking}{REFUSALS}");
        assert_eq!((status, &*faults), (0, ""), "{abi}: {said}");
        assert_eq!(said, expected, "{abi}");
        let read = |name: &str| fs::read_to_string(bundle.rootfs().join("data").join(name));
        assert_eq!(read("out").unwrap(), "written by a guest\n");
        assert_eq!(read("old").unwrap(), "new");
        assert!(read("gone").is_err());
        let made = fs::metadata(bundle.rootfs().join("data/out")).unwrap();
        assert_eq!(made.permissions().mode() & 0o7777, 0o640, "no set-id bits");
    }
}

#[test]
fn a_call_that_is_wrong_ends_the_guest_and_names_the_call() {
    if harness::cannot_boot() {
        return;
    }
    for abi in ABIS {
        let program = Program::new();
        for (how, call) in [
            ("structure", "hypercall open: "),
            ("path", "hypercall open: "),
            ("buffer", "hypercall read: "),
            ("wrap", "hypercall serial_write_buffer: "),
            ("length", "hypercall serial_write_buffer: "),
            ("write", "hypercall write: "),
            ("unknown", "is not offered"),
        ] {
            let (status, said, faults) = run(
                &program,
                &bundle("misuse", "misuse", abi, &format!("how={how}")),
            );
            assert_eq!(said, format!("misusing: {how}\n"), "{abi}");
            assert_eq!(status, 132, "{abi}, {how}: {faults}");
            assert!(faults.contains(call), "{abi}, {how}: {faults}");
        }
    }
}

/// The first interface has 32-bit addresses; the second has memory from 4 GiB on.
#[test]
fn memory_is_in_one_piece() {
    if harness::cannot_boot() {
        return;
    }
    let program = Program::new();
    let large = |abi: &str| {
        bundle("memory", "hello", abi, "")
            .annotate("runu.dev/memory", "5Gi")
            .with(|config| config["linux"]["resources"]["memory"] = Value::Null)
    };
    let (status, said, _) = run(&program, &large("hermit3"));
    assert_eq!(status, 0);
    assert!(
        said.contains(&format!("memory: {} bytes", 5u64 << 30)),
        "{said}"
    );
    let refused = Container::new(&program, "large", &large("hermit1")).create();
    assert_eq!(refused.code, 1);
    let why = "give it 3 GiB or less";
    assert!(refused.stderr.contains(why), "{}", refused.stderr);
}
