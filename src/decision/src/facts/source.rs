//! A value and who gave it.

use std::fmt;

use serde::{Deserialize, Serialize, Serializer};

/// A setting and its source, so that a refusal can name the place to mend.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Sourced<T> {
    /// What is set.
    pub value: T,
    /// What sets it.
    #[serde(rename = "by")]
    pub origin: Source,
}

/// What sets something of a unikernel's.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Source {
    /// An annotation in config.json: the pod's author, or who built it.
    Annotation(String),
    /// A field of config.json's `vm` object (runtime-spec, config-vm.md).
    Vm(&'static str),
    /// A key of `/urunc.json` in the image.
    UruncJson(String),
    /// An annotation of the image's manifest or of one of its layers, or a label.
    Manifest(String),
    /// What the image is, by its media types: a line.
    Image(String),
    /// A file at a well-known place in the image.
    Path,
}

/// The kind of a [`Source`], as a policy names it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum SourceKind {
    /// [`Source::Annotation`].
    Annotation,
    /// [`Source::Vm`].
    Vm,
    /// [`Source::UruncJson`].
    #[serde(rename = "urunc.json")]
    UruncJson,
    /// [`Source::Manifest`] and [`Source::Image`].
    Manifest,
    /// [`Source::Path`].
    Path,
}

impl Source {
    /// Its kind.
    pub fn kind(&self) -> SourceKind {
        match self {
            Self::Annotation(_) => SourceKind::Annotation,
            Self::Vm(_) => SourceKind::Vm,
            Self::UruncJson(_) => SourceKind::UruncJson,
            Self::Manifest(_) | Self::Image(_) => SourceKind::Manifest,
            Self::Path => SourceKind::Path,
        }
    }
}

impl fmt::Display for Source {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Annotation(key) => write!(f, "annotation {key}"),
            Self::Vm(field) => write!(f, "config.json's {field}"),
            Self::UruncJson(key) => write!(f, "urunc.json's {key}"),
            Self::Manifest(key) => write!(f, "the image's annotation {key}"),
            Self::Image(what) => write!(f, "the image: {what}"),
            Self::Path => f.write_str("the image"),
        }
    }
}

impl Serialize for Source {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}
