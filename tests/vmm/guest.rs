//! A guest that runs in a thread of the test, with pipes for its console.

use std::fs::File;
use std::io::Read;
use std::os::fd::OwnedFd;
use std::thread::JoinHandle;

use vmm::{Console, Files, GuestExit, MIN_MEMORY, MachineConfig, Prepared, Transport};

/// Each has [`MIN_MEMORY`].
pub struct Guest {
    pub input: File,
    pub output: File,
    pub machine: JoinHandle<GuestExit>,
}

impl Guest {
    /// `None`, with the reason printed, where there is no /dev/kvm.
    pub fn start(kernel: File, cmdline: &str) -> Option<Guest> {
        let kvm = kvm()?;
        let config = MachineConfig {
            memory: MIN_MEMORY,
            vcpus: 1,
            cmdline: cmdline.to_owned(),
            transport: Transport::default(),
        };
        let files = Files {
            kvm,
            kernel,
            initrd: None,
            root: None,
            blocks: Vec::new(),
            shares: Vec::new(),
            served: Vec::new(),
            vsock: None,
        };
        let (guest_input, input) = pipe();
        let (output, guest_output) = pipe();
        let console = Console {
            input: Some(guest_input),
            output: Some(guest_output),
        };
        let machine = std::thread::spawn(move || {
            let prepared = Prepared::new(&config, files).unwrap();
            let machine = prepared.finish(&config.cmdline, Vec::new()).unwrap();
            machine.run_on(console)
        });
        Some(Guest {
            input,
            output,
            machine,
        })
    }

    /// All output that is left, and how the guest ended.
    pub fn finish(mut self) -> (String, GuestExit) {
        let mut text = String::new();
        self.output.read_to_string(&mut text).unwrap();
        (text, self.machine.join().unwrap())
    }
}

/// /dev/kvm; `None`, with the reason printed, where there is none.
pub fn kvm() -> Option<File> {
    File::options()
        .read(true)
        .write(true)
        .open("/dev/kvm")
        .inspect_err(|e| println!("SKIPPED: /dev/kvm cannot be opened: {e}"))
        .ok()
}

pub fn pipe() -> (File, File) {
    let (reader, writer) = std::io::pipe().unwrap();
    (
        File::from(OwnedFd::from(reader)),
        File::from(OwnedFd::from(writer)),
    )
}
