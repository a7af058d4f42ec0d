//! What a monitor uses, as its cgroup counts it, in the form that `runc events`
//! prints.
//!
//! Source: runc, types/events.go (names; times are nanoseconds, sizes bytes); Linux,
//! Documentation/admin-guide/cgroup-v1/{cpuacct,memory,blkio-controller}.rst and
//! cgroup-v2.rst. A file that a kernel does not have counts as 0, as with runc.

use std::collections::BTreeMap;
use std::fs;
use std::path::PathBuf;

use serde_json::{Value, json};

use crate::lifecycle::cgroup::paths::CgroupPaths;

/// cpuacct.stat counts ticks of USER_HZ, which is 100 wherever KVM is.
const TICK: u64 = 10_000_000;
const MICROSECOND: u64 = 1000;

/// What a cgroup has counted so far: the field `data` of an event.
pub(in crate::lifecycle) fn read(paths: &CgroupPaths) -> Value {
    json!({
        "cpu": cpu(paths),
        "cpuset": cpuset(paths),
        "memory": memory(paths),
        "pids": pids(paths),
        "blkio": blkio(paths),
        // A monitor has none of these.
        "hugetlb": {},
        "intel_rdt": {},
        "network_interfaces": null,
    })
}

/// Counts how often the kernel has killed in a cgroup for want of memory.
pub(in crate::lifecycle) struct OomCounter {
    files: Files,
    name: &'static str,
}

impl OomCounter {
    /// The counter of a cgroup.
    pub(in crate::lifecycle) fn of(paths: &CgroupPaths) -> Self {
        let (dir, name) = match paths.v1("memory") {
            Some(dir) => (dir, "memory.oom_control"),
            None => (paths.v2(), "memory.events"),
        };
        Self {
            files: Files(dir),
            name,
        }
    }

    /// The kills so far; 0 where the cgroup is gone.
    pub(in crate::lifecycle) fn kills(&self) -> u64 {
        value(&self.files.table(self.name), "oom_kill")
    }
}

fn cpu(paths: &CgroupPaths) -> Value {
    let usage = match paths.v1("cpuacct").map(Files) {
        Some(files) => {
            let modes = files.table("cpuacct.stat");
            let by_mode = files.text("cpuacct.usage_all");
            json!({
                "total": files.number("cpuacct.usage"),
                "percpu": files.numbers("cpuacct.usage_percpu"),
                "percpu_user": column(&by_mode, 1),
                "percpu_kernel": column(&by_mode, 2),
                "kernel": value(&modes, "system") * TICK,
                "user": value(&modes, "user") * TICK,
            })
        }
        None => {
            let stat = Files(paths.v2()).table("cpu.stat");
            json!({
                "total": value(&stat, "usage_usec") * MICROSECOND,
                "kernel": value(&stat, "system_usec") * MICROSECOND,
                "user": value(&stat, "user_usec") * MICROSECOND,
            })
        }
    };
    let stat = Files::either(paths, "cpu").table("cpu.stat");
    let throttled = value(&stat, "throttled_usec") * MICROSECOND;
    json!({
        "usage": usage,
        "throttling": {
            "periods": value(&stat, "nr_periods"),
            "throttledPeriods": value(&stat, "nr_throttled"),
            // v1 has it in nanoseconds already.
            "throttledTime": stat.get("throttled_time").copied().unwrap_or(throttled),
        },
    })
}

fn cpuset(paths: &CgroupPaths) -> Value {
    let files = Files::either(paths, "cpuset");
    // An empty v2 file means "as the parent"; the effective one says what that is.
    let list = |name: &str| match files.text(&format!("cpuset.{name}.effective")) {
        text if text.is_empty() => ranges(&files.text(&format!("cpuset.{name}"))),
        text => ranges(&text),
    };
    json!({
        "cpus": list("cpus"),
        "mems": list("mems"),
        "cpu_exclusive": files.number("cpuset.cpu_exclusive"),
        "mem_exclusive": files.number("cpuset.mem_exclusive"),
        "mem_hardwall": files.number("cpuset.mem_hardwall"),
        "memory_migrate": files.number("cpuset.memory_migrate"),
        "memory_pressure": files.number("cpuset.memory_pressure"),
        "memory_spread_page": files.number("cpuset.memory_spread_page"),
        "memory_spread_slab": files.number("cpuset.memory_spread_slab"),
        "sched_load_balance": files.number("cpuset.sched_load_balance"),
        "sched_relax_domain_level":
            files.text("cpuset.sched_relax_domain_level").parse().unwrap_or(0_i64),
    })
}

fn memory(paths: &CgroupPaths) -> Value {
    let v1 = paths.v1("memory").map(Files);
    let Some(files) = v1 else {
        return memory_v2(&Files(paths.v2()));
    };
    let raw = files.table("memory.stat");
    let entry = |prefix: &str| {
        json!({
            "limit": files.number(&format!("{prefix}.limit_in_bytes")),
            "usage": files.number(&format!("{prefix}.usage_in_bytes")),
            "max": files.number(&format!("{prefix}.max_usage_in_bytes")),
            "failcnt": files.number(&format!("{prefix}.failcnt")),
        })
    };
    json!({
        "cache": value(&raw, "cache"),
        "usage": entry("memory"),
        "swap": entry("memory.memsw"),
        "kernel": entry("memory.kmem"),
        "kernelTCP": entry("memory.kmem.tcp"),
        "raw": raw,
    })
}

fn memory_v2(files: &Files) -> Value {
    let raw = files.table("memory.stat");
    let (usage, limit) = (files.number("memory.current"), files.number("memory.max"));
    let swap_limit = files.number("memory.swap.max");
    json!({
        "cache": value(&raw, "file"),
        "usage": {
            "limit": limit, "usage": usage, "max": files.number("memory.peak"), "failcnt": 0,
        },
        // As v1 counts it: memory and swap together.
        "swap": {
            "limit": swap_limit.saturating_add(limit),
            "usage": files.number("memory.swap.current").saturating_add(usage),
            "failcnt": 0,
        },
        "kernel": { "limit": 0, "failcnt": 0 },
        "kernelTCP": { "limit": 0, "failcnt": 0 },
        "raw": raw,
    })
}

fn pids(paths: &CgroupPaths) -> Value {
    let files = Files::either(paths, "pids");
    // No limit is 0 here, `max` there.
    let limit = files.text("pids.max").parse().unwrap_or(0_u64);
    json!({ "current": files.number("pids.current"), "limit": limit })
}

fn blkio(paths: &CgroupPaths) -> Value {
    let (bytes, operations) = match paths.v1("blkio").map(Files) {
        Some(files) => (
            operations_v1(&files.text("blkio.throttle.io_service_bytes_recursive")),
            operations_v1(&files.text("blkio.throttle.io_serviced_recursive")),
        ),
        None => {
            let text = Files(paths.v2()).text("io.stat");
            (
                operations_v2(&text, ["rbytes", "wbytes"]),
                operations_v2(&text, ["rios", "wios"]),
            )
        }
    };
    json!({ "ioServiceBytesRecursive": bytes, "ioServicedRecursive": operations })
}

/// Lines `MAJOR:MINOR OPERATION NUMBER`, and a last one with the total.
fn operations_v1(text: &str) -> Vec<Value> {
    let entry = |line: &str| {
        let mut words = line.split_whitespace();
        operation(words.next()?, words.next()?, words.next()?)
    };
    text.lines().filter_map(entry).collect()
}

/// Lines `MAJOR:MINOR KEY=NUMBER…`; `keys` are those of reading and of writing.
fn operations_v2(text: &str, keys: [&str; 2]) -> Vec<Value> {
    let mut all = Vec::new();
    for line in text.lines() {
        let mut words = line.split_whitespace();
        let device = words.next().unwrap_or_default();
        for (key, number) in words.filter_map(|word| word.split_once('=')) {
            let names = ["Read", "Write"];
            let name = keys.iter().position(|k| *k == key).map(|at| names[at]);
            all.extend(name.and_then(|name| operation(device, name, number)));
        }
    }
    all
}

fn operation(device: &str, name: &str, number: &str) -> Option<Value> {
    let (major, minor) = device.split_once(':')?;
    let [major, minor, number] = [major, minor, number].map(|text| text.parse::<u64>().ok());
    Some(json!({ "major": major?, "minor": minor?, "op": name, "value": number? }))
}

/// `0-2,4` as the numbers it stands for (cpuset(7), "List format").
fn ranges(text: &str) -> Vec<u16> {
    let range = |part: &str| {
        let (first, last) = part.split_once('-').unwrap_or((part, part));
        Some(first.parse().ok()?..=last.parse().ok()?)
    };
    text.split(',').filter_map(range).flatten().collect()
}

/// A column of numbers below its title.
fn column(text: &str, at: usize) -> Vec<u64> {
    let cell = |line: &str| line.split(' ').nth(at)?.parse().ok();
    text.lines().skip(1).filter_map(cell).collect()
}

fn value(table: &BTreeMap<String, u64>, key: &str) -> u64 {
    table.get(key).copied().unwrap_or(0)
}

/// The files of one cgroup.
struct Files(PathBuf);

impl Files {
    /// Those of a controller, v1's or v2's.
    fn either(paths: &CgroupPaths, controller: &str) -> Self {
        Self(paths.v1(controller).unwrap_or_else(|| paths.v2()))
    }

    fn text(&self, name: &str) -> String {
        let text = fs::read_to_string(self.0.join(name)).unwrap_or_default();
        text.trim().to_owned()
    }

    /// One number; `max` is the largest.
    fn number(&self, name: &str) -> u64 {
        match &*self.text(name) {
            "max" => u64::MAX,
            text => text.parse().unwrap_or(0),
        }
    }

    fn numbers(&self, name: &str) -> Vec<u64> {
        let text = self.text(name);
        text.split_whitespace()
            .filter_map(|n| n.parse().ok())
            .collect()
    }

    /// Lines `KEY NUMBER`.
    fn table(&self, name: &str) -> BTreeMap<String, u64> {
        let entry = |line: &str| {
            let (key, number) = line.split_once(' ')?;
            Some((key.to_owned(), number.parse().ok()?))
        };
        self.text(name).lines().filter_map(entry).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lists_of_cpus() {
        assert_eq!(ranges("0-2,4"), [0, 1, 2, 4]);
        assert_eq!(ranges(""), [] as [u16; 0]);
    }

    #[test]
    fn reads_and_writes_by_device() {
        let v1 = operations_v1("8:0 Read 4096\n8:0 Discard 0\nTotal 4096\n");
        let v2 = operations_v2(
            "8:0 rbytes=4096 wbytes=1 rios=2 dbytes=9\n",
            ["rbytes", "wbytes"],
        );
        let read = json!({ "major": 8, "minor": 0, "op": "Read", "value": 4096 });
        let write = json!({ "major": 8, "minor": 0, "op": "Write", "value": 1 });
        assert_eq!((v1.len(), &v1[0]), (2, &read));
        assert_eq!(v2, [read, write]);
    }
}
