//! The key of config.json that a cgroup's file stands for.
//!
//! Source: runtime-spec, config-linux.md, "Control groups"; Linux,
//! Documentation/admin-guide/cgroup-v1 and cgroup-v2.rst.

/// Files of controllers under cgroups v1 and v2, and the keys of `linux.resources` that libcgroups
/// writes to them. The first whose name a file's begins with is it.
const KEYS: [(&str, &str); 29] = [
    ("pids.max", "pids.limit"),
    ("cpu.shares", "cpu.shares"),
    ("cpu.weight", "cpu.shares"),
    ("cpu.cfs_quota_us", "cpu.quota"),
    ("cpu.cfs_burst_us", "cpu.burst"),
    ("cpu.cfs_period_us", "cpu.period"),
    ("cpu.max.burst", "cpu.burst"),
    ("cpu.max", "cpu.quota or period"),
    ("cpu.rt_runtime_us", "cpu.realtimeRuntime"),
    ("cpu.rt_period_us", "cpu.realtimePeriod"),
    ("cpu.idle", "cpu.idle"),
    ("cpuset.cpus", "cpu.cpus"),
    ("cpuset.mems", "cpu.mems"),
    ("memory.limit_in_bytes", "memory.limit"),
    ("memory.max", "memory.limit"),
    ("memory.memsw.limit_in_bytes", "memory.swap"),
    ("memory.swap.max", "memory.swap"),
    ("memory.soft_limit_in_bytes", "memory.reservation"),
    ("memory.low", "memory.reservation"),
    ("memory.kmem.tcp.limit_in_bytes", "memory.kernelTCP"),
    ("memory.kmem.limit_in_bytes", "memory.kernel"),
    ("memory.swappiness", "memory.swappiness"),
    ("memory.oom_control", "memory.disableOOMKiller"),
    ("hugetlb.", "hugepageLimits"),
    ("devices.", "devices"),
    ("net_cls.classid", "network.classID"),
    ("net_prio.ifpriomap", "network.priorities"),
    ("blkio.", "blockIO"),
    ("io.", "blockIO"),
];

/// The keys of `linux.resources.blockIO` by how their files begin.
const BLOCK_IO: [(&str, &str); 8] = [
    ("blkio.throttle.read_bps", "throttleReadBpsDevice"),
    ("blkio.throttle.write_bps", "throttleWriteBpsDevice"),
    ("blkio.throttle.read_iops", "throttleReadIOPSDevice"),
    ("blkio.throttle.write_iops", "throttleWriteIOPSDevice"),
    ("blkio.weight", "weight"),
    ("blkio.bfq.weight", "weight"),
    ("io.weight", "weight"),
    ("io.bfq.weight", "weight"),
];

/// The key, from the top of config.json, that sets the cgroup's file `name`: that of `unified`
/// where no other does.
pub(in crate::lifecycle) fn config_key(name: &str) -> String {
    let find = |keys: &[(&str, &'static str)]| {
        let mut keys = keys.iter();
        keys.find(|(file, _)| name.starts_with(file))
            .map(|(_, key)| *key)
    };
    match (find(&BLOCK_IO), find(&KEYS)) {
        (Some(key), _) => format!("linux.resources.blockIO.{key}"),
        (None, Some(key)) => format!("linux.resources.{key}"),
        (None, None) => format!("linux.resources.unified[{name:?}]"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn files_have_the_keys_that_set_them() {
        for (file, key) in [
            ("pids.max", "pids.limit"),
            ("cpuset.cpus", "cpu.cpus"),
            ("blkio.bfq.weight", "blockIO.weight"),
            (
                "blkio.throttle.read_bps_device",
                "blockIO.throttleReadBpsDevice",
            ),
            ("io.max", "blockIO"),
            ("hugetlb.2MB.limit_in_bytes", "hugepageLimits"),
            ("rdma.max", "unified[\"rdma.max\"]"),
        ] {
            assert_eq!(config_key(file), format!("linux.resources.{key}"));
        }
    }
}
