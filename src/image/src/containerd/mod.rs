//! What containerd knows of a container's image, asked over its socket.
//!
//! `Containers.Get` gives the image's name, `Images.Get` the descriptor that it
//! stands for, `Content.Read` each document below. One deadline holds for all of
//! it: whoever waits for runu waits for a container. What an image says is kept
//! in a cache by its digest, so that the next container of it costs two calls.

mod api;
mod cache;
mod discover;
mod session;

use std::path::PathBuf;
use std::time::Duration;

pub use discover::{namespace, socket, state_dir};

use crate::document::Descriptor;
use crate::error::ImageError;
use crate::host::Host;
use crate::image::{Image, Source};
use crate::resolve_index::Documents;
use crate::select_manifest::select_unpacked;
use cache::Cache;
use session::Session;

/// A containerd to ask.
#[derive(Debug, Clone)]
pub struct Containerd {
    /// Its gRPC socket.
    pub socket: PathBuf,
    /// containerd's own kind of namespace: `k8s.io`, `moby`, `default`.
    pub namespace: String,
    /// The directory of the cache; it is made where it is missing.
    pub cache: PathBuf,
    /// How long all calls together may take.
    pub timeout: Duration,
}

impl Containerd {
    /// What the image of a container says of itself. Of several manifests it is
    /// the one that containerd unpacks: that one's files are in the bundle.
    ///
    /// Runs on this thread and starts none.
    ///
    /// # Errors
    /// [`ImageError::Timeout`], [`ImageError::Unreachable`] or [`ImageError::CallFailed`] where
    /// containerd says nothing; [`ImageError::NotFound`] where it knows no such container or
    /// image; [`ImageError::NoImage`]; those of any damaged image.
    pub fn image_of(&self, container_id: &str, host: &Host) -> Result<Image, ImageError> {
        let mut session = Session::open(&self.socket, &self.namespace, self.timeout)?;
        let name = session.image_name(container_id)?;
        let cache = Cache::open(&self.cache, host);
        // A name with a digest is never moved to another image.
        if let Some((_, digest)) = name.split_once('@')
            && let Some(image) = cache.get(digest)
        {
            return Ok(image);
        }
        let target = session.target(&name)?;
        if let Some(image) = cache.get(&target.digest) {
            return Ok(image);
        }
        let image = read(&mut session, target.clone(), host)?;
        cache.put(&target.digest, &image);
        Ok(image)
    }
}

fn read(session: &mut Session, target: Descriptor, host: &Host) -> Result<Image, ImageError> {
    let mut documents = Documents::new(session);
    let manifests = documents.manifests(vec![target])?;
    let selected = select_unpacked(manifests, host, &mut documents)?;
    Image::describe(Source::Containerd, selected, &mut documents)
}
