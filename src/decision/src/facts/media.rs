//! What is known of an image's media types, and what they ask for.

use serde::{Deserialize, Serialize};

use super::config_fault::ConfigFault;
use super::guest_config::GuestConfig;
use super::source::Source;
use super::{annotations, kraftkit, urunc};
use image::{Image, ImageError};

/// The artifact type of runu's own images, and where such an image has its kernel if none of
/// its annotations says.
const ARTIFACT: &str = "application/vnd.runu.unikernel.v1";
const ARTIFACT_KERNEL: &str = "/boot/kernel";

/// The answer to "what does the image say of itself?".
#[derive(Debug, Default, Serialize)]
#[serde(tag = "state", rename_all = "lowercase")]
pub enum Media {
    /// No rule wanted to know.
    #[default]
    Unasked,
    /// There is nothing that could be asked: no layout in the bundle, no containerd.
    None,
    /// There is an image, and what it says of itself.
    Known(Box<Image>),
    /// There is an answer, and it did not come.
    Unknown {
        /// What kept it, as one line.
        why: String,
    },
    /// It makes no sense, or is for another host.
    Unusable {
        /// What is wrong with it.
        why: ImageError,
    },
}

/// A [`Media`] that was asked for, as a policy names it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum MediaState {
    /// [`Media::None`].
    None,
    /// [`Media::Known`].
    Known,
    /// [`Media::Unknown`].
    Unknown,
    /// [`Media::Unusable`].
    Unusable,
}

impl Media {
    /// `None` where nobody asked.
    pub fn state(&self) -> Option<MediaState> {
        match self {
            Self::Unasked => None,
            Self::None => Some(MediaState::None),
            Self::Known(_) => Some(MediaState::Known),
            Self::Unknown { .. } => Some(MediaState::Unknown),
            Self::Unusable { .. } => Some(MediaState::Unusable),
        }
    }

    /// The image, where it is known.
    pub fn image(&self) -> Option<&Image> {
        match self {
            Self::Known(image) => Some(image),
            _ => None,
        }
    }

    /// What the image asks for: by its manifest's, its layers' and its configuration's keys.
    pub fn guest_config(&self) -> GuestConfig {
        let mut guest_config = GuestConfig::default();
        match self {
            Self::Known(image) => {
                let evidence = image.evidence.iter().cloned();
                guest_config.evidence.extend(evidence.map(Source::Image));
                for keys in [&image.annotations, &image.layer_annotations, &image.labels] {
                    let pairs = || keys.iter().map(|(key, value)| (&**key, &**value));
                    guest_config.join(annotations::read(pairs(), None, Source::Manifest).1);
                    guest_config.join(urunc::annotations(pairs(), Source::Manifest));
                    guest_config.join(kraftkit::annotations(pairs(), Source::Manifest));
                }
                if guest_config.kernel.is_none() && image.artifact_type.as_deref() == Some(ARTIFACT)
                {
                    let origin = Source::Image(format!("its artifact type is {ARTIFACT}"));
                    guest_config.kernel = guest_config.path(ARTIFACT_KERNEL, origin);
                }
            }
            Self::Unusable { why } => {
                guest_config
                    .evidence
                    .push(Source::Image("it is unusable".to_owned()));
                guest_config.faults.push(ConfigFault::Image(why.clone()));
            }
            Self::Unasked | Self::None | Self::Unknown { .. } => {}
        }
        guest_config
    }
}
