//! The way from a bundle to a decision: as much is gathered as the policy asks for.

use std::path::{Path, PathBuf};
use std::time::Duration;

use crate::cli::Globals;
use crate::config::Config;
use crate::lifecycle::Store;
use crate::runc;
use bundle::Bundle;
use decision::facts::{self, Facts, Files, GatherOptions, Media};
use decision::policy::{Decision, Policy, PolicyError};
use image::{self, Containerd, Image, ImageError};

/// How long containerd may take to say what an image is. Its answer takes some
/// milliseconds; whoever waits for it waits for a container.
const TIMEOUT: Duration = Duration::from_secs(2);

/// Why there is no decision about a bundle.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The node's policy is broken.
    #[error(transparent)]
    Policy(#[from] PolicyError),
    /// The bundle cannot be looked at.
    #[error(transparent)]
    Bundle(#[from] bundle::Error),
}

/// A bundle that was looked at and decided about.
#[derive(Debug)]
pub struct Evaluation {
    pub facts: Facts,
    /// The files that were looked at: they are what boots.
    pub files: Files,
    pub decision: Decision,
}

/// By what a bundle's image is found in containerd's store.
#[derive(Debug, Clone)]
pub struct ImageLookup {
    /// `--root`, whose last part containerd's shim makes the namespace.
    pub root: Option<PathBuf>,
    /// The directory in which containerd's answers are kept.
    pub cache: PathBuf,
}

impl ImageLookup {
    pub fn of(globals: &Globals) -> Self {
        Self {
            root: globals.root.clone(),
            cache: Store::of(globals.root.as_deref()).image_cache(),
        }
    }
}

/// Looks at a bundle and evaluates the node's policy for it. `extra` is what is wanted of the
/// facts even where no rule asks for it.
///
/// # Errors
/// Where the policy is broken or the rootfs cannot be looked at.
pub fn evaluate(
    config: &Config,
    lookup: &ImageLookup,
    bundle: &Bundle,
    extra: GatherOptions,
) -> Result<Evaluation, Error> {
    let policy = Policy::load(&config.policy)?;
    let wanted = policy.gather_options().and(extra);
    let (mut facts, mut files) = Facts::gather(bundle, wanted)?;
    if let Some(host) = &mut facts.host {
        host.delegate = runc::find(config).ok();
    }
    if policy.needs_media(&facts) {
        let media = look_up_image(config, lookup, bundle);
        files = facts.add_media(media, bundle, wanted)?;
    }
    let decision = policy.decide(&facts);
    Ok(Evaluation {
        facts,
        files,
        decision,
    })
}

/// What the bundle's image says of itself: by a layout in the bundle, or by containerd
/// where the bundle is one of its own.
fn look_up_image(config: &Config, lookup: &ImageLookup, bundle: &Bundle) -> Media {
    // A layout in the bundle is asked before any containerd.
    let containerd = match image::has_layout(&bundle.path) {
        true => None,
        false => match containerd_socket(config, &bundle.path) {
            Some(socket) => Some(socket),
            None => return Media::None,
        },
    };
    let answer = image::Host::here(facts::has_kvm()).and_then(|host| match containerd {
        Some(socket) => ask_containerd(socket, lookup, &bundle.path, &host).map(Some),
        None => image::from_layout(&bundle.path, &host),
    });
    match answer {
        Ok(Some(image)) => Media::Known(Box::new(image)),
        Ok(None) | Err(ImageError::NoImage { .. }) => Media::None,
        Err(why) if why.is_unavailable() => Media::Unknown {
            why: why.to_string(),
        },
        Err(why) => Media::Unusable { why },
    }
}

/// The socket of the containerd that made the bundle; `None` where none did.
fn containerd_socket(config: &Config, bundle: &Path) -> Option<PathBuf> {
    let state = image::state_dir(bundle)?;
    image::socket(|name| std::env::var_os(name), config.containerd.as_deref())
        .or_else(|| Some(state.join("containerd.sock")).filter(|path| path.exists()))
}

fn ask_containerd(
    socket: PathBuf,
    lookup: &ImageLookup,
    bundle: &Path,
    host: &image::Host,
) -> Result<Image, ImageError> {
    let containerd = Containerd {
        socket,
        namespace: image::namespace(lookup.root.as_deref(), bundle)?,
        cache: lookup.cache.clone(),
        timeout: TIMEOUT,
    };
    // A bundle's directory has the container's name, in containerd's own state.
    let id = bundle.file_name().unwrap_or_default().to_string_lossy();
    containerd.image_of(&id, host)
}
