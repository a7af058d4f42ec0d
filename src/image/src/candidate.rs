//! What became of each manifest of an index.

use serde::{Deserialize, Serialize};

/// A manifest of an index, and what became of it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Candidate {
    /// The manifest's digest, `algorithm:hex`, as its descriptor has it.
    pub digest: String,
    /// `os/architecture[/variant]`, where the image says.
    pub platform: Option<String>,
    /// Whether it was selected, and else why not.
    #[serde(flatten)]
    pub verdict: Verdict,
}

/// Whether a manifest was selected, and else why not. Its text is one short sentence.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, thiserror::Error)]
#[serde(tag = "verdict", rename_all = "kebab-case")]
pub enum Verdict {
    /// It is the image.
    #[error("chosen")]
    Chosen,
    /// Its descriptor's media type is not one of a manifest that is read here.
    #[error("{media_type:?} is no type of a manifest")]
    #[serde(rename = "unknown-type")]
    UnknownMediaType {
        /// The descriptor's `mediaType`, cut to one line.
        media_type: String,
    },
    /// `platform.os` is neither `linux` nor a monitor whose guests boot here.
    #[error("it is for another system than Linux or a monitor that boots here")]
    #[serde(rename = "system")]
    OtherOs,
    /// `platform.architecture`, or its `variant`, is not one that this host's CPU runs.
    #[error("it is for another CPU than this host's {host}")]
    #[serde(rename = "architecture")]
    OtherArchitecture {
        /// This host's architecture, as Go names it.
        host: String,
    },
    /// `platform.features` has some that this host's CPU has not.
    #[error("this host's CPU has no {}", missing.join(", "))]
    CpuFeatures {
        /// The features that are missing, as the image names them.
        missing: Vec<String>,
    },
    /// It is a unikernel, and /dev/kvm cannot be used.
    #[error("a unikernel needs KVM, and this host has none")]
    NoKvm,
    /// It is a container, and another manifest is a unikernel that runs here.
    #[error("it is a container, and this host can run the image's unikernel")]
    Container,
    /// Another manifest is for a higher level of this architecture, or for more CPU features.
    #[error("the chosen one makes more of this host's CPU")]
    #[serde(rename = "less-of-the-cpu")]
    LowerCpuLevel,
    /// Another manifest is for a monitor that is more like this one.
    #[error("the chosen one is for a monitor that is more like this one")]
    #[serde(rename = "monitor")]
    OtherMonitor,
    /// It is not the one whose files containerd has put into the bundle.
    #[error("containerd unpacks the first one for linux/{host}")]
    NotUnpacked {
        /// This host's architecture, as Go names it.
        host: String,
    },
    /// Another manifest is as good and comes earlier in the index.
    #[error("the chosen one is as good and stands before it")]
    #[serde(rename = "later")]
    LaterInIndex,
}
