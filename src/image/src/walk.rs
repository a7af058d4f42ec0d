//! From an index down to its manifests, with a bound on everything.
//!
//! The same for every place where blobs can lie: that place gives bytes
//! ([`Blobs`]), and here their size and digest are checked before they are parsed.

use serde::de::DeserializeOwned;

use super::ImageError;
use super::digest::Digest;
use super::document::{Config, Descriptor, Index, MAX_MANIFESTS, Manifest, Shape};
use super::error::cut;

/// The largest document that is read, in bytes: containerd's own limit.
pub(crate) const MAX_DOCUMENT: u64 = 4 << 20;
/// The most that is read of all documents together, in bytes.
pub(crate) const MAX_BYTES: u64 = 32 << 20;
/// How deep indexes may nest. Real ones do once.
pub(crate) const MAX_DEPTH: usize = 4;
/// The most documents that are read: of [`MAX_MANIFESTS`] each with its
/// configuration, and indexes above them.
const MAX_DOCUMENTS: usize = 3 * MAX_MANIFESTS;

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

/// A place where blobs lie.
pub(crate) trait Blobs {
    /// Reads the blob `digest`, of which not more than `size` + 1 bytes (at most
    /// [`MAX_DOCUMENT`] + 1) are wanted. Nobody has checked what is returned.
    fn read(&mut self, digest: &Digest, size: u64) -> Result<Vec<u8>, ImageError>;
}

/// Reads documents, and counts what has been read.
pub(crate) struct Documents<'a> {
    blobs: &'a mut dyn Blobs,
    count: usize,
    bytes: u64,
}

impl<'a> Documents<'a> {
    pub(crate) fn new(blobs: &'a mut dyn Blobs) -> Self {
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
        self.descend(roots, 0, &mut found)?;
        Ok(found)
    }

    fn descend(
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
                self.descend(index.manifests, depth + 1, found)?;
            } else if found.len() == MAX_MANIFESTS {
                return Err(ImageError::TooMany(MAX_MANIFESTS));
            } else {
                found.push(descriptor);
            }
        }
        Ok(())
    }

    /// The manifest that a descriptor points to.
    pub(crate) fn manifest(&mut self, descriptor: &Descriptor) -> Result<Manifest, ImageError> {
        let (name, bytes) = self.read("manifest", descriptor)?;
        let shape = shape(&name, &bytes, Some(&descriptor.media_type))?;
        if shape.manifests.is_some() {
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
    fn read(&mut self, kind: &str, of: &Descriptor) -> Result<(String, Vec<u8>), ImageError> {
        let digest = Digest::parse(&of.digest)?;
        let document = format!("{kind} {}", of.digest);
        let size = of.size;
        if size > MAX_DOCUMENT {
            return Err(ImageError::TooLarge { document, size });
        }
        self.count += 1;
        self.bytes += size;
        if self.count > MAX_DOCUMENTS || self.bytes > MAX_BYTES {
            return Err(ImageError::TooMuch);
        }
        let bytes = self.blobs.read(&digest, size)?;
        if bytes.len() as u64 != size {
            return Err(ImageError::Size { document, size });
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
    let shape = shape(name, bytes, media_type)?;
    if shape.config.is_some() || shape.layers.is_some() || shape.fs_layers.is_some() {
        return Err(ImageError::Ambiguous {
            document: name.to_owned(),
        });
    }
    parse(name, bytes)
}

/// What kind of artifact a manifest is: its own word, or else its descriptor's.
///
/// # Errors
/// When they say two things. A descriptor may repeat the configuration's type for
/// a manifest without a word of its own (image-spec, descriptor.md, "artifactType").
pub(crate) fn artifact_type(
    descriptor: &Descriptor,
    manifest: &Manifest,
) -> Result<Option<String>, ImageError> {
    match (&manifest.artifact_type, &descriptor.artifact_type) {
        (Some(own), Some(other)) if own != other => Err(ImageError::contradiction(
            format!("manifest {}", descriptor.digest),
            "its artifactType".into(),
            own,
            other,
        )),
        (Some(own), _) => Ok(Some(own.clone())),
        (None, Some(other)) if *other == manifest.config.media_type => Ok(None),
        (None, other) => Ok(other.clone()),
    }
}

fn shape(name: &str, bytes: &[u8], media_type: Option<&str>) -> Result<Shape, ImageError> {
    let shape: Shape = parse(name, bytes)?;
    if let Some(version) = shape.schema_version.filter(|&version| version != 2) {
        let why = format!("schemaVersion is {version}, 2 is what this build reads");
        return Err(ImageError::syntax(name, why));
    }
    match (&shape.media_type, media_type) {
        (Some(own), Some(expected)) if own != expected => Err(ImageError::contradiction(
            name.to_owned(),
            "its media type".into(),
            own,
            expected,
        )),
        _ => Ok(shape),
    }
}

pub(crate) fn parse<T: DeserializeOwned>(name: &str, bytes: &[u8]) -> Result<T, ImageError> {
    serde_json::from_slice(bytes).map_err(|why| ImageError::syntax(name, why))
}
