//! A Linux guest with the devices that a test gives it, on a machine in a thread of the test.

use std::fs::{self, File};
use std::io::{BufRead, BufReader, Write};
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};
use std::sync::OnceLock;
use std::thread::JoinHandle;

use vmm::{
    BlockDevice, Console, Files, GuestExit, MachineConfig, NetDevice, Prepared, Transport, Vsock,
};

use harness::linux::{self, Initramfs};

/// Bytes: a tool and its libraries are some 80 MB, twice while Linux unpacks them.
const MEMORY: u64 = 384 << 20;

/// What every guest does first. `tool` runs one with its own libraries.
const INIT: &str = r#"
export PATH=/bin
/busybox mkdir -p /bin /tmp
/busybox --install -s /bin
mount -t proc proc /proc
mount -t sysfs sysfs /sys
mount -t devtmpfs dev /dev
mkdir -p /dev/shm
for module in $modules; do insmod /$module.ko || poweroff -f; done
tool() { name=$1; shift; /$name/ld-linux-x86-64.so.2 --library-path /$name /$name/$name "$@"; }
"#;

/// A guest that is not started yet.
pub struct Setup {
    transport: Transport,
    initramfs: Initramfs,
    pub blocks: Vec<BlockDevice>,
    pub nets: Vec<NetDevice>,
    pub vsock: Option<Vsock>,
}

impl Setup {
    /// With the modules for the transport and `modules`, the `tools`, and a script to run.
    /// `None`, said aloud, where there is no kernel or no KVM.
    pub fn new(
        transport: Transport,
        modules: &[&str],
        tools: &[&str],
        script: &str,
    ) -> Option<Setup> {
        let dir = linux::dir()?;
        if harness::cannot_boot() {
            return None;
        }
        let of_transport: &[&str] = match transport {
            Transport::Pci | Transport::PciModern => &[
                "virtio_pci_legacy_dev",
                "virtio_pci_modern_dev",
                "virtio_pci",
            ],
            Transport::Mmio | Transport::MmioLegacy => &["virtio_mmio"],
        };
        let modules = [&["virtio_ring", "virtio"], of_transport, modules].concat();
        let init = format!("{INIT}\n{script}\npoweroff -f");
        let mut initramfs = Initramfs::with_modules(&dir, &modules, &init);
        for tool in tools {
            initramfs.dir(tool);
            for file in fs::read_dir(tool_dir(tool)).unwrap() {
                let path = file.unwrap().path();
                let name = path.file_name().unwrap().to_str().unwrap();
                initramfs.file(&format!("{tool}/{name}"), &fs::read(&path).unwrap());
            }
        }
        Some(Setup {
            transport,
            initramfs,
            blocks: Vec::new(),
            nets: Vec::new(),
            vsock: None,
        })
    }

    /// A file in the guest's root.
    pub fn file(&mut self, name: &str, content: &[u8]) {
        self.initramfs.file(name, content);
    }

    /// Puts `vmlinux` and `initrd` into `directory`, for a guest of the program's.
    pub fn save(self, dir: &Path) {
        self.initramfs.save(&dir.join("initrd"));
        fs::write(dir.join("vmlinux"), kernel()).unwrap();
    }

    pub fn start(self) -> Guest {
        let dir = tempfile::tempdir().unwrap();
        let initrd = dir.path().join("initrd");
        self.initramfs.save(&initrd);
        let mut kernel_file = tempfile::tempfile().unwrap();
        kernel_file.write_all(kernel()).unwrap();
        let (input, _) = std::io::pipe().unwrap();
        let (output, guest_output) = std::io::pipe().unwrap();
        let console = Console {
            input: Some(OwnedFd::from(input).into()),
            output: Some(OwnedFd::from(guest_output).into()),
        };
        let config = MachineConfig {
            memory: MEMORY,
            vcpus: 1,
            cmdline: "console=ttyS0 quiet loglevel=3 mitigations=off".to_owned(),
            transport: self.transport,
        };
        let open = |path: &str| File::options().read(true).write(true).open(path).unwrap();
        let files = Files {
            kvm: open("/dev/kvm"),
            kernel: kernel_file,
            initrd: Some(File::open(initrd).unwrap()),
            root: None,
            blocks: self.blocks,
            shares: Vec::new(),
            served: Vec::new(),
            vsock: self.vsock,
        };
        let nets = self.nets;
        let machine = std::thread::spawn(move || {
            let prepared = Prepared::new(&config, files).unwrap();
            let machine = prepared.finish(&config.cmdline, nets).unwrap();
            machine.run_on(console)
        });
        Guest {
            output: OwnedFd::from(output).into(),
            machine,
        }
    }
}

pub struct Guest {
    output: File,
    machine: JoinHandle<GuestExit>,
}

impl Guest {
    /// Waits until the guest has powered off; gives what it said, and prints it as it comes.
    pub fn finish(self) -> String {
        let lines = BufReader::new(self.output).lines().map(Result::unwrap);
        let said: String = lines
            .map(|line| format!("{}\n", line.trim_end()))
            .inspect(|line| print!("{line}"))
            .collect();
        let exit = self.machine.join().unwrap();
        assert_eq!(exit, GuestExit::PoweredOff, "{said}");
        said
    }
}

/// The ELF file in Debian's bzImage.
fn kernel() -> &'static [u8] {
    static VMLINUX: OnceLock<Vec<u8>> = OnceLock::new();
    let vmlinuz = linux::dir().unwrap().join("vmlinuz");
    VMLINUX.get_or_init(|| linux::vmlinux(&fs::read(vmlinuz).unwrap()))
}

/// The directory with a tool and its libraries, which tests/machine.sh brings.
pub fn tool_dir(tool: &str) -> PathBuf {
    let tools = std::env::var_os("RUNU_TEST_TOOLS").expect("tests/machine/tests.sh sets it");
    PathBuf::from(tools).join(tool)
}

/// What the guest said behind `NAME: `, in a line of its own.
#[track_caller]
pub fn answer<'a>(said: &'a str, name: &str) -> &'a str {
    let name = format!("{name}: ");
    let mut lines = said.lines().filter_map(|line| line.strip_prefix(&name));
    lines.next().unwrap_or_else(|| panic!("no {name}in {said}"))
}
