//! The part of the Container Runtime Interface that the tests speak.
//!
//! Field numbers are those of k8s.io/cri-api, `pkg/apis/runtime/v1/api.proto`;
//! fields that no test uses are left out, which protobuf allows on both sides.

use std::collections::HashMap;
use std::path::Path;
use std::time::Duration;

use http::uri::PathAndQuery;
use prost::Message;
use tonic::transport::Endpoint;
use tonic::{Request, Status};

use crate::http::timeout;

/// No call may take longer than it may by itself and this: a hang is a failure with a name.
const TIMEOUT: Duration = Duration::from_secs(40);

/// Makes one unary call to the CRI server at `socket`, on a connection of its
/// own, so that a restarted server is nothing special. `method` is
/// `Service/Method` beneath `runtime.v1`.
pub async fn call<Q, A>(socket: &Path, method: &str, request: Q) -> Result<A, Status>
where
    Q: Message + 'static,
    A: Message + Default + 'static,
{
    let path = format!("/runtime.v1.{method}");
    unary(socket, &path, Request::new(request)).await
}

/// Makes one unary call to any of containerd's services, by the method's whole path.
pub async fn unary<Q, A>(socket: &Path, path: &str, request: Request<Q>) -> Result<A, Status>
where
    Q: Message + 'static,
    A: Message + Default + 'static,
{
    let unavailable = |e: &dyn std::fmt::Display| Status::unavailable(format!("{path}: {e}"));
    let channel = Endpoint::from_shared(format!("unix://{}", socket.display()))
        .map_err(|e| unavailable(&e))?
        .timeout(TIMEOUT + timeout())
        .connect()
        .await
        .map_err(|e| unavailable(&e))?;
    let mut client = tonic::client::Grpc::new(channel);
    client.ready().await.map_err(|e| unavailable(&e))?;
    let path = PathAndQuery::try_from(path).map_err(|e| unavailable(&e))?;
    let codec = tonic_prost::ProstCodec::default();
    let answer = client.unary(request, path, codec).await?;
    Ok(answer.into_inner())
}

/// Declares messages: a table of fields is easier to hold against the .proto.
macro_rules! messages {
    ($( $name:ident { $( $field:ident : $type:ty = $tag:literal [$($kind:tt)*] ),* $(,)? } )*) => {
        $(
            #[derive(Clone, PartialEq, prost::Message)]
            pub struct $name {
                $( #[prost($($kind)*, tag = $tag)] pub $field: $type, )*
            }
        )*
    };
}

messages! {
    Empty {}

    StatusRequest {}
    StatusResponse { status: Option<RuntimeStatus> = "1" [message, optional] }
    RuntimeStatus { conditions: Vec<RuntimeCondition> = "1" [message, repeated] }
    RuntimeCondition {
        r#type: String = "1" [string],
        status: bool = "2" [bool],
        reason: String = "3" [string],
        message: String = "4" [string],
    }

    ImageSpec { image: String = "1" [string] }
    ImageStatusRequest { image: Option<ImageSpec> = "1" [message, optional] }
    ImageStatusResponse { image: Option<Image> = "1" [message, optional] }
    Image { id: String = "1" [string] }

    PodSandboxMetadata {
        name: String = "1" [string],
        uid: String = "2" [string],
        namespace: String = "3" [string],
        attempt: u32 = "4" [uint32],
    }
    // Both security contexts have much more.
    NamespaceOption { pid: i32 = "2" [enumeration = "NamespaceMode"] }
    LinuxSandboxSecurityContext {
        namespace_options: Option<NamespaceOption> = "1" [message, optional],
    }
    LinuxContainerSecurityContext {
        namespace_options: Option<NamespaceOption> = "3" [message, optional],
    }
    LinuxPodSandboxConfig {
        cgroup_parent: String = "1" [string],
        security_context: Option<LinuxSandboxSecurityContext> = "2" [message, optional],
    }
    DnsConfig {
        servers: Vec<String> = "1" [string, repeated],
        searches: Vec<String> = "2" [string, repeated],
    }
    PodSandboxConfig {
        metadata: Option<PodSandboxMetadata> = "1" [message, optional],
        hostname: String = "2" [string],
        log_directory: String = "3" [string],
        dns: Option<DnsConfig> = "4" [message, optional],
        annotations: HashMap<String, String> = "7" [map = "string, string"],
        linux: Option<LinuxPodSandboxConfig> = "8" [message, optional],
    }
    RunPodSandboxRequest {
        config: Option<PodSandboxConfig> = "1" [message, optional],
        runtime_handler: String = "2" [string],
    }
    RunPodSandboxResponse { pod_sandbox_id: String = "1" [string] }
    PodSandboxRequest { pod_sandbox_id: String = "1" [string] }
    PodSandboxStatusResponse { status: Option<PodSandboxStatus> = "1" [message, optional] }
    PodSandboxStatus {
        id: String = "1" [string],
        state: i32 = "3" [enumeration = "PodSandboxState"],
        network: Option<PodSandboxNetworkStatus> = "5" [message, optional],
    }
    PodSandboxNetworkStatus { ip: String = "1" [string] }

    ContainerMetadata { name: String = "1" [string], attempt: u32 = "2" [uint32] }
    LinuxContainerResources {
        memory_limit_in_bytes: i64 = "4" [int64],
        oom_score_adj: i64 = "5" [int64],
    }
    UpdateContainerResourcesRequest {
        container_id: String = "1" [string],
        linux: Option<LinuxContainerResources> = "2" [message, optional],
    }
    ContainerStatsResponse { stats: Option<ContainerStats> = "1" [message, optional] }
    ContainerStats {
        cpu: Option<CpuUsage> = "2" [message, optional],
        memory: Option<MemoryUsage> = "3" [message, optional],
    }
    CpuUsage { usage_core_nano_seconds: Option<UInt64Value> = "2" [message, optional] }
    MemoryUsage { working_set_bytes: Option<UInt64Value> = "2" [message, optional] }
    UInt64Value { value: u64 = "1" [uint64] }
    LinuxContainerConfig {
        resources: Option<LinuxContainerResources> = "1" [message, optional],
        security_context: Option<LinuxContainerSecurityContext> = "2" [message, optional],
    }
    Mount {
        container_path: String = "1" [string],
        host_path: String = "2" [string],
        readonly: bool = "3" [bool],
    }
    ContainerConfig {
        metadata: Option<ContainerMetadata> = "1" [message, optional],
        image: Option<ImageSpec> = "2" [message, optional],
        command: Vec<String> = "3" [string, repeated],
        args: Vec<String> = "4" [string, repeated],
        mounts: Vec<Mount> = "7" [message, repeated],
        annotations: HashMap<String, String> = "10" [map = "string, string"],
        log_path: String = "11" [string],
        tty: bool = "14" [bool],
        linux: Option<LinuxContainerConfig> = "15" [message, optional],
    }
    CreateContainerRequest {
        pod_sandbox_id: String = "1" [string],
        config: Option<ContainerConfig> = "2" [message, optional],
        sandbox_config: Option<PodSandboxConfig> = "3" [message, optional],
    }
    CreateContainerResponse { container_id: String = "1" [string] }
    ContainerRequest { container_id: String = "1" [string] }
    StopContainerRequest {
        container_id: String = "1" [string],
        // Seconds between SIGTERM and SIGKILL.
        timeout: i64 = "2" [int64],
    }
    ContainerStatusRequest {
        container_id: String = "1" [string],
        verbose: bool = "2" [bool],
    }
    ContainerStatusResponse {
        status: Option<ContainerStatus> = "1" [message, optional],
        info: HashMap<String, String> = "2" [map = "string, string"],
    }
    ContainerStatus {
        id: String = "1" [string],
        state: i32 = "3" [enumeration = "ContainerState"],
        exit_code: i32 = "7" [int32],
        reason: String = "10" [string],
        message: String = "11" [string],
    }
    ExecSyncRequest {
        container_id: String = "1" [string],
        cmd: Vec<String> = "2" [string, repeated],
        // Seconds.
        timeout: i64 = "3" [int64],
    }
    ExecSyncResponse {
        stdout: Vec<u8> = "1" [bytes],
        stderr: Vec<u8> = "2" [bytes],
        exit_code: i32 = "3" [int32],
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, prost::Enumeration)]
#[repr(i32)]
pub enum ContainerState {
    Created = 0,
    Running = 1,
    Exited = 2,
    Unknown = 3,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, prost::Enumeration)]
#[repr(i32)]
pub enum PodSandboxState {
    Ready = 0,
    NotReady = 1,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, prost::Enumeration)]
#[repr(i32)]
pub enum NamespaceMode {
    Pod = 0,
    Container = 1,
    Node = 2,
}
