//! What an image says of itself: its media types, its platform, its annotations
//! and labels.
//!
//! None of it reaches config.json. It is read from an OCI layout that lies in the bundle
//! ([`from_layout`]) or from containerd's content store ([`Containerd::image_of`]), and judged by
//! nobody here: that is the policy's. Where an index names several manifests, [`choice`] says which
//! of them this host runs best, and of each other one why not.
//!
//! All of it comes from whoever made the image. Digests are checked, and sizes,
//! counts, depth and the sum of what is read have a bound (see [`walk`]).

#![warn(missing_docs)]
// A test knows its numbers.
#![cfg_attr(
    test,
    allow(
        clippy::cast_possible_truncation,
        clippy::cast_possible_wrap,
        clippy::cast_sign_loss,
        clippy::cast_lossless,
        clippy::too_many_lines
    )
)]

mod choice;
mod containerd;
mod digest;
mod document;
mod error;
mod host;
mod layout;
mod sign;
mod supposed;
mod unpack;
mod walk;

use std::collections::BTreeMap;
use std::collections::btree_map::Entry;

use serde::{Deserialize, Serialize};

pub use choice::{Candidate, Verdict};
pub use containerd::{Containerd, namespace, socket, state_dir};
pub use document::Platform;
pub use error::ImageError;
pub use host::Host;
pub use layout::{from_layout, has_layout};
pub use supposed::Words;
pub use unpack::unpack;

use choice::Chosen;
use document::{Annotations, Config, Descriptor, Manifest};
use walk::Documents;

/// Where the image's documents were read.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Source {
    /// An OCI layout in the bundle.
    Layout,
    /// containerd's content store.
    Containerd,
}

/// What an image says of itself.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Image {
    pub source: Source,
    /// The chosen manifest's digest.
    pub digest: String,
    /// The manifest's media type.
    pub media_type: String,
    /// What kind of artifact it is (image-spec, manifest.md, "artifactType"): the
    /// manifest's own word, or else its descriptor's.
    pub artifact_type: Option<String>,
    pub config_type: String,
    /// In the manifest's order.
    pub layer_types: Vec<String>,
    /// As the index has it, or else the image's configuration; `None` where
    /// neither says.
    pub platform: Option<Platform>,
    /// The manifest's annotations, and beneath them its descriptor's.
    pub annotations: BTreeMap<String, String>,
    /// All layers' annotations in one map.
    pub layer_annotations: BTreeMap<String, String>,
    /// The labels of the image's configuration.
    pub labels: BTreeMap<String, String>,
    /// By what the image says that it is a unikernel: one line for people.
    pub sign: Option<String>,
    /// Each manifest of the index, in its order.
    pub candidates: Vec<Candidate>,
    /// The configuration's entry point and command: a container's arguments, where the
    /// caller has no others.
    pub args: Vec<String>,
    /// Where the files are.
    layers: Vec<Descriptor>,
}

impl Image {
    /// Puts together what the chosen manifest and its configuration say.
    fn describe(
        source: Source,
        (chosen, candidates): (Chosen, Vec<Candidate>),
        documents: &mut Documents,
    ) -> Result<Self, ImageError> {
        let Chosen {
            descriptor,
            manifest,
            platform,
        } = chosen;
        let config = documents.config(&manifest)?.unwrap_or_default();
        let platform = platform.or_else(|| config.platform());
        let artifact_type = walk::artifact_type(&descriptor, &manifest)?;
        let sign = sign::of_manifest(
            platform.as_ref(),
            artifact_type.as_deref(),
            &descriptor,
            &manifest,
        );
        Ok(Self {
            source,
            media_type: descriptor.media_type,
            artifact_type,
            config_type: manifest.config.media_type.clone(),
            layer_types: layer_types(&manifest),
            platform,
            layer_annotations: layer_annotations(&descriptor.digest, &manifest)?,
            annotations: over(manifest.annotations, descriptor.annotations),
            digest: descriptor.digest,
            args: args(&config),
            layers: manifest.layers,
            labels: labels(config),
            sign,
            candidates,
        })
    }
}

fn layer_types(manifest: &Manifest) -> Vec<String> {
    let layers = manifest.layers.iter();
    layers.map(|layer| layer.media_type.clone()).collect()
}

/// The layers' annotations. Of a unikernel's keys none may say two things; of others the
/// first counts, for layers of ordinary images have keys of their own each (a table of
/// contents' digest, a title).
fn layer_annotations(
    digest: &str,
    manifest: &Manifest,
) -> Result<BTreeMap<String, String>, ImageError> {
    let mut all = BTreeMap::new();
    for (key, value) in manifest.layers.iter().flat_map(|l| &l.annotations.0) {
        match all.entry(key.clone()) {
            Entry::Vacant(entry) => drop(entry.insert(value.clone())),
            Entry::Occupied(entry) if entry.get() == value || !sign::is_key(key) => {}
            Entry::Occupied(entry) => {
                return Err(ImageError::contradiction(
                    format!("manifest {digest}"),
                    format!("layer annotation {key}"),
                    entry.get(),
                    value,
                ));
            }
        }
    }
    Ok(all)
}

/// `upper`, and what only `lower` has.
fn over(upper: Annotations, lower: Annotations) -> BTreeMap<String, String> {
    let mut all = lower.0;
    all.extend(upper.0);
    all
}

fn args(config: &Config) -> Vec<String> {
    let process = config.config.iter();
    let lists = process.flat_map(|p| [&p.entrypoint, &p.command]);
    lists.flatten().flatten().cloned().collect()
}

fn labels(config: Config) -> BTreeMap<String, String> {
    config.config.map(|c| c.labels.0).unwrap_or_default()
}
