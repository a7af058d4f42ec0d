//! Limits on cgroups v2, by both drivers: those that runc sets.

use std::collections::BTreeMap;

use serde_json::{Value, json};

use crate::{Scope, cannot_run, runu, scoped, systemctl};
use harness::bundle::Bundle;
use harness::guard::Container;
use harness::program::Program;

/// The files of a cgroup that hold limits, and systemd's properties behind them. Not
/// `cpu.weight`: runc changed its rule for shares in 1.3.2, and libcgroups with it. Not
/// `AllowedCPUs` and `DevicePolicy`: libcgroups 0.7 cannot tell them to systemd.
const FILES: [&str; 10] = [
    "cpu.max",
    "cpuset.cpus",
    "cpuset.mems",
    "memory.high",
    "memory.low",
    "memory.max",
    "memory.min",
    "memory.oom.group",
    "memory.swap.max",
    "pids.max",
];
const PROPERTIES: [&str; 12] = [
    "CPUAccounting",
    "CPUQuotaPerSecUSec",
    "CPUQuotaPeriodUSec",
    "DefaultDependencies",
    "Delegate",
    "MemoryHigh",
    "MemoryLow",
    "MemoryMax",
    "MemoryMin",
    "MemorySwapMax",
    "Slice",
    "TasksMax",
];

/// Which cgroup driver.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Driver {
    Systemd,
    Plain,
}

/// The limits of a container after `create` with these resources and some `update`s.
fn limits_after(
    driver: Driver,
    bundle: Bundle,
    name: &str,
    (resources, updates): (&Value, &[&[&str]]),
) -> BTreeMap<String, String> {
    let bundle = bundle.with(|config| config["linux"]["resources"] = resources.clone());
    let (program, bundle, scope) = match driver {
        Driver::Systemd => (runu(), scoped(bundle, name), Scope::of(name)),
        Driver::Plain => {
            let cgroup = format!("/runu-test-{name}");
            (Program::new(), bundle, Scope { cgroup })
        }
    };
    let container = Container::new(&program, name, &bundle);
    container.start();
    for flags in updates {
        let args = [&["update"][..], flags, &[name]].concat();
        program.ok(&args);
    }
    let files = |when| FILES.map(|file| (format!("{file} {when}"), scope.file(file)));
    let mut limits = BTreeMap::from(files("at first"));
    if driver == Driver::Systemd {
        limits.extend(PROPERTIES.map(|name| (name.to_owned(), scope.property(name))));
        // systemd may write anew what it knows, and by that lift what it does not.
        assert!(systemctl(&["daemon-reload"]).status.success());
        limits.extend(files("after a reload"));
    }
    limits
}

/// For every configuration and every change of it, what runc makes of an ordinary
/// container is what runu makes of a unikernel.
fn assert_limits_are_those_of_runc(driver: Driver) {
    const MIB: u64 = 1 << 20;
    let all = json!({
        "memory": { "limit": 64 * MIB, "reservation": 32 * MIB, "swap": 96 * MIB },
        "cpu": { "shares": 512, "quota": 50_000, "period": 200_000, "cpus": "0-1", "mems": "0" },
        "pids": { "limit": 77 },
    });
    let unified = json!({
        "memory": { "limit": 64 * MIB },
        "unified": {
            "cpu.max": "20000 100000",
            "cpu.weight": "50",
            "memory.high": (60 * MIB).to_string(),
            "memory.min": MIB.to_string(),
            "memory.oom.group": "1",
            "pids.max": "max",
        },
    });
    let updates: [&[&str]; 5] = [
        &["--cpu-quota", "30000"],
        &["--memory", "128m", "--memory-swap", "160m"],
        &["--pids-limit", "50"],
        &["--cpu-share", "256"],
        &["--cpuset-cpus", "1"],
    ];
    let cases: [(&str, Value, &[&[&str]]); 3] = [
        ("none", json!({}), &[]),
        ("unified", unified, &[]),
        ("updated", all, &updates),
    ];
    for (case, resources, updates) in &cases {
        let name = format!("limits-{case}");
        let limits = |bundle| limits_after(driver, bundle, &name, (resources, updates));
        let spin = Bundle::unikernel(&name, "spin", "pvh", &["spin"]);
        let sleep = Bundle::busybox(&name, &["/bin/busybox", "sleep", "1000"]);
        assert_eq!(
            limits(spin),
            limits(sleep),
            "left: runu, right: runc; {driver:?}, {case}"
        );
    }
}

#[test]
fn limits_are_those_that_runc_sets() {
    if cannot_run() {
        return;
    }
    assert_limits_are_those_of_runc(Driver::Systemd);
}

#[test]
fn limits_are_those_that_runc_sets_by_the_plain_driver() {
    if cannot_run() {
        return;
    }
    assert_limits_are_those_of_runc(Driver::Plain);
}
