//! What runs: an ordinary container and a unikernel that say and do the same, and
//! the few things that they do differently.

use harness::images::{self, Entry, Guest, Image};

/// `sleep` says `tick N` once a second, `echo` answers lines.
const SLEEP: Guest = ("sleep", "linux64");
const ECHO: Guest = ("echo", "pvh");
const EXIT: Guest = ("exit", "pvh");

/// The ordinary container's `tick N`; it ends with 3 when it is asked to.
const TICKS: &str = "trap 'echo asked to stop; exit 3' TERM
i=0; while :; do i=$((i + 1)); echo tick $i; sleep 0.2; done";

/// The guest `echo` in shell; it is ready only where it has a terminal.
const DIALOG: &str = "test -t 0 && test -t 1 && echo ready
while read -r line; do test \"$line\" = quit && exit 0; echo \"echo: $line\"; done";

/// An image and the arguments after its name.
pub struct Workload {
    pub image: String,
    pub args: Vec<String>,
}

/// Whose store holds the container.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Store {
    Runc,
    Runu,
}

/// An image with a kernel that is none: runu alone takes offence at it.
pub fn not_a_kernel() -> Image {
    let kernel = Entry::File {
        path: "unikraft/bin/kernel",
        bytes: b"not a kernel".to_vec(),
        mode: 0o644,
    };
    Image {
        name: "localhost/runu-test/not-a-kernel:1".to_owned(),
        entrypoint: Vec::new(),
        cmd: vec!["sh".to_owned()],
        entries: vec![Entry::Dir("unikraft"), Entry::Dir("unikraft/bin"), kernel],
        artifact_type: None,
    }
}

/// What is expected of a kind of container.
pub struct Kind {
    pub images: Vec<Image>,
    /// Says `tick 1`, `tick 2` and so on for ever.
    pub ticks: Workload,
    /// Ends at once with the code given.
    pub exits: fn(i32) -> Workload,
    /// Says `ready`, then `echo: LINE` for each line, and ends with 0 after `quit`.
    pub dialog: Workload,
    /// `ticks`' exit code after SIGTERM.
    pub stopped: i32,
    /// Whether another program can be started inside.
    pub has_exec: bool,
    pub store: Store,
}

/// Busybox.
pub fn ordinary() -> Kind {
    let shell = |script: &str| Workload {
        image: images::BUSYBOX.to_owned(),
        args: ["sh", "-c", script].map(str::to_owned).to_vec(),
    };
    Kind {
        images: vec![images::busybox().unwrap()],
        ticks: shell(TICKS),
        exits: |code| Workload {
            image: images::BUSYBOX.to_owned(),
            args: vec!["sh".into(), "-c".into(), format!("exit {code}")],
        },
        dialog: shell(DIALOG),
        stopped: 3,
        has_exec: true,
        store: Store::Runc,
    }
}

/// The project's own guests.
pub fn unikernel() -> Kind {
    let guest = |guest: Guest| Workload {
        image: images::unikernel_name(guest),
        args: Vec::new(), // the image's `Cmd`
    };
    let images = [SLEEP, ECHO, EXIT].map(|guest| images::unikernel(guest).unwrap());
    Kind {
        images: images.into(),
        ticks: guest(SLEEP),
        exits: |code| Workload {
            image: images::unikernel_name(EXIT),
            args: vec![format!("exit={code}")],
        },
        dialog: guest(ECHO),
        stopped: 128 + 15,
        has_exec: false,
        store: Store::Runu,
    }
}
