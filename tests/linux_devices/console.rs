//! The console as `kubectl attach -it` uses it: the guest's terminal is as large as the caller's,
//! and what is typed and said arrives whole.

use crate::guest::Setup;
use crate::transports;
use harness::bundle::Bundle;
use harness::guard::Container;
use harness::program::{Program, wait_for};
use harness::terminal::Terminal;
use vmm::Transport;

/// On the terminal of its own that hvc0 is. A trap waits for the end of a sleep.
const SESSION: &str = r#"
until [ "$(stty size)" = "30 100" ]; do sleep 1; done
echo "size: $(stty size)"
read line
echo "line: $line"
seq 1 200
stty raw -echo
echo "raw"
echo "typed: $(head -c 6000 | sha256sum)"
trap 'echo "new: $(stty size)"; exit' WINCH
echo "ready"
while :; do sleep 1; done
"#;

fn over(transport: Transport) {
    let script = "setsid -c sh /session </dev/hvc0 >/dev/hvc0 2>&1";
    let Some(mut setup) = Setup::new(transport, &["virtio_console"], &[], script) else {
        return;
    };
    setup.file("session", SESSION.as_bytes());
    let id = format!("linux-console-{transport}");
    let bundle = Bundle::runnable(&id, &["linux"])
        .annotate("runu.dev/virtio", &transport.to_string())
        .annotate(
            "runu.dev/cmdline",
            "console=ttyS0 quiet loglevel=0 mitigations=off",
        )
        .annotate("runu.dev/kernel", "/boot/vmlinux")
        .annotate("runu.dev/initrd", "/boot/initrd")
        .with(|config| {
            config["process"]["terminal"] = true.into();
            config["linux"]["resources"]["memory"] = serde_json::Value::Null;
        });
    setup.save(&bundle.rootfs().join("boot"));

    let program = Program::new();
    let _container = Container::new(&program, &id, &bundle);
    let mut terminal = Terminal::new(30, 100);
    let path = bundle.path().to_str().unwrap();
    let mut run = terminal.spawn(&mut program.command(&["run", "--bundle", path, &id]));
    terminal.read_until("size: 30 100");
    terminal.write("hello\n");
    terminal.read_until("line: hello");
    terminal.read_until("raw");
    let lines: Vec<&str> = terminal.said.lines().map(str::trim_end).collect();
    let first = lines.iter().position(|line| *line == "1").unwrap();
    let expected: Vec<String> = (1..=200).map(|number| number.to_string()).collect();
    assert_eq!(lines[first..first + 200], expected);
    let typed: String = (0..6_000)
        .map(|n| char::from(b'a' + (n / 7 % 26) as u8))
        .collect();
    terminal.write(&typed);
    terminal.read_until(&format!("typed: {}", crate::sha256(typed.as_bytes(), 1)));
    terminal.read_until("ready");
    terminal.resize(50, 132);
    terminal.read_until("new: 50 132");
    let status = wait_for("its end", || run.try_wait().unwrap());
    assert_eq!(status.code(), Some(0), "{}", terminal.said);
}

#[test]
fn the_guest_has_a_terminal_of_its_own() {
    for transport in transports(Transport::Pci) {
        over(transport);
    }
}
