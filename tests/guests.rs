//! What the guests see and say: command line, memory, initrd, console.

use std::fs;
use std::io::Write;

use harness::bundle::Bundle;
use harness::bzimage;
use harness::guard::Container;
use harness::program::Program;
use serde_json::Value;

const ABIS: [&str; 3] = ["linux64", "pvh", "multiboot1"];

#[test]
fn hello_by_every_abi() {
    if harness::cannot_boot() {
        return;
    }
    for abi in ABIS {
        let program = Program::new();
        let id = format!("hello-{abi}");
        let bundle = Bundle::unikernel(&id, "hello", abi, &["hello", "from", abi]);
        let container = Container::new(&program, &id, &bundle);
        container.start();
        assert_eq!(container.wait(), 0, "{abi}: {}", container.stderr());
        let said = container.stdout();
        for line in [
            "hello from a unikernel",
            &format!("cmdline: hello from {abi}"),
            &format!("abi: {abi}"),
        ] {
            assert!(said.contains(line), "{abi}: {line:?} is not in {said}");
        }
        assert_eq!(container.stderr(), "");
    }
}

/// The linux64 guest once more, in the wrapping in which distributions ship Linux.
#[test]
fn a_bzimage_boots_and_keeps_its_own_limits() {
    if harness::cannot_boot() {
        return;
    }
    let program = Program::new();
    let elf = fs::read(harness::guest("hello", "linux64")).unwrap();
    let bundle = |cmdline: &str| {
        let bundle = Bundle::unikernel("bzimage", "hello", "linux64", &["hello"])
            .annotate("runu.dev/cmdline", cmdline);
        fs::write(
            bundle.rootfs().join("unikraft/bin/kernel"),
            bzimage::of_elf(&elf),
        )
        .unwrap();
        fs::write(bundle.rootfs().join("unikraft/bin/initrd"), b"\x01\x02").unwrap();
        bundle
    };
    let hello = bundle("quiet -- a");
    let explained = program.ok(&["explain", "--bundle", hello.path().to_str().unwrap()]);
    assert!(explained.contains("bzimage"), "{explained}");
    let container = Container::new(&program, "bzimage", &hello);
    container.start();
    assert_eq!(container.wait(), 0, "{}", container.stderr());
    let said = container.stdout();
    for line in [
        "cmdline: quiet -- a",
        "initrd: 2 bytes, checksum 0x00000003",
    ] {
        assert!(said.contains(line), "{line:?} is not in {said}");
    }
    drop(container);
    let long = bundle(&"x".repeat(2048));
    let refused = Container::new(&program, "bzimage", &long).create();
    assert_eq!(refused.code, 1);
    let why = "the kernel's command line is 2048 bytes long, at most 2047 fit: shorten it";
    assert!(refused.stderr.contains(why), "{}", refused.stderr);
}

#[test]
fn a_gzipped_kernel_boots() {
    if harness::cannot_boot() {
        return;
    }
    let program = Program::new();
    let bundle = Bundle::unikernel("gzip", "exit", "pvh", &["exit", "exit=9"]);
    let kernel = bundle.rootfs().join("unikraft/bin/kernel");
    fs::write(&kernel, harness::gzip(&fs::read(&kernel).unwrap())).unwrap();
    let container = Container::new(&program, "gzip", &bundle);
    container.start();
    assert_eq!(container.wait(), 9, "{}", container.stderr());
}

#[test]
fn input_reaches_the_guest() {
    if harness::cannot_boot() {
        return;
    }
    for abi in ABIS {
        let program = Program::new();
        let bundle = Bundle::unikernel("echo", "echo", abi, &["echo"]);
        let container = Container::new(&program, "echo", &bundle);
        let (reader, mut writer) = std::io::pipe().unwrap();
        let created = container.create_with_stdin(reader);
        assert_eq!(created.code, 0, "{}", created.stderr);
        program.ok(&["start", "echo"]);
        container.wait_output("ready");
        // More than the serial port's FIFO holds.
        let long = "0123456789".repeat(20);
        writer
            .write_all(format!("one\n{long}\nquit\n").as_bytes())
            .unwrap();
        assert_eq!(container.wait(), 0);
        let said = container.stdout();
        assert!(said.contains("echo: one"), "{said}");
        assert!(said.contains(&format!("echo: {long}")), "{said}");
    }
}

#[test]
fn the_end_of_input_is_not_the_end_of_the_guest() {
    if harness::cannot_boot() {
        return;
    }
    let program = Program::new();
    let bundle = Bundle::unikernel("eof", "sleep", "pvh", &["sleep", "ticks=1"]);
    let container = Container::new(&program, "eof", &bundle);
    container.start();
    assert_eq!(container.wait(), 0, "{}", container.stderr());
    assert!(
        container.stdout().contains("tick 1"),
        "{}",
        container.stdout()
    );
}

/// Multiboot's kernels find a PC that its firmware has set up, some of them rely on it.
#[test]
fn a_multiboot_kernel_finds_the_timer_ticking() {
    if harness::cannot_boot() {
        return;
    }
    let program = Program::new();
    let args = ["sleep", "timer=as-found", "ticks=1"];
    let bundle = Bundle::unikernel("timer", "sleep", "multiboot1", &args);
    let container = Container::new(&program, "timer", &bundle);
    container.start();
    assert_eq!(container.wait(), 0, "{}", container.stderr());
}

#[test]
fn the_initrd_arrives_whole() {
    if harness::cannot_boot() {
        return;
    }
    let initrd: Vec<u8> = (0..70_001u32).map(|n| (n * 7 % 251) as u8).collect();
    let sum: u32 = initrd.iter().map(|&byte| u32::from(byte)).sum();
    for abi in ABIS {
        let program = Program::new();
        let bundle = Bundle::unikernel("initrd", "hello", abi, &["hello"]);
        fs::write(bundle.rootfs().join("unikraft/bin/initrd"), &initrd).unwrap();
        let container = Container::new(&program, "initrd", &bundle);
        container.start();
        assert_eq!(container.wait(), 0);
        let expected = format!("initrd: {} bytes, checksum {sum:#010x}", initrd.len());
        assert!(
            container.stdout().contains(&expected),
            "{abi}: {}",
            container.stdout()
        );
    }
}

#[test]
fn guest_memory_follows_the_limit_or_the_annotation() {
    if harness::cannot_boot() {
        return;
    }
    let program = Program::new();
    let usable = |id: &str, bundle: &Bundle| -> u64 {
        let container = Container::new(&program, id, bundle);
        container.start();
        assert_eq!(container.wait(), 0, "{}", container.stderr());
        let said = container.stdout();
        let line = said
            .lines()
            .find_map(|line| line.strip_prefix("memory: "))
            .unwrap();
        line.split(' ').next().unwrap().parse().unwrap()
    };
    let mib = |bytes: u64| bytes >> 20;
    // All but the little that lies below 1 MiB and is not memory.
    let limited = Bundle::unikernel("limited", "hello", "pvh", &["hello"]);
    let planned = (64 << 20) - decision::plan::overhead(64 << 20, guest::Root::None);
    assert!((planned - (1 << 20)..=planned).contains(&usable("limited", &limited)));
    let asked = Bundle::unikernel("asked", "hello", "linux64", &["hello"])
        .annotate("runu.dev/memory", "20Mi");
    assert!((19..=20).contains(&mib(usable("asked", &asked))));
    // Past the hole below 4 GiB, without a limit.
    let large = Bundle::unikernel("large", "hello", "multiboot1", &["hello"])
        .annotate("runu.dev/memory", "5Gi")
        .with(|config| config["linux"]["resources"]["memory"] = Value::Null);
    assert!((5 * 1024 - 1..=5 * 1024).contains(&mib(usable("large", &large))));
}
