//! Several virtual CPUs: how many a guest gets, and that it can start them. How each can end the
//! guest: see `ends`.

use harness::bundle::Bundle;
use harness::guard::Container;
use harness::program::Program;
use serde_json::json;

const ABIS: [&str; 3] = ["linux64", "pvh", "multiboot1"];

/// Runs a guest to its end: exit status, stdout, stderr.
fn run(id: &str, bundle: &Bundle) -> (i32, String, String) {
    let program = Program::new();
    let container = Container::new(&program, id, bundle);
    container.start();
    let status = container.wait();
    (status, container.stdout(), container.stderr())
}

fn smp(id: &str, abi: &str, end: &str, vcpus: &str) -> (i32, String, String) {
    let bundle = Bundle::unikernel(id, "smp", abi, &["smp", end]);
    run(id, &bundle.annotate("runu.dev/vcpus", vcpus))
}

#[test]
fn as_many_processors_start_as_were_asked_for() {
    if harness::cannot_boot() {
        return;
    }
    for (abi, vcpus) in ABIS.into_iter().zip(["1", "2", "5"]) {
        let (status, said, faults) = smp(&format!("smp-{vcpus}"), abi, "", vcpus);
        assert_eq!((status, faults.as_str()), (0, ""), "{said}");
        assert_eq!(said, format!("processors: {vcpus}\n"));
    }
}

/// The others were never started; this one wakes up again and again.
#[test]
fn a_guest_lives_while_one_of_its_processors_may_go_on() {
    if harness::cannot_boot() {
        return;
    }
    let bundle = Bundle::unikernel("smp-sleep", "sleep", "pvh", &["sleep", "ticks=4"]);
    let (status, said, faults) = run("smp-sleep", &bundle.annotate("runu.dev/vcpus", "4"));
    assert_eq!((status, faults.as_str()), (0, ""), "{said}");
}

#[test]
fn the_quota_gives_as_many_as_it_can_keep_busy() {
    if harness::cannot_boot() {
        return;
    }
    let host = std::thread::available_parallelism().unwrap().get();
    for (quota, vcpus) in [
        (50_000, 1),
        (150_000, host.min(2)),
        (1_000_000, host.min(10)),
    ] {
        let id = format!("quota-{quota}");
        let bundle = Bundle::unikernel(&id, "acpi", "pvh", &["acpi"]).with(|config| {
            config["linux"]["resources"]["cpu"] = json!({ "quota": quota, "period": 100_000 });
        });
        let (status, said, faults) = run(&id, &bundle);
        assert_eq!(status, 0, "{faults}");
        assert!(said.starts_with(&format!("processors: {vcpus},")), "{said}");
    }
}

#[test]
fn acpi_says_what_there_is_and_switches_off() {
    if harness::cannot_boot() {
        return;
    }
    for abi in ABIS {
        for end in ["end=poweroff", "end=reset"] {
            let id = format!("acpi-{abi}");
            let bundle = Bundle::unikernel(&id, "acpi", abi, &["acpi", end]);
            let (status, said, faults) = run(&id, &bundle.annotate("runu.dev/vcpus", "3"));
            assert_eq!((status, faults.as_str()), (0, ""), "{said}");
            assert_eq!(
                said,
                "processors: 3, events: 0x600, control: 0x604, SCI: 9\n"
            );
        }
    }
}
