//! The part of containerd's API that is spoken: three calls.
//!
//! Field numbers are those of containerd's `api/services/{containers,images,
//! content}/v1/*.proto` and `api/types/descriptor.proto`; fields that are not
//! looked at are left out, which protobuf allows on both sides. The
//! containerd-client crate has them all, and wants protoc on the machine that builds.

use http::uri::PathAndQuery;
use prost::Message;
use tonic::metadata::{Ascii, MetadataValue};
use tonic::transport::Channel;
use tonic::{Request, Status, Streaming};
use tonic_prost::ProstCodec;

/// `Get` of containers and images: both want one name as field 1.
#[derive(Clone, PartialEq, Message)]
pub(super) struct GetRequest {
    #[prost(string, tag = "1")]
    pub name: String,
}

#[derive(Clone, PartialEq, Message)]
pub(super) struct GetContainerResponse {
    #[prost(message, optional, tag = "1")]
    pub container: Option<Container>,
}

#[derive(Clone, PartialEq, Message)]
pub(super) struct Container {
    /// The image's name; empty where the container was made without one.
    #[prost(string, tag = "3")]
    pub image: String,
}

#[derive(Clone, PartialEq, Message)]
pub(super) struct GetImageResponse {
    #[prost(message, optional, tag = "1")]
    pub image: Option<Image>,
}

#[derive(Clone, PartialEq, Message)]
pub(super) struct Image {
    #[prost(message, optional, tag = "3")]
    pub target: Option<Descriptor>,
}

#[derive(Clone, PartialEq, Message)]
pub(super) struct Descriptor {
    #[prost(string, tag = "1")]
    pub media_type: String,
    #[prost(string, tag = "2")]
    pub digest: String,
    /// Bytes.
    #[prost(int64, tag = "3")]
    pub size: i64,
}

/// Without an offset and a size: the whole.
#[derive(Clone, PartialEq, Message)]
pub(super) struct ReadContentRequest {
    #[prost(string, tag = "1")]
    pub digest: String,
}

#[derive(Clone, PartialEq, Message)]
pub(super) struct ReadContentResponse {
    #[prost(bytes = "vec", tag = "2")]
    pub data: Vec<u8>,
}

/// A connection, and the namespace that all calls are made in.
#[derive(Clone)]
pub(super) struct Client {
    pub channel: Channel,
    pub namespace: MetadataValue<Ascii>,
}

impl Client {
    /// One call, one answer. `method` is `service.v1.Service/Method` beneath
    /// `containerd.services`.
    pub(super) async fn unary<Q, A>(&self, method: &'static str, request: Q) -> Result<A, Status>
    where
        Q: Message + 'static,
        A: Message + Default + 'static,
    {
        let mut grpc = self.ready().await?;
        let request = self.request(request);
        let answer = grpc.unary(request, path(method)?, ProstCodec::default());
        Ok(answer.await?.into_inner())
    }

    /// One call, and answers until its end.
    pub(super) async fn stream<Q, A>(
        &self,
        method: &'static str,
        request: Q,
    ) -> Result<Streaming<A>, Status>
    where
        Q: Message + 'static,
        A: Message + Default + 'static,
    {
        let mut grpc = self.ready().await?;
        let request = self.request(request);
        let answers = grpc.server_streaming(request, path(method)?, ProstCodec::default());
        Ok(answers.await?.into_inner())
    }

    async fn ready(&self) -> Result<tonic::client::Grpc<Channel>, Status> {
        let mut grpc = tonic::client::Grpc::new(self.channel.clone());
        let ready = grpc.ready().await;
        ready.map_err(|e| Status::unavailable(e.to_string()))?;
        Ok(grpc)
    }

    fn request<Q>(&self, message: Q) -> Request<Q> {
        let mut request = Request::new(message);
        let metadata = request.metadata_mut();
        metadata.insert("containerd-namespace", self.namespace.clone());
        request
    }
}

fn path(method: &'static str) -> Result<PathAndQuery, Status> {
    PathAndQuery::from_maybe_shared(format!("/containerd.services.{method}"))
        .map_err(|e| Status::internal(e.to_string()))
}
