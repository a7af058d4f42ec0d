//! A machine that is the first process of its pid namespace, as in a container. There the
//! kernel drops each signal that has no handler.

use std::io::{BufRead, BufReader};
use std::process::{Command, Stdio};
use std::time::Duration;

use nix::sys::signal::{Signal, kill};
use nix::unistd::{Pid, geteuid};
use vmm::{BootAbi, Files, MIN_MEMORY, MachineConfig, Prepared, Transport};

use crate::code::HALT;
use crate::guest::kvm;
use crate::kernels::kernel;

/// Set in the process that makes the machine: this test, once more.
const INSIDE: &str = "RUNU_TEST_INSIDE";

#[test]
fn a_signal_before_the_guest_runs_is_not_lost() {
    let Some(kvm) = kvm() else { return };
    if std::env::var_os(INSIDE).is_some() {
        let config = MachineConfig {
            memory: MIN_MEMORY,
            vcpus: 1,
            cmdline: String::new(),
            transport: Transport::default(),
        };
        let files = Files {
            kvm,
            kernel: kernel(BootAbi::Pvh, HALT),
            initrd: None,
            root: None,
            blocks: Vec::new(),
            shares: Vec::new(),
            served: Vec::new(),
            vsock: None,
        };
        let _machine = Prepared::new(&config, files).unwrap();
        // By the /proc that is mounted, which is the outer namespace's.
        let pid = std::fs::read_link("/proc/self").unwrap();
        println!("\nmade by {}", pid.display());
        // Where the signal is lost this process ends well, and the test outside fails.
        std::thread::sleep(Duration::from_secs(10));
        return;
    }
    if !geteuid().is_root() {
        println!("SKIPPED: making a pid namespace needs root");
        return;
    }
    let mut outside = Command::new("unshare")
        .args(["-p", "-f"])
        .arg(std::env::current_exe().unwrap())
        .args(["--nocapture", "a_signal_before_the_guest_runs_is_not_lost"])
        .env(INSIDE, "1")
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut lines = BufReader::new(outside.stdout.take().unwrap()).lines();
    let pid = lines
        .find_map(|line| Some(line.unwrap().strip_prefix("made by ")?.to_owned()))
        .expect("the machine is made");
    kill(Pid::from_raw(pid.parse().unwrap()), Signal::SIGTERM).unwrap();
    assert_eq!(outside.wait().unwrap().code(), Some(128 + 15));
}
