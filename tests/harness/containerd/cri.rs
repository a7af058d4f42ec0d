//! What a kubelet asks of CRI: pods, containers, their logs.

use std::fs;
use std::path::PathBuf;
use std::sync::atomic::{AtomicU32, Ordering};

use prost::Message;
use tonic::Status;

use super::container::{Container, ContainerSpec};
use super::{Containerd, api, poll};
use crate::http::timeout;
use api::{ContainerState, ContainerStatus, ExecSyncResponse, PodSandboxState};

/// Seconds that `stop` gives a container before SIGKILL.
const GRACE: i64 = 10;

/// A pod to run.
#[derive(Clone, Default)]
pub struct PodSpec<'a> {
    pub name: &'a str,
    /// Empty for the default runtime.
    pub runtime_handler: &'a str,
    pub annotations: &'a [(&'a str, &'a str)],
    /// One pid namespace for all of its containers; otherwise one for each,
    /// which is the kubelet's default.
    pub share_pids: bool,
    /// What its containers find in their resolv.conf.
    pub nameservers: &'a [&'a str],
    pub searches: &'a [&'a str],
}

/// A pod that was started.
pub struct Pod {
    pub id: String,
    config: api::PodSandboxConfig,
    namespaces: api::NamespaceOption,
}

impl Containerd {
    /// Runs a pod; it has its network when this returns.
    pub fn run_pod(&self, spec: &PodSpec) -> Result<Pod, Status> {
        static COUNT: AtomicU32 = AtomicU32::new(0);
        let uid = format!("{}-{}", spec.name, COUNT.fetch_add(1, Ordering::Relaxed));
        let logs = self.node.dir().join("logs").join(&uid);
        fs::create_dir_all(&logs)?;
        let namespaces = api::NamespaceOption {
            pid: match spec.share_pids {
                true => api::NamespaceMode::Pod.into(),
                false => api::NamespaceMode::Container.into(),
            },
        };
        let config = api::PodSandboxConfig {
            metadata: Some(api::PodSandboxMetadata {
                name: spec.name.to_owned(),
                uid,
                namespace: "test".to_owned(),
                attempt: 0,
            }),
            hostname: spec.name.to_owned(),
            log_directory: logs.display().to_string(),
            dns: Some(api::DnsConfig {
                servers: strings(spec.nameservers),
                searches: strings(spec.searches),
            }),
            annotations: owned(spec.annotations),
            linux: Some(api::LinuxPodSandboxConfig {
                cgroup_parent: self.node.cgroup().to_owned(),
                security_context: Some(api::LinuxSandboxSecurityContext {
                    namespace_options: Some(namespaces.clone()),
                }),
            }),
        };
        let request = api::RunPodSandboxRequest {
            config: Some(config.clone()),
            runtime_handler: spec.runtime_handler.to_owned(),
        };
        let answer: api::RunPodSandboxResponse = self.runtime("RunPodSandbox", request)?;
        Ok(Pod {
            id: answer.pod_sandbox_id,
            config,
            namespaces,
        })
    }

    /// The pod's state and its address, which is empty once the pod is stopped.
    pub fn pod_status(&self, pod: &Pod) -> Result<(PodSandboxState, String), Status> {
        let answer: api::PodSandboxStatusResponse =
            self.runtime("PodSandboxStatus", pod_request(pod))?;
        let status = answer.status.unwrap_or_default();
        let ip = status.network.clone().unwrap_or_default().ip;
        Ok((status.state(), ip))
    }

    pub fn stop_pod(&self, pod: &Pod) -> Result<(), Status> {
        self.runtime::<_, api::Empty>("StopPodSandbox", pod_request(pod))?;
        Ok(())
    }

    pub fn remove_pod(&self, pod: &Pod) -> Result<(), Status> {
        self.runtime::<_, api::Empty>("RemovePodSandbox", pod_request(pod))?;
        Ok(())
    }

    /// Creates a container in `pod`. The runtime's own `create` is called only
    /// when it is started: that is how containerd's CRI does it.
    pub fn create(&self, pod: &Pod, spec: &ContainerSpec) -> Result<Container, Status> {
        // A container that is made again begins a new log.
        static COUNT: AtomicU32 = AtomicU32::new(0);
        let count = COUNT.fetch_add(1, Ordering::Relaxed);
        let log_path = format!("{}-{count}.log", spec.name);
        let config = api::ContainerConfig {
            metadata: Some(api::ContainerMetadata {
                name: spec.name.to_owned(),
                attempt: 0,
            }),
            image: Some(api::ImageSpec {
                image: spec.image.clone(),
            }),
            command: strings(spec.command),
            args: strings(spec.args),
            mounts: spec.mounts.iter().map(Into::into).collect(),
            annotations: Default::default(),
            log_path: log_path.clone(),
            tty: spec.tty,
            linux: Some(api::LinuxContainerConfig {
                resources: Some(api::LinuxContainerResources {
                    memory_limit_in_bytes: spec.memory_limit,
                    oom_score_adj: spec.oom_score_adj,
                }),
                security_context: Some(api::LinuxContainerSecurityContext {
                    namespace_options: Some(pod.namespaces.clone()),
                }),
            }),
        };
        let request = api::CreateContainerRequest {
            pod_sandbox_id: pod.id.clone(),
            config: Some(config),
            sandbox_config: Some(pod.config.clone()),
        };
        let answer: api::CreateContainerResponse = self.runtime("CreateContainer", request)?;
        Ok(Container {
            id: answer.container_id,
            log: PathBuf::from(&pod.config.log_directory).join(log_path),
        })
    }

    pub fn start_container(&self, container: &Container) -> Result<(), Status> {
        self.runtime::<_, api::Empty>("StartContainer", container_request(container))?;
        Ok(())
    }

    /// Creates and starts a container in `pod`.
    pub fn run(&self, pod: &Pod, spec: &ContainerSpec) -> Result<Container, Status> {
        let container = self.create(pod, spec)?;
        self.start_container(&container)?;
        Ok(container)
    }

    /// Stops a container: SIGTERM, and SIGKILL after a while.
    pub fn stop(&self, container: &Container) -> Result<(), Status> {
        let request = api::StopContainerRequest {
            container_id: container.id.clone(),
            timeout: GRACE,
        };
        self.runtime::<_, api::Empty>("StopContainer", request)?;
        Ok(())
    }

    /// Removes a container, running or not.
    pub fn remove(&self, container: &Container) -> Result<(), Status> {
        self.runtime::<_, api::Empty>("RemoveContainer", container_request(container))?;
        Ok(())
    }

    pub fn status(&self, container: &Container) -> Result<ContainerStatus, Status> {
        Ok(self.full_status(container)?.status.unwrap_or_default())
    }

    /// The pid of the container's first process, as the node sees it.
    pub fn pid(&self, container: &Container) -> Result<i64, Status> {
        let answer = self.full_status(container)?;
        // containerd puts the pid into a JSON text of its own making.
        let info: serde_json::Value =
            serde_json::from_str(answer.info.get("info").map_or("", String::as_str))
                .map_err(|e| Status::internal(format!("the status's info: {e}")))?;
        info["pid"]
            .as_i64()
            .ok_or_else(|| Status::internal("the status's info has no pid"))
    }

    /// Waits until the container has exited; its last status is the error otherwise.
    pub fn wait_exit(&self, container: &Container) -> Result<ContainerStatus, String> {
        let mut last = Err(Status::unknown("not asked"));
        poll(timeout(), || {
            last = self.status(container);
            last.clone()
                .ok()
                .filter(|s| s.state() == ContainerState::Exited)
        })
        .ok_or_else(|| format!("{} does not exit: {last:?}", container.id))
    }

    /// Runs `cmd` in a container and waits for it.
    pub fn exec(&self, container: &Container, cmd: &[&str]) -> Result<ExecSyncResponse, Status> {
        let request = api::ExecSyncRequest {
            container_id: container.id.clone(),
            cmd: cmd.iter().map(|&s| s.to_owned()).collect(),
            timeout: timeout().as_secs() as i64,
        };
        self.runtime("ExecSync", request)
    }

    pub(super) fn has_image(&self, name: &str) -> bool {
        let request = api::ImageStatusRequest {
            image: Some(api::ImageSpec {
                image: name.to_owned(),
            }),
        };
        self.call("ImageService/ImageStatus", request)
            .is_ok_and(|answer: api::ImageStatusResponse| answer.image.is_some())
    }

    /// Whether runtime and network are ready.
    pub(super) fn is_ready(&self) -> bool {
        self.runtime("Status", api::StatusRequest {})
            .is_ok_and(|answer: api::StatusResponse| {
                let conditions = answer.status.unwrap_or_default().conditions;
                !conditions.is_empty() && conditions.iter().all(|c| c.status)
            })
    }

    fn full_status(&self, container: &Container) -> Result<api::ContainerStatusResponse, Status> {
        let request = api::ContainerStatusRequest {
            container_id: container.id.clone(),
            verbose: true,
        };
        self.runtime("ContainerStatus", request)
    }

    pub(super) fn runtime<Q, A>(&self, method: &str, request: Q) -> Result<A, Status>
    where
        Q: Message + 'static,
        A: Message + Default + 'static,
    {
        self.call(&format!("RuntimeService/{method}"), request)
    }

    fn call<Q, A>(&self, method: &str, request: Q) -> Result<A, Status>
    where
        Q: Message + 'static,
        A: Message + Default + 'static,
    {
        let socket = self.socket();
        self.executor.block_on(api::call(&socket, method, request))
    }
}

fn pod_request(pod: &Pod) -> api::PodSandboxRequest {
    api::PodSandboxRequest {
        pod_sandbox_id: pod.id.clone(),
    }
}

pub(super) fn container_request(container: &Container) -> api::ContainerRequest {
    api::ContainerRequest {
        container_id: container.id.clone(),
    }
}

fn strings(list: &[&str]) -> Vec<String> {
    list.iter().map(|&s| s.to_owned()).collect()
}

fn owned(pairs: &[(&str, &str)]) -> std::collections::HashMap<String, String> {
    pairs
        .iter()
        .map(|&(k, v)| (k.to_owned(), v.to_owned()))
        .collect()
}
