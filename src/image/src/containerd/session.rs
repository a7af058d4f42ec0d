//! One connection to containerd, with the deadline of all that is asked on it.

use std::future::Future;

use tokio::runtime::{Builder, Runtime};
use tokio::time::{Instant, timeout_at};
use tonic::transport::Endpoint;
use tonic::{Code, Status};

use super::Containerd;
use super::api::{
    Client, GetContainerResponse, GetImageResponse, GetRequest, ReadContentRequest,
    ReadContentResponse,
};
use crate::ImageError;
use crate::digest::Digest;
use crate::document::Descriptor;
use crate::error::cut;
use crate::walk::Blobs;

pub(super) struct Session<'a> {
    containerd: &'a Containerd,
    client: Client,
    /// Of this thread alone: a process with threads cannot fork a container.
    runtime: Runtime,
    deadline: Instant,
}

impl<'a> Session<'a> {
    /// Connects.
    pub(super) fn open(containerd: &'a Containerd) -> Result<Self, ImageError> {
        let unreachable = |why: String| ImageError::Unreachable {
            socket: containerd.socket.clone(),
            why: cut(&why),
        };
        let namespace = containerd.namespace.parse();
        let namespace = namespace.map_err(|_| ImageError::Namespace {
            why: format!("{:?} is no name of one", cut(&containerd.namespace)),
        })?;
        let runtime = Builder::new_current_thread().enable_all().build();
        let runtime = runtime.map_err(|e| unreachable(e.to_string()))?;
        let deadline = Instant::now() + containerd.timeout;
        let endpoint = Endpoint::from_shared(format!("unix://{}", containerd.socket.display()));
        let endpoint = endpoint.map_err(|e| unreachable(root_cause(&e)))?;
        let connected = runtime.block_on(async { timeout_at(deadline, endpoint.connect()).await });
        let channel = connected
            .map_err(|_| unanswered(containerd))?
            .map_err(|e| unreachable(root_cause(&e)))?;
        Ok(Self {
            containerd,
            client: Client { channel, namespace },
            runtime,
            deadline,
        })
    }

    /// The name of a container's image.
    pub(super) fn image_name(&self, container: &str) -> Result<String, ImageError> {
        let container_id = cut(container);
        let request = GetRequest {
            name: container.to_owned(),
        };
        let call = self.client.unary("containers.v1.Containers/Get", request);
        let answer: GetContainerResponse =
            self.ask(call, || format!("container {container_id}"))?;
        let name = answer.container.unwrap_or_default().image;
        if name.is_empty() {
            return Err(ImageError::NoImage {
                container: container_id,
            });
        }
        Ok(name)
    }

    /// What an image's name stands for: an index or a manifest.
    pub(super) fn target(&self, name: &str) -> Result<Descriptor, ImageError> {
        let request = GetRequest {
            name: name.to_owned(),
        };
        let image = || format!("image {}", cut(name));
        let call = self.client.unary("images.v1.Images/Get", request);
        let answer: GetImageResponse = self.ask(call, image)?;
        let target = answer.image.unwrap_or_default().target.unwrap_or_default();
        let size = target.size.try_into();
        Ok(Descriptor {
            media_type: target.media_type,
            digest: target.digest,
            size: size.map_err(|_| ImageError::syntax(&image(), "its size is negative"))?,
            ..Descriptor::default()
        })
    }

    /// Waits for a call's answer, as long as there is time. `thing` is what it
    /// is about.
    fn ask<T>(
        &self,
        call: impl Future<Output = Result<T, Status>>,
        thing: impl Fn() -> String,
    ) -> Result<T, ImageError> {
        let answer = self
            .runtime
            .block_on(async { timeout_at(self.deadline, call).await });
        let answer = answer.map_err(|_| unanswered(self.containerd))?;
        answer.map_err(|status| match status.code() {
            Code::NotFound => ImageError::Unknown {
                thing: thing(),
                namespace: self.containerd.namespace.clone(),
            },
            _ => ImageError::Unreachable {
                socket: self.containerd.socket.clone(),
                why: cut(&format!("{}: {}", thing(), status.message())),
            },
        })
    }
}

impl Blobs for Session<'_> {
    fn read(&mut self, digest: &Digest, size: u64) -> Result<Vec<u8>, ImageError> {
        let digest = digest.to_string();
        let request = ReadContentRequest {
            digest: digest.clone(),
        };
        let call = async {
            let method = "content.v1.Content/Read";
            let mut parts = self
                .client
                .stream::<_, ReadContentResponse>(method, request)
                .await?;
            let mut bytes = Vec::new();
            while bytes.len() as u64 <= size
                && let Some(part) = parts.message().await?
            {
                bytes.extend(part.data);
            }
            Ok(bytes)
        };
        self.ask(call, || format!("content {digest}"))
    }
}

fn unanswered(containerd: &Containerd) -> ImageError {
    ImageError::Unanswered {
        socket: containerd.socket.clone(),
        timeout: containerd.timeout,
    }
}

/// The innermost reason: a transport's error says only that it is one.
fn root_cause(mut error: &dyn std::error::Error) -> String {
    while let Some(source) = error.source() {
        error = source;
    }
    error.to_string()
}
