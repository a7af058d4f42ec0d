//! Why an image's own words cannot be had, each as one line.

use std::path::PathBuf;
use std::time::Duration;

use super::choice::Candidate;
use super::walk::{MAX_BYTES, MAX_DEPTH, MAX_DOCUMENT};

/// A document, its fault, and where it helps the cure.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ImageError {
    #[error("{document}: {why}")]
    File { document: String, why: String },
    #[error("oci-layout has version {0:?}: this build reads 1.0.0 (image-spec, \"Image Layout\")")]
    LayoutVersion(String),
    #[error("{document} is not what it should be: {why}")]
    Syntax { document: String, why: String },
    #[error(
        "{document} has {size} bytes: {} are the most that is read",
        MAX_DOCUMENT
    )]
    TooLarge { document: String, size: u64 },
    #[error("{document} is not of the {size} bytes that its descriptor says: the image is damaged")]
    Size { document: String, size: u64 },
    #[error("digest {0:?} is not one that can be checked: sha256 and sha512 can")]
    Digest(String),
    #[error("blob {digest} has the digest {found}: the image is damaged or forged")]
    Mismatch { digest: String, found: String },
    #[error("{document}: indexes nest deeper than {}", MAX_DEPTH)]
    TooDeep { document: String },
    #[error("the image's indexes name more than {0} manifests")]
    TooMany(usize),
    #[error("the image's documents have more than {} bytes in all", MAX_BYTES)]
    TooMuch,
    #[error("{document} is an index and a manifest at once: it could be read in two ways")]
    Ambiguous { document: String },
    #[error("{document}: {thing} is both {one:?} and {other:?}")]
    Contradiction {
        document: String,
        thing: String,
        one: String,
        other: String,
    },
    #[error("the image has no manifest")]
    Empty,
    #[error("none of the image's manifests is for this host: {}", reasons(.0))]
    NoneFits(Vec<Candidate>),
    #[error(
        "containerd at {} did not answer within {} ms: is it up?",
        socket.display(), timeout.as_millis()
    )]
    Unanswered { socket: PathBuf, timeout: Duration },
    #[error("containerd at {}: {why}", socket.display())]
    Unreachable { socket: PathBuf, why: String },
    #[error("containerd knows no {thing} in its namespace {namespace}")]
    Unknown { thing: String, namespace: String },
    #[error("containerd has the container {container} without an image: nothing tells what it is")]
    NoImage { container: String },
    #[error("containerd's namespace of this container is not known: {why}")]
    Namespace { why: String },
}

impl ImageError {
    /// Whether there was no answer, rather than a wrong one.
    pub fn is_silence(&self) -> bool {
        matches!(
            self,
            Self::Unanswered { .. }
                | Self::Unreachable { .. }
                | Self::Unknown { .. }
                | Self::Namespace { .. }
        )
    }

    pub(super) fn syntax(document: &str, why: impl ToString) -> Self {
        Self::Syntax {
            document: document.to_owned(),
            why: cut(&why.to_string()),
        }
    }

    pub(super) fn digest(text: &str) -> Self {
        Self::Digest(cut(text))
    }

    pub(super) fn contradiction(document: String, thing: String, one: &str, other: &str) -> Self {
        Self::Contradiction {
            document,
            thing: cut(&thing),
            one: cut(one),
            other: cut(other),
        }
    }
}

/// The beginning of a text from outside: an error is one line, not a page.
pub(super) fn cut(text: &str) -> String {
    const MAX: usize = 160;
    let mut letters = text.chars().filter(|c| !c.is_control());
    let mut short: String = letters.by_ref().take(MAX).collect();
    if letters.next().is_some() {
        short.push('…');
    }
    short
}

/// Why the first few lost.
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
