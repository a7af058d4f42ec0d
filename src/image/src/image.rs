//! An image as its documents describe it.

use std::collections::BTreeMap;
use std::collections::btree_map::Entry;

use serde::{Deserialize, Serialize};

use crate::candidate::Candidate;
use crate::document::{Annotations, Config, Descriptor, Manifest, Platform};
use crate::error::ImageError;
use crate::evidence;
use crate::resolve_index::{Documents, artifact_type};
use crate::select_manifest::Selected;

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
    /// Where its documents were read.
    pub source: Source,
    /// The selected manifest's digest, `algorithm:hex`.
    pub digest: String,
    /// The manifest's media type.
    pub media_type: String,
    /// What kind of artifact it is (image-spec, manifest.md, "artifactType"): the
    /// manifest's own, or else its descriptor's.
    pub artifact_type: Option<String>,
    /// The media type of the configuration (manifest.md, "config").
    pub config_type: String,
    /// The layers' media types, in the manifest's order.
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
    #[serde(rename = "sign")]
    pub evidence: Option<String>,
    /// Each manifest of the index, in its order.
    pub candidates: Vec<Candidate>,
    /// The configuration's entry point and command: a container's arguments, where the
    /// caller has no others.
    pub args: Vec<String>,
    /// Where the files are.
    pub(crate) layers: Vec<Descriptor>,
}

impl Image {
    /// Puts together what the selected manifest and its configuration say.
    pub(crate) fn describe(
        source: Source,
        (selected, candidates): (Selected, Vec<Candidate>),
        documents: &mut Documents,
    ) -> Result<Self, ImageError> {
        let Selected {
            descriptor,
            manifest,
            platform,
        } = selected;
        let config = documents.config(&manifest)?.unwrap_or_default();
        let platform = platform.or_else(|| config.platform());
        let artifact_type = artifact_type(&descriptor, &manifest)?;
        let evidence = evidence::of_manifest(
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
            layer_annotations: layer_annotations(&descriptor.digest, &manifest)?.0,
            annotations: merge(manifest.annotations, descriptor.annotations),
            digest: descriptor.digest,
            args: args(&config),
            layers: manifest.layers,
            labels: labels(config),
            evidence,
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
fn layer_annotations(digest: &str, manifest: &Manifest) -> Result<Annotations, ImageError> {
    let mut all = BTreeMap::new();
    for (key, value) in manifest.layers.iter().flat_map(|l| &l.annotations.0) {
        match all.entry(key.clone()) {
            Entry::Vacant(entry) => drop(entry.insert(value.clone())),
            Entry::Occupied(entry) if entry.get() == value || !evidence::is_unikernel_key(key) => {}
            Entry::Occupied(entry) => {
                return Err(ImageError::contradiction(
                    format!("manifest {digest}"),
                    &format!("layer annotation {key}"),
                    entry.get(),
                    value,
                ));
            }
        }
    }
    Ok(Annotations(all))
}

/// `upper`, and what only `lower` has.
fn merge(upper: Annotations, lower: Annotations) -> BTreeMap<String, String> {
    let mut all = lower.0;
    all.extend(upper.0);
    all
}

fn args(config: &Config) -> Vec<String> {
    let parameters = config.config.iter();
    let lists = parameters.flat_map(|p| [&p.entrypoint, &p.command]);
    lists.flatten().flatten().cloned().collect()
}

fn labels(config: Config) -> BTreeMap<String, String> {
    config.config.map(|c| c.labels.0).unwrap_or_default()
}
