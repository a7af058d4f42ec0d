//! From an index down to its manifests, with a bound on everything.
//!
//! The same for every store of blobs: the store gives bytes ([`BlobStore`]), and here their size
//! and digest are checked before they are parsed.

use serde::de::DeserializeOwned;

use crate::digest::Digest;
use crate::document::{CommonFields, Config, Descriptor, Index, Manifest};
use crate::error::ImageError;
use crate::limits::{MAX_BYTES, MAX_DEPTH, MAX_DOCUMENT, MAX_DOCUMENTS, MAX_MANIFESTS};
use crate::text::cut;

const INDEXES: &[&str] = &[
    "application/vnd.oci.image.index.v1+json",
    "application/vnd.docker.distribution.manifest.list.v2+json",
];
const MANIFESTS: &[&str] = &[
    "application/vnd.oci.image.manifest.v1+json",
    "application/vnd.docker.distribution.manifest.v2+json",
];
/// Configurations with an image's fields. Those of other types may be anything.
const CONFIGS: &[&str] = &[
    "application/vnd.oci.image.config.v1+json",
    "application/vnd.docker.container.image.v1+json",
    "application/vnd.unikraft.config.v1+json",
];

/// Whether a media type is one of a manifest that can be read here.
pub(crate) fn is_manifest(media_type: &str) -> bool {
    MANIFESTS.contains(&media_type)
}

/// A store of blobs: an OCI image layout, or containerd's content store.
pub(crate) trait BlobStore {
    /// Reads the blob `digest`, of which not more than `size` + 1 bytes (at most
    /// [`MAX_DOCUMENT`] + 1) are wanted. Nobody has checked what is returned.
    fn read(&mut self, digest: &Digest, size: u64) -> Result<Vec<u8>, ImageError>;
}

/// Reads documents, and counts what has been read.
pub(crate) struct Documents<'a> {
    blobs: &'a mut dyn BlobStore,
    count: usize,
    bytes: u64,
}

impl<'a> Documents<'a> {
    pub(crate) fn new(blobs: &'a mut dyn BlobStore) -> Self {
        Self {
            blobs,
            count: 0,
            bytes: 0,
        }
    }

    /// All manifests that these descriptors lead to, in the indexes' order.
    /// Descriptors of an unknown type are among them.
    ///
    /// # Errors
    /// When an index is damaged, or there are too many of anything.
    pub(crate) fn manifests(
        &mut self,
        roots: Vec<Descriptor>,
    ) -> Result<Vec<Descriptor>, ImageError> {
        let mut found = Vec::new();
        self.resolve(roots, 0, &mut found)?;
        Ok(found)
    }

    fn resolve(
        &mut self,
        descriptors: Vec<Descriptor>,
        depth: usize,
        found: &mut Vec<Descriptor>,
    ) -> Result<(), ImageError> {
        for descriptor in descriptors {
            if INDEXES.contains(&descriptor.media_type.as_str()) {
                if depth == MAX_DEPTH {
                    let document = format!("index {}", cut(&descriptor.digest));
                    return Err(ImageError::TooDeep { document });
                }
                let (name, bytes) = self.read("index", &descriptor)?;
                let index = parse_index(&name, &bytes, Some(&descriptor.media_type))?;
                self.resolve(index.manifests, depth + 1, found)?;
            } else if found.len() == MAX_MANIFESTS {
                return Err(ImageError::TooManyManifests(MAX_MANIFESTS));
            } else {
                found.push(descriptor);
            }
        }
        Ok(())
    }

    /// The manifest that a descriptor points to.
    pub(crate) fn manifest(&mut self, descriptor: &Descriptor) -> Result<Manifest, ImageError> {
        let (name, bytes) = self.read("manifest", descriptor)?;
        let common = common_fields(&name, &bytes, Some(&descriptor.media_type))?;
        if common.manifests.is_some() {
            return Err(ImageError::Ambiguous { document: name });
        }
        parse(&name, &bytes)
    }

    /// A manifest's configuration, where it is of a type that has an image's fields.
    pub(crate) fn config(&mut self, manifest: &Manifest) -> Result<Option<Config>, ImageError> {
        if !CONFIGS.contains(&manifest.config.media_type.as_str()) {
            return Ok(None);
        }
        let (name, bytes) = self.read("config", &manifest.config)?;
        parse(&name, &bytes).map(Some)
    }

    /// A document's name and its bytes, which are what its descriptor says.
    fn read(
        &mut self,
        kind: &str,
        descriptor: &Descriptor,
    ) -> Result<(String, Vec<u8>), ImageError> {
        let digest = Digest::parse(&descriptor.digest)?;
        let document = format!("{kind} {}", descriptor.digest);
        let size = descriptor.size;
        if size > MAX_DOCUMENT {
            return Err(ImageError::TooLarge { document, size });
        }
        self.count += 1;
        self.bytes += size;
        if self.count > MAX_DOCUMENTS || self.bytes > MAX_BYTES {
            return Err(ImageError::TooManyBytes);
        }
        let bytes = self.blobs.read(&digest, size)?;
        if bytes.len() as u64 != size {
            return Err(ImageError::SizeMismatch { document, size });
        }
        digest.check(&bytes)?;
        Ok((document, bytes))
    }
}

/// Parses an index. `media_type` is what its descriptor calls it.
pub(crate) fn parse_index(
    name: &str,
    bytes: &[u8],
    media_type: Option<&str>,
) -> Result<Index, ImageError> {
    let common = common_fields(name, bytes, media_type)?;
    if common.config.is_some() || common.layers.is_some() || common.fs_layers.is_some() {
        return Err(ImageError::Ambiguous {
            document: name.to_owned(),
        });
    }
    parse(name, bytes)
}

/// The artifact type of a manifest: its own, or else its descriptor's.
///
/// # Errors
/// When they say two things. A descriptor may repeat the configuration's type for
/// a manifest without an artifact type of its own (image-spec, descriptor.md, "artifactType").
pub(crate) fn artifact_type(
    descriptor: &Descriptor,
    manifest: &Manifest,
) -> Result<Option<String>, ImageError> {
    match (&manifest.artifact_type, &descriptor.artifact_type) {
        (Some(own), Some(other)) if own != other => Err(ImageError::contradiction(
            format!("manifest {}", descriptor.digest),
            "its artifactType",
            own,
            other,
        )),
        (Some(own), _) => Ok(Some(own.clone())),
        (None, Some(other)) if *other == manifest.config.media_type => Ok(None),
        (None, other) => Ok(other.clone()),
    }
}

/// Reads the fields by which an index and a manifest are told apart, and checks those that both
/// have: `schemaVersion` is 2, and `mediaType` is what the descriptor says.
fn common_fields(
    name: &str,
    bytes: &[u8],
    media_type: Option<&str>,
) -> Result<CommonFields, ImageError> {
    let common: CommonFields = parse(name, bytes)?;
    if let Some(version) = common.schema_version.filter(|&version| version != 2) {
        return Err(ImageError::SchemaVersion {
            document: name.to_owned(),
            version,
        });
    }
    match (&common.media_type, media_type) {
        (Some(own), Some(expected)) if own != expected => Err(ImageError::contradiction(
            name.to_owned(),
            "its media type",
            own,
            expected,
        )),
        _ => Ok(common),
    }
}

pub(crate) fn parse<T: DeserializeOwned>(name: &str, bytes: &[u8]) -> Result<T, ImageError> {
    serde_json::from_slice(bytes).map_err(|error| ImageError::syntax(name, error))
}
