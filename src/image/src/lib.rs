//! What an image says of itself: its media types, its platform, its annotations
//! and labels.
//!
//! None of it reaches config.json. It is read from an OCI image layout that lies in the bundle
//! ([`from_layout`]) or from containerd's content store (`Containerd::image_of`, by the feature
//! `containerd`), and judged by nobody here: that is the policy's. Where an index names several
//! manifests, one of them is selected for this host, and [`Verdict`] says of each other one why
//! it was not.
//!
//! All of it comes from whoever made the image. Digests are checked, and sizes,
//! counts, depth and the sum of what is read are bounded.
//!
//! | module | what it knows |
//! |---|---|
//! | `image` | the result: [`Image`] |
//! | `document` | the JSON documents of the image-spec and of Docker |
//! | `digest`, `limits` | the checks and bounds on what is read |
//! | `resolve_index` | from an index down to its manifests |
//! | `select_manifest`, `candidate`, `host` | which manifest this host runs best, and why |
//! | `evidence` | by what an image says that it is a unikernel |
//! | `layout`, `unpack` | an OCI image layout, and its layers' files |
//! | `containerd` | containerd's API, as far as it is spoken, and a cache of answers |
//! | `synthetic` | an image made up for the test of a policy |
//! | `error`, `cause`, `text` | why an image cannot be read |

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

mod candidate;
mod cause;
#[cfg(feature = "containerd")]
mod containerd;
mod digest;
mod document;
mod error;
mod evidence;
mod host;
mod image;
mod layout;
mod limits;
mod resolve_index;
mod select_manifest;
mod synthetic;
mod text;
mod unpack;

pub use candidate::{Candidate, Verdict};
pub use cause::Cause;
#[cfg(feature = "containerd")]
pub use containerd::{Containerd, namespace, socket, state_dir};
pub use document::Platform;
pub use error::ImageError;
pub use host::Host;
pub use image::{Image, Source};
pub use layout::{from_layout, has_layout};
pub use synthetic::SyntheticImage;
pub use unpack::unpack;
