//! An image that nobody has, by what it would say of itself: for who tests a policy.

use std::collections::BTreeMap;

use serde::Deserialize;

use crate::document::Platform;
use crate::evidence;
use crate::image::{Image, Source};

const MANIFEST: &str = "application/vnd.oci.image.manifest.v1+json";
const CONFIG: &str = "application/vnd.oci.image.config.v1+json";
const LAYER: &str = "application/vnd.oci.image.layer.v1.tar+gzip";

/// What such an image says; what is not said is an ordinary image's. It is written as `media` in
/// a case of `runu policy test`.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct SyntheticImage {
    artifact_type: Option<String>,
    config_type: Option<String>,
    layer_types: Option<Vec<String>>,
    /// `os/architecture`.
    platform: Option<String>,
    os_features: Vec<String>,
    annotations: BTreeMap<String, String>,
    labels: BTreeMap<String, String>,
}

impl From<SyntheticImage> for Image {
    fn from(image: SyntheticImage) -> Self {
        let platform = image.platform.unwrap_or_else(|| "linux/amd64".to_owned());
        let (os, architecture) = platform.split_once('/').unwrap_or((&platform, ""));
        let platform = Platform {
            os: os.to_owned(),
            architecture: architecture.to_owned(),
            os_features: image.os_features,
            ..Platform::default()
        };
        let config_type = image.config_type.unwrap_or_else(|| CONFIG.to_owned());
        let layer_types = image.layer_types.unwrap_or_else(|| vec![LAYER.to_owned()]);
        let evidence = evidence::find(
            Some(&platform),
            image.artifact_type.as_deref(),
            layer_types.iter().chain([&config_type]).map(String::as_str),
            image.annotations.keys().map(String::as_str),
        );
        Self {
            source: Source::Layout,
            digest: String::new(),
            media_type: MANIFEST.to_owned(),
            artifact_type: image.artifact_type,
            config_type,
            layer_types,
            platform: Some(platform),
            annotations: image.annotations,
            layer_annotations: BTreeMap::new(),
            labels: image.labels,
            evidence,
            candidates: Vec::new(),
            args: Vec::new(),
            layers: Vec::new(),
        }
    }
}
