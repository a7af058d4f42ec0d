//! Conditions on what an image says of itself: its media types, platform, keys.

use std::collections::BTreeMap;

use serde::Deserialize;

use super::glob::{Globs, OneOf, all_fit, any_fits, fits, is, one_of};
use crate::facts::{Media, MediaState};
use image::Image;

/// Conditions; those that are given must all hold. Of an image that is not known none holds
/// but that on its state.
#[derive(Debug, Default, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct MediaWhen {
    /// Whether there is an image that could be asked, and an answer.
    state: Option<OneOf<MediaState>>,
    /// Whether anything of it is a unikernel's.
    unikernel: Option<bool>,
    artifact_type: Option<Globs>,
    manifest_type: Option<Globs>,
    config_type: Option<Globs>,
    layer_type: Option<Globs>,
    /// `os/architecture`.
    platform: Option<Globs>,
    os_feature: Option<Globs>,
    digest: Option<Globs>,
    /// The manifest's and the layers'.
    annotations: Option<BTreeMap<String, Globs>>,
    labels: Option<BTreeMap<String, Globs>>,
}

impl MediaWhen {
    /// Whether the conditions hold.
    pub(super) fn holds(&self, media: &Media) -> bool {
        if !one_of(&self.state, media.state().as_ref()) {
            return false;
        }
        match media.image() {
            Some(image) => self.types_hold(image) && self.keys_hold(image),
            None => self.asks_only_state(),
        }
    }

    fn asks_only_state(&self) -> bool {
        let Self {
            state: _,
            unikernel: None,
            artifact_type: None,
            manifest_type: None,
            config_type: None,
            layer_type: None,
            platform: None,
            os_feature: None,
            digest: None,
            annotations: None,
            labels: None,
        } = self
        else {
            return false;
        };
        self.state.is_some()
    }

    fn types_hold(&self, image: &Image) -> bool {
        is(&self.unikernel, Some(image.evidence.is_some()))
            && fits(&self.artifact_type, image.artifact_type.as_deref())
            && fits(&self.manifest_type, Some(&image.media_type))
            && fits(&self.config_type, Some(&image.config_type))
            && any_fits(&self.layer_type, &image.layer_types)
    }

    fn keys_hold(&self, image: &Image) -> bool {
        let platform = image.platform.as_ref();
        let name = platform.map(|it| format!("{}/{}", it.os, it.architecture));
        let features = platform.map_or(&[][..], |it| &it.os_features);
        let mut annotations = image.layer_annotations.clone();
        annotations.extend(image.annotations.clone());
        fits(&self.platform, name.as_deref())
            && any_fits(&self.os_feature, features)
            && fits(&self.digest, Some(&image.digest))
            && all_fit(&self.annotations, &annotations)
            && all_fit(&self.labels, &image.labels)
    }
}
