//! What is known of an image's media types, and what they ask for.

use serde::{Deserialize, Serialize};

use super::said::Source;
use super::wishes::Wishes;
use super::{Fault, annotations, conventions, urunc};
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
    Known(Box<Image>),
    /// There is an answer, and it did not come.
    Unknown {
        why: String,
    },
    /// It makes no sense, or is for another host.
    Unusable {
        why: ImageError,
    },
}

/// A [`Media`] that was asked for, as a policy names it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum MediaState {
    None,
    Known,
    Unknown,
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
    pub fn wishes(&self) -> Wishes {
        let mut wishes = Wishes::default();
        match self {
            Self::Known(image) => {
                let evidence = image.evidence.iter().cloned();
                wishes.signs.extend(evidence.map(Source::Image));
                for keys in [&image.annotations, &image.layer_annotations, &image.labels] {
                    let pairs = || keys.iter().map(|(key, value)| (&**key, &**value));
                    wishes.join(annotations::read(pairs(), None, Source::Manifest).1);
                    wishes.join(urunc::annotations(pairs(), Source::Manifest));
                    wishes.join(conventions::kraftkit(pairs(), Source::Manifest));
                }
                if wishes.kernel.is_none() && image.artifact_type.as_deref() == Some(ARTIFACT) {
                    let by = Source::Image(format!("its artifact type is {ARTIFACT}"));
                    wishes.kernel = wishes.path(ARTIFACT_KERNEL, by);
                }
            }
            Self::Unusable { why } => {
                wishes
                    .signs
                    .push(Source::Image("it is unusable".to_owned()));
                wishes.faults.push(Fault::Image(why.clone()));
            }
            Self::Unasked | Self::None | Self::Unknown { .. } => {}
        }
        wishes
    }
}
