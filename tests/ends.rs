//! Every way in which a guest can end: its status, and the line that says why.

use std::fs::File;
use std::io::Write;

use harness::bundle::Bundle;
use harness::guard::Container;
use harness::program::Program;

/// A guest and its end.
struct End {
    guest: &'static str,
    abi: &'static str,
    argument: &'static str,
    vcpus: &'static str,
    status: i32,
    /// What the monitor says, without its numbers; nothing of a guest that did not crash.
    line: &'static str,
}

/// An end that is the guest's own.
const fn end(guest: &'static str, abi: &'static str, argument: &'static str, status: i32) -> End {
    End {
        guest,
        abi,
        argument,
        vcpus: "1",
        status,
        line: "",
    }
}

impl End {
    const fn says(self, line: &'static str) -> End {
        End { line, ..self }
    }

    const fn of_vcpus(self, vcpus: &'static str) -> End {
        End { vcpus, ..self }
    }

    fn bundle(&self, id: &str) -> Bundle {
        let bundle = Bundle::unikernel(id, self.guest, self.abi, &[self.guest, self.argument]);
        bundle.annotate("runu.dev/vcpus", self.vcpus)
    }

    #[track_caller]
    fn check(&self, status: i32, faults: &str) {
        let End {
            guest,
            abi,
            argument,
            vcpus,
            ..
        } = self;
        let case = format!("{guest}-{abi} {argument}, {vcpus} vCPUs: {faults}");
        assert_eq!(status, self.status, "{case}");
        let line = match self.line {
            "" => String::new(),
            line => format!("runu: {line}\n"),
        };
        assert_eq!(without_numbers(faults), line, "{case}");
    }
}

/// A line with N for what is another number on another host, or of another build of the
/// guest: an instruction pointer, which AMD's processors forget in a triple fault.
fn without_numbers(line: &str) -> String {
    let line = line.replace("triple fault\n", "triple fault (rip N)\n");
    let Some((before, rest)) = line.split_once("(rip 0x") else {
        return line;
    };
    let after = rest.trim_start_matches(|c: char| c.is_ascii_hexdigit());
    format!("{before}(rip N{after}")
}

const TRIPLE_FAULT: &str = "the guest crashed: triple fault (rip N)";
const HALTED: &str = "the guest crashed: halted with interrupts off (rip N)";

/// What docs/guests.md says in "How it ends", but for signals.
const ENDS: [End; 30] = [
    end("exit", "linux64", "exit=0", 0),
    end("exit", "pvh", "exit=7", 7),
    end("exit", "multiboot1", "exit=255", 255),
    end("crash", "pvh", "how=success", 0),
    end("crash", "pvh", "how=hermit-success", 0),
    end("crash", "pvh", "how=hermit-failure", 1),
    end("crash", "linux64", "how=poweroff", 0),
    end("crash", "multiboot1", "how=reset", 0),
    end("crash", "pvh", "how=reset-pci", 0),
    end("crash", "linux64", "how=port", 134)
        .says("the guest crashed: it reported so itself, by port 0x501"),
    end("crash", "pvh", "how=pvpanic", 134)
        .says("the guest crashed: it reported so itself, by pvpanic"),
    end("crash", "multiboot1", "how=triple-fault", 139).says(TRIPLE_FAULT),
    end("smp", "pvh", "end=crash", 139).of_vcpus("3").says(TRIPLE_FAULT),
    end("crash", "linux64", "how=halt", 139).says(HALTED),
    end("smp", "linux64", "end=halt", 139).of_vcpus("3").says(HALTED),
    end("crash", "pvh", "how=hole", 132)
        .says("the guest cannot be run further: KVM cannot emulate an instruction (rip N)"),
    end("exit", "solo5", "exit=0", 0),
    end("exit", "solo5", "exit=254", 254),
    end("abuse", "solo5", "how=abort", 134)
        .says("the guest crashed: it reported so itself, by solo5_abort"),
    end("crash", "solo5", "how=triple-fault", 139).says(TRIPLE_FAULT),
    end("crash", "solo5", "how=halt", 139).says(HALTED),
    end("abuse", "solo5", "how=wrap", 132).says(
        "the guest crashed: hypercall puts: 2 bytes at 0xffffffffffffffff are not in the guest's memory",
    ),
    end("abuse", "solo5", "how=number", 132)
        .says("the guest crashed: access to port 0x509, which is none of its hypercalls'"),
    end("exit", "hermit1", "exit=7", 7),
    end("exit", "hermit3", "exit=0", 0),
    end("crash", "hermit1", "how=triple-fault", 139).says(TRIPLE_FAULT),
    end("crash", "hermit3", "how=halt", 139).says(HALTED),
    end("misuse", "hermit1", "how=wrap", 132).says(
        "the guest crashed: hypercall serial_write_buffer: 2 bytes at 0xffffffffffffffff are not in the guest's memory",
    ),
    end("misuse", "hermit3", "how=unknown", 132)
        .says("the guest crashed: hypercall shared_mem_open: is not offered"),
    end("smp", "pvh", "end=exit", 9).of_vcpus("3"),
];

#[test]
fn each_end_has_its_status_and_its_line() {
    if harness::cannot_boot() {
        return;
    }
    let program = Program::new();
    for (n, end) in ENDS.iter().enumerate() {
        let id = format!("end-{n}");
        let bundle = end.bundle(&id);
        let container = Container::new(&program, &id, &bundle);
        container.start();
        let status = container.wait();
        end.check(status, &container.stderr());
    }
}

#[test]
fn a_guest_that_is_killed_has_the_signals_status_and_says_nothing() {
    if harness::cannot_boot() {
        return;
    }
    let program = Program::new();
    for (signal, status) in [
        ("HUP", 129),
        ("USR1", 138),
        ("TERM", 143),
        ("37", 165),
        ("KILL", 137),
    ] {
        for abi in ["pvh", "solo5"] {
            let id = format!("end-{signal}-{abi}");
            let bundle = Bundle::unikernel(&id, "spin", abi, &["spin"]);
            let container = Container::new(&program, &id, &bundle);
            container.start();
            container.wait_output("spinning");
            program.ok(&["kill", &id, signal]);
            let ended = (container.wait(), container.stderr());
            assert_eq!(ended, (status, String::new()), "{signal}, {abi}");
        }
    }
}

/// A container that may have six processes can have a guest and its devices, but no threads for
/// eight vCPUs.
#[test]
fn a_monitor_that_fails_says_why() {
    if harness::cannot_boot() {
        return;
    }
    let program = Program::new();
    let bundle = Bundle::unikernel("end-monitor", "spin", "pvh", &["spin"])
        .annotate("runu.dev/vcpus", "8")
        .with(|config| config["linux"]["resources"]["pids"] = serde_json::json!({ "limit": 6 }));
    let container = Container::new(&program, "end-monitor", &bundle);
    container.start();
    assert_eq!(container.wait(), 132, "{}", container.stderr());
    let faults = container.stderr();
    assert!(
        faults.starts_with("runu: the monitor failed: vCPU ") && faults.contains("gets no thread"),
        "{faults}"
    );
}

/// What cannot be said is lost; nobody has to read it for the guest to end.
#[test]
fn a_crash_ends_a_guest_whose_errors_nobody_reads() {
    if harness::cannot_boot() {
        return;
    }
    let program = Program::new();
    let bundle = Bundle::unikernel("end-unread", "crash", "pvh", &["crash"]);
    let container = Container::new(&program, "end-unread", &bundle);
    let (_reader, writer) = std::io::pipe().unwrap();
    let mut create = container.create_command();
    create
        .stdout(std::process::Stdio::null())
        .stderr(writer.try_clone().unwrap());
    assert!(create.status().unwrap().success());
    fill(File::from(std::os::fd::OwnedFd::from(writer)));
    program.ok(&["start", "end-unread"]);
    assert_eq!(container.wait(), 139);
}

/// Writes to a pipe until it takes no more.
fn fill(mut pipe: File) {
    use nix::fcntl::{FcntlArg, OFlag, fcntl};
    fcntl(&pipe, FcntlArg::F_SETFL(OFlag::O_NONBLOCK)).unwrap();
    while pipe.write(&[0; 4096]).is_ok() {}
    // The container's is this very file.
    fcntl(&pipe, FcntlArg::F_SETFL(OFlag::empty())).unwrap();
}
