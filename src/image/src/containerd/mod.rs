//! What containerd knows of a container's image, asked over its socket.
//!
//! `Containers.Get` gives the image's name, `Images.Get` the descriptor that it
//! stands for, `Content.Read` each document below. One deadline holds for all of
//! it: whoever waits for runu waits for a container. What an image says is kept
//! in a cache by its digest, so that the next container of it costs two calls.

mod api;
mod cache;
mod find;
mod session;

use std::path::PathBuf;
use std::time::Duration;

pub use find::{namespace, socket, state_dir};

use super::document::Descriptor;
use super::host::Host;
use super::walk::Documents;
use super::{Image, ImageError, Source, choice};
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
    /// [`ImageError::Unanswered`] or [`ImageError::Unreachable`] where containerd
    /// says nothing; [`ImageError::Unknown`] where it knows no such container or
    /// image; those of any damaged image.
    pub fn image_of(&self, container_id: &str, host: &Host) -> Result<Image, ImageError> {
        let mut session = Session::open(self)?;
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
    let choice = choice::unpacked(manifests, host, &mut documents)?;
    Image::describe(Source::Containerd, choice, &mut documents)
}
