//! Why an image's documents cannot be read, each as one line.

use std::path::PathBuf;
use std::time::Duration;

use crate::candidate::Candidate;
use crate::cause::Cause;
use crate::limits::{MAX_BYTES, MAX_DEPTH, MAX_DOCUMENT};
use crate::text::cut;

/// A document, its fault, and where it helps the cure. `document` names the document as people
/// know it: a file of the layout, or `index`, `manifest`, `config`, `layer` and the digest.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ImageError {
    /// A file cannot be opened or read.
    #[error("{document}: {source}")]
    Read {
        /// Its path.
        document: String,
        /// What the kernel, or the reader of a packed layer, says.
        source: Cause,
    },
    /// A file's symlink leads out of the bundle.
    #[error("{document}: its symlink leads out of the bundle")]
    LeadsOut {
        /// Its path in the layout.
        document: String,
    },
    /// The layout lacks a file that it names.
    #[error("{document}: the layout has no such file: it must be there whole")]
    MissingFile {
        /// Its path in the layout.
        document: String,
    },
    /// A layer is compressed by zstd (image-spec, layer.md, "+zstd Media Types").
    #[error("{document}: it is packed by zstd, which is not read here; gzip is")]
    Zstd {
        /// The layer.
        document: String,
    },
    /// `imageLayoutVersion` is not 1.0.0.
    #[error("oci-layout has version {0:?}: this build reads 1.0.0 (image-spec, \"Image Layout\")")]
    LayoutVersion(String),
    /// A document is not the JSON that the image-spec wants.
    #[error("{document} is not what it should be: {source}")]
    Syntax {
        /// The document.
        document: String,
        /// What the JSON reader says, with line and column.
        source: Cause,
    },
    /// `schemaVersion` is not 2.
    #[error(
        "{document} is not what it should be: schemaVersion is {version}, 2 is what this build \
         reads"
    )]
    SchemaVersion {
        /// The index or manifest.
        document: String,
        /// Its `schemaVersion`.
        version: u64,
    },
    /// A descriptor of containerd's has a size below zero.
    #[error("{document} is not what it should be: its size is negative")]
    NegativeSize {
        /// The image.
        document: String,
    },
    /// A document is too large to be read.
    #[error("{document} has {size} bytes: {MAX_DOCUMENT} are the most that is read")]
    TooLarge {
        /// The document.
        document: String,
        /// Bytes.
        size: u64,
    },
    /// A document is shorter or longer than its descriptor says.
    #[error("{document} is not of the {size} bytes that its descriptor says: the image is damaged")]
    SizeMismatch {
        /// The document.
        document: String,
        /// The descriptor's, in bytes.
        size: u64,
    },
    /// A digest is malformed, or of an algorithm that is not known here.
    #[error("digest {0:?} is not one that can be checked: sha256 and sha512 can")]
    InvalidDigest(String),
    /// A blob is not the one that its digest names.
    #[error("blob {digest} has the digest {found}: the image is damaged or forged")]
    DigestMismatch {
        /// The descriptor's.
        digest: String,
        /// The hex digits of the bytes' own.
        found: String,
    },
    /// Indexes name indexes, too many times.
    #[error("{document}: indexes nest deeper than {MAX_DEPTH}")]
    TooDeep {
        /// The index that is one too deep.
        document: String,
    },
    /// The indexes name more manifests than this.
    #[error("the image's indexes name more than {0} manifests")]
    TooManyManifests(usize),
    /// The documents are too many, or too large together.
    #[error("the image's documents have more than {MAX_BYTES} bytes in all")]
    TooManyBytes,
    /// A document has the fields of an index and of a manifest.
    #[error("{document} is an index and a manifest at once: it could be read in two ways")]
    Ambiguous {
        /// The document.
        document: String,
    },
    /// Two places that must say the same do not.
    #[error("{document}: {thing} is both {one:?} and {other:?}")]
    Contradiction {
        /// The document.
        document: String,
        /// What is said twice.
        thing: String,
        /// What the first place says.
        one: String,
        /// What the second place says.
        other: String,
    },
    /// The index names nothing.
    #[error("the image has no manifest")]
    NoManifest,
    /// No manifest can run here.
    #[error("none of the image's manifests is for this host: {}", reasons(.0))]
    NoMatch(Vec<Candidate>),
    /// containerd did not answer in time.
    #[error(
        "containerd at {} did not answer within {} ms: is it up?",
        socket.display(), timeout.as_millis()
    )]
    Timeout {
        /// containerd's socket.
        socket: PathBuf,
        /// How long was waited for all calls together.
        timeout: Duration,
    },
    /// containerd's socket cannot be connected.
    #[error("containerd at {}: {source}", socket.display())]
    Unreachable {
        /// containerd's socket.
        socket: PathBuf,
        /// What the kernel or the gRPC client says.
        source: Cause,
    },
    /// containerd answers a call with an error.
    #[error("containerd at {}: {}", socket.display(), cut(&format!("{thing}: {message}")))]
    CallFailed {
        /// containerd's socket.
        socket: PathBuf,
        /// What was asked for.
        thing: String,
        /// containerd's own words: the gRPC status' message.
        message: String,
    },
    /// containerd has no container, image or content of that name.
    #[error("containerd knows no {thing} in its namespace {namespace}")]
    NotFound {
        /// What was asked for.
        thing: String,
        /// containerd's kind of namespace.
        namespace: String,
    },
    /// The container's record has no image, as one made by `ctr run --rootfs` has none.
    #[error("containerd has the container {container} without an image: nothing tells what it is")]
    NoImage {
        /// The container's ID.
        container: String,
    },
    /// `--root` and the bundle's path name two namespaces.
    #[error(
        "containerd's namespace of this container is not known: --root says {root:?}, the bundle's \
         path {bundle:?}"
    )]
    TwoNamespaces {
        /// The last part of `--root`.
        root: String,
        /// The part of the bundle's path.
        bundle: String,
    },
    /// Nothing names the namespace.
    #[error(
        "containerd's namespace of this container is not known: neither --root nor the \
         bundle's path names it"
    )]
    NoNamespace,
    /// The namespace's name has bytes that a gRPC header cannot have.
    #[error(
        "containerd's namespace of this container is not known: {namespace:?} is no name of one"
    )]
    InvalidNamespace {
        /// The name.
        namespace: String,
    },
}

impl ImageError {
    /// Whether there was no answer, rather than one that says something wrong.
    pub fn is_unavailable(&self) -> bool {
        matches!(
            self,
            Self::Timeout { .. }
                | Self::Unreachable { .. }
                | Self::CallFailed { .. }
                | Self::NotFound { .. }
                | Self::TwoNamespaces { .. }
                | Self::NoNamespace
                | Self::InvalidNamespace { .. }
        )
    }

    pub(crate) fn read(
        document: impl ToString,
        source: impl std::error::Error + Send + Sync + 'static,
    ) -> Self {
        Self::Read {
            document: document.to_string(),
            source: Cause::new(source),
        }
    }

    pub(crate) fn syntax(document: &str, source: serde_json::Error) -> Self {
        Self::Syntax {
            document: document.to_owned(),
            source: Cause::new(source),
        }
    }

    pub(crate) fn invalid_digest(text: &str) -> Self {
        Self::InvalidDigest(cut(text))
    }

    pub(crate) fn contradiction(document: String, thing: &str, one: &str, other: &str) -> Self {
        Self::Contradiction {
            document,
            thing: cut(thing),
            one: cut(one),
            other: cut(other),
        }
    }
}

/// Why the first few were not selected.
fn reasons(candidates: &[Candidate]) -> String {
    const MAX: usize = 4;
    let mut reasons: Vec<_> = candidates
        .iter()
        .take(MAX)
        .map(|c| match &c.platform {
            Some(platform) => format!("{platform}: {}", c.verdict),
            None => c.verdict.to_string(),
        })
        .collect();
    if candidates.len() > MAX {
        reasons.push(format!("and {} more", candidates.len() - MAX));
    }
    reasons.join("; ")
}

impl serde::Serialize for ImageError {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}
