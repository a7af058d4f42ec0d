//! One connection to containerd, with the deadline of all that is asked on it.

use std::error::Error;
use std::fmt;
use std::future::Future;
use std::path::Path;
use std::time::Duration;

use tokio::runtime::{Builder, Runtime};
use tokio::time::{Instant, timeout_at};
use tonic::transport::Endpoint;
use tonic::{Code, Status};

use super::api::{
    Client, GetContainerResponse, GetImageResponse, GetRequest, ReadContentRequest,
    ReadContentResponse,
};
use crate::cause::Cause;
use crate::digest::Digest;
use crate::document::Descriptor;
use crate::error::ImageError;
use crate::resolve_index::BlobStore;
use crate::text::cut;

pub(super) struct Session<'a> {
    socket: &'a Path,
    namespace: &'a str,
    client: Client,
    /// Of this thread alone: a process with threads cannot fork a container.
    runtime: Runtime,
    timeout: Duration,
    /// `timeout` after the session was opened.
    deadline: Instant,
}

impl<'a> Session<'a> {
    /// Connects. All that is asked together may take as long as `timeout`.
    pub(super) fn open(
        socket: &'a Path,
        namespace: &'a str,
        timeout: Duration,
    ) -> Result<Self, ImageError> {
        let unreachable = |source: Cause| ImageError::Unreachable {
            socket: socket.to_owned(),
            source,
        };
        let header = namespace
            .parse()
            .map_err(|_| ImageError::InvalidNamespace {
                namespace: cut(namespace),
            })?;
        let runtime = Builder::new_current_thread().enable_all().build();
        let runtime = runtime.map_err(|error| unreachable(Cause::new(error)))?;
        let deadline = Instant::now() + timeout;
        let no_transport = |error| unreachable(Cause::new(TransportError(error)));
        let endpoint = Endpoint::from_shared(format!("unix://{}", socket.display()));
        let endpoint = endpoint.map_err(no_transport)?;
        let connected = runtime.block_on(async { timeout_at(deadline, endpoint.connect()).await });
        let channel = connected
            .map_err(|_| timed_out(socket, timeout))?
            .map_err(no_transport)?;
        Ok(Self {
            socket,
            namespace,
            client: Client {
                channel,
                namespace: header,
            },
            runtime,
            timeout,
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
            size: size.map_err(|_| ImageError::NegativeSize { document: image() })?,
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
        let answer = answer.map_err(|_| timed_out(self.socket, self.timeout))?;
        answer.map_err(|status| match status.code() {
            Code::NotFound => ImageError::NotFound {
                thing: thing(),
                namespace: self.namespace.to_owned(),
            },
            _ => ImageError::CallFailed {
                socket: self.socket.to_owned(),
                thing: thing(),
                message: cut(status.message()),
            },
        })
    }
}

impl BlobStore for Session<'_> {
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

fn timed_out(socket: &Path, timeout: Duration) -> ImageError {
    ImageError::Timeout {
        socket: socket.to_owned(),
        timeout,
    }
}

/// A transport's error says only that it is one. This one's text is the innermost reason, and so
/// it has no source.
#[derive(Debug)]
struct TransportError(tonic::transport::Error);

impl fmt::Display for TransportError {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        let mut error: &dyn Error = &self.0;
        while let Some(source) = error.source() {
            error = source;
        }
        write!(f, "{error}")
    }
}

impl Error for TransportError {}
