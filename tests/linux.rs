//! Debian's own kernel, as a bzImage and as the ELF in it, with a busybox initramfs. In the
//! emulated machine only: it needs every instruction.

use std::fs;
use std::sync::OnceLock;

use harness::bundle::Bundle;
use harness::guard::Container;
use harness::linux::{self, Initramfs};
use harness::program::Program;

const INIT: &str = r#"
/busybox mount -t proc proc /proc
/busybox mount -t sysfs sysfs /sys
/busybox mount -t devtmpfs dev /dev
for module in $modules; do /busybox insmod /$module.ko || echo "no $module"; done
echo "init: arguments $*, greeting $greeting"
"#;

/// A Linux guest's bundle; `None`, said aloud, where there is no kernel.
fn bundle(id: &str, cmdline: &str, modules: &[&str], script: &str) -> Option<Bundle> {
    static VMLINUX: OnceLock<Vec<u8>> = OnceLock::new();
    let dir = linux::dir()?;
    if harness::cannot_boot() {
        return None;
    }
    let vmlinux = VMLINUX.get_or_init(|| linux::vmlinux(&fs::read(dir.join("vmlinuz")).unwrap()));
    let cmdline = format!("console=ttyS0 quiet loglevel=3 mitigations=off {cmdline}");
    let bundle = Bundle::runnable(id, &["linux"])
        .annotate("runu.dev/cmdline", &cmdline)
        .with(|config| config["linux"]["resources"]["memory"] = serde_json::Value::Null)
        .annotate("runu.dev/kernel", "/boot/vmlinux")
        .annotate("runu.dev/initrd", "/boot/initrd");
    let inside = |path: &str| bundle.rootfs().join(path);
    let init = format!("{INIT}\n{script}");
    Initramfs::with_modules(&dir, modules, &init).save(&inside("boot/initrd"));
    fs::write(inside("boot/vmlinux"), vmlinux).unwrap();
    Some(bundle)
}

/// Runs the guest to its end: exit status, stdout, stderr.
fn run(id: &str, bundle: &Bundle) -> (i32, String, String) {
    let program = Program::new();
    let container = Container::new(&program, id, bundle);
    container.start();
    let status = container.wait();
    (status, container.stdout(), container.stderr())
}

#[test]
fn one_cpu_little_memory_and_a_power_off() {
    let (cmdline, script) = (
        "greeting=hello -- one two",
        "/busybox nproc; /busybox poweroff -f",
    );
    let Some(bundle) = bundle("linux-small", cmdline, &[], script) else {
        return;
    };
    let bundle = bundle.annotate("runu.dev/memory", "96Mi");
    let (status, said, faults) = run("linux-small", &bundle);
    assert_eq!((status, faults.as_str()), (0, ""), "{said}");
    let lines: Vec<&str> = said.lines().map(str::trim_end).collect();
    assert_eq!(lines[..2], ["init: arguments one two, greeting hello", "1"]);
}

#[test]
fn four_cpus_six_gib_and_a_reboot() {
    let script =
        "/busybox nproc; /busybox grep -E 'MemTotal|siblings|^apicid' /proc/meminfo /proc/cpuinfo
        /busybox reboot -f";
    let Some(bundle) = bundle("linux-large", "", &[], script) else {
        return;
    };
    let bundle = bundle
        .annotate("runu.dev/memory", "6Gi")
        .annotate("runu.dev/vcpus", "4");
    let (status, said, faults) = run("linux-large", &bundle);
    assert_eq!((status, faults.as_str()), (0, ""), "{said}");
    assert!(said.lines().any(|line| line.trim_end() == "4"), "{said}");
    let number = |line: &str| -> u64 {
        let digits = line.split(':').next_back().unwrap().trim();
        digits.trim_end_matches(" kB").parse().unwrap()
    };
    let of = |key: &str| -> Vec<u64> {
        said.lines()
            .filter(|line| line.contains(key))
            .map(number)
            .collect()
    };
    let kib = of("MemTotal")[0];
    assert!(((5 << 20) + (1 << 19)..6 << 20).contains(&kib), "{kib} KiB");
    assert_eq!(of("siblings"), [4; 4]);
    assert_eq!(of("cpuinfo:apicid"), [0, 1, 2, 3]);
}

#[test]
fn an_exit_code_of_its_own() {
    let Some(bundle) = bundle("linux-code", "", &[], "/exit-1") else {
        return;
    };
    let (status, said, faults) = run("linux-code", &bundle);
    assert_eq!((status, faults.as_str()), (1, ""), "{said}");
}

/// Reads the entropy device, and shows by which interrupts.
const READ_ENTROPY: &str = r#"
entropy() {
    echo "$1: $(/busybox cat /sys/class/misc/hw_random/rng_current)"
    for n in 1 2; do /busybox od -An -tx1 -N16 /dev/hwrng; done
    /busybox grep virtio /proc/interrupts | /busybox tr -s ' '
}
"#;

/// What a guest reads of its entropy device, after the line that begins with `mark`, and by
/// which interrupts.
fn entropy<'a>(said: &'a str, mark: &str) -> Vec<&'a str> {
    let mut lines = said.lines().map(str::trim);
    let device = lines.find_map(|line| line.strip_prefix(mark));
    let device = device.unwrap_or_else(|| panic!("no {mark} in {said}"));
    assert!(device.contains("virtio_rng"), "no device in {said}");
    let [first, second] = [(); 2].map(|()| lines.next().unwrap());
    assert_eq!((first.len(), second.len()), (47, 47), "16 bytes: {said}");
    assert_ne!(first, second);
    lines.take_while(|line| line.contains("virtio")).collect()
}

#[test]
fn it_finds_devices_by_registers_in_memory() {
    let modules = ["virtio_ring", "virtio", "virtio_mmio", "virtio-rng"];
    let script = format!("{READ_ENTROPY}\nentropy found; /busybox poweroff -f");
    for (id, transport, vcpus) in [
        ("linux-mmio", "mmio", "4"),
        ("linux-mmio-1", "mmio-legacy", "1"),
    ] {
        let Some(bundle) = bundle(id, "", &modules, &script) else {
            return;
        };
        let bundle = bundle
            .annotate("runu.dev/virtio", transport)
            .annotate("runu.dev/vcpus", vcpus);
        let (status, said, faults) = run(id, &bundle);
        assert_eq!((status, faults.as_str()), (0, ""), "{said}");
        let interrupts = entropy(&said, "found:");
        // The second device: the first one is the console, without a driver here.
        assert_eq!(interrupts.len(), 1, "{said}");
        assert!(interrupts[0].contains("IO-APIC 6-edge"), "{said}");
    }
}

/// By messages, by the pin over the I/O APIC and over the 8259s; and each by the modern and by
/// the legacy interface.
#[test]
fn it_finds_devices_on_the_pci_bus() {
    let modules = [
        "virtio_ring",
        "virtio",
        "virtio_pci_legacy_dev",
        "virtio_pci_modern_dev",
        "virtio_pci",
        "virtio-rng",
    ];
    let script = format!(
        "{READ_ENTROPY}
        entropy modern; /busybox rmmod virtio_rng; /busybox rmmod virtio_pci
        /busybox insmod /virtio_pci.ko force_legacy=1; /busybox insmod /virtio-rng.ko
        entropy legacy; /busybox poweroff -f"
    );
    for (id, cmdline, vcpus, kind) in [
        ("linux-msix", "", "4", "PCI-MSI"),
        ("linux-intx", "pci=nomsi", "4", "IO-APIC 11-fasteoi"),
        ("linux-pic", "pci=nomsi noapic", "1", "XT-PIC"),
    ] {
        let Some(bundle) = bundle(id, cmdline, &modules, &script) else {
            return;
        };
        let bundle = bundle.annotate("runu.dev/vcpus", vcpus);
        let (status, said, faults) = run(id, &bundle);
        assert_eq!((status, faults.as_str()), (0, ""), "{said}");
        for mark in ["modern:", "legacy:"] {
            let interrupts = entropy(&said, mark);
            assert!(interrupts.iter().any(|line| line.contains(kind)), "{said}");
        }
    }
}

/// The container's arguments and environment, as the family of Linux guests is told them.
#[test]
fn its_bzimage_gets_arguments_and_environment() {
    let script = "/busybox nproc; /busybox poweroff -f";
    let Some(bundle) = bundle("linux-bzimage", "", &[], script) else {
        return;
    };
    let vmlinuz = linux::dir().unwrap().join("vmlinuz");
    bundle.add("/boot/vmlinux", &vmlinuz);
    let bundle = bundle.annotate("runu.dev/vcpus", "2").with(|config| {
        config["process"]["args"] = serde_json::json!(["one", "two words"]);
        config["process"]["env"] = serde_json::json!(["greeting=good day"]);
        let annotations = config["annotations"].as_object_mut().unwrap();
        annotations.remove("runu.dev/cmdline");
    });
    let (status, said, faults) = run("linux-bzimage", &bundle);
    assert_eq!((status, faults.as_str()), (0, ""), "{said}");
    let lines: Vec<&str> = said.lines().map(str::trim_end).collect();
    let at = lines.iter().position(|line| line.starts_with("init:"));
    let at = at.unwrap_or_else(|| panic!("no init in {said}"));
    assert_eq!(
        lines[at],
        "init: arguments one two words, greeting good day"
    );
    assert_eq!(lines[at + 1], "2");
}

/// With the kernel's own module for it; without, a panic is a reset like any other.
#[test]
fn a_panic_is_a_crash() {
    let modules = ["pvpanic", "pvpanic-mmio"];
    let script = "echo c >/proc/sysrq-trigger";
    let Some(bundle) = bundle("linux-panic", "panic=-1", &modules, script) else {
        return;
    };
    let (status, said, faults) = run("linux-panic", &bundle);
    assert_eq!(status, 134, "{said}{faults}");
    assert!(faults.contains("the guest crashed"), "{faults}");
}

/// Linux takes Ctrl-Alt-Delete for a reboot, which is no crash by whatever means.
#[test]
fn sigterm_reboots_it() {
    let script = "echo ready; while :; do /busybox sleep 1; done";
    for (id, how) in [("linux-term", "reboot=k"), ("linux-term-t", "reboot=t")] {
        let Some(bundle) = bundle(id, how, &[], script) else {
            return;
        };
        let program = Program::new();
        let container = Container::new(&program, id, &bundle);
        container.start();
        container.wait_output("ready");
        program.ok(&["kill", id, "TERM"]);
        let status = container.wait();
        assert_eq!((status, container.stderr().as_str()), (0, ""), "{how}");
    }
}
