//! What CRI reads and sets by a container's cgroup.

use std::fs;
use std::path::PathBuf;

use tonic::Status;

use super::container::Container;
use super::cri::container_request;
use super::{Containerd, api};

impl Containerd {
    /// What the container has used: CPU time in nanoseconds, and bytes of memory now.
    pub fn usage(&self, container: &Container) -> Result<(u64, u64), Status> {
        let answer: api::ContainerStatsResponse =
            self.runtime("ContainerStats", container_request(container))?;
        let stats = answer.stats.unwrap_or_default();
        let number = |value: Option<api::UInt64Value>| value.unwrap_or_default().value;
        Ok((
            number(stats.cpu.unwrap_or_default().usage_core_nano_seconds),
            number(stats.memory.unwrap_or_default().working_set_bytes),
        ))
    }

    /// Gives a running container another memory limit, in bytes.
    pub fn limit_memory(&self, container: &Container, limit: i64) -> Result<(), Status> {
        let request = api::UpdateContainerResourcesRequest {
            container_id: container.id.clone(),
            linux: Some(api::LinuxContainerResources {
                memory_limit_in_bytes: limit,
                ..Default::default()
            }),
        };
        self.runtime::<_, api::Empty>("UpdateContainerResources", request)?;
        Ok(())
    }

    /// The directory that has the memory controller's files of the container's first process.
    pub fn memory_cgroup(&self, container: &Container) -> Result<PathBuf, Status> {
        let pid = self.pid(container)?;
        let cgroups = fs::read_to_string(self.node.path(&format!("/proc/{pid}/cgroup")))?;
        let line = |marker| cgroups.lines().find_map(|line| line.split_once(marker));
        let top = PathBuf::from("/sys/fs/cgroup");
        Ok(match (line(":memory:/"), line("0::/")) {
            (Some((_, path)), _) => top.join("memory").join(path),
            (None, path) => top.join(path.unwrap_or_default().1),
        })
    }
}
