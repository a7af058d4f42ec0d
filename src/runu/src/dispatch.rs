//! The way from a bundle to a decision: as much is gathered as the policy asks for.

use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::Result;

use crate::cli::Globals;
use crate::config::Config;
use crate::lifecycle::Store;
use crate::runc;
use bundle::Bundle;
use decision::facts::{self, Facts, Files, Media, Wanted};
use decision::policy::{Decision, Policy};
use image::{self, Containerd, Image, ImageError};

/// How long containerd may take to say what an image is. Its answer takes some
/// milliseconds; whoever waits for it waits for a container.
const TIMEOUT: Duration = Duration::from_secs(2);

/// A bundle that was looked at and decided about.
#[derive(Debug)]
pub struct Judged {
    pub facts: Facts,
    /// The files that were judged: they are what boots.
    pub files: Files,
    pub decision: Decision,
}

/// What containerd is asked with.
#[derive(Debug, Clone)]
pub struct Caller {
    /// `--root`.
    pub root: Option<PathBuf>,
    /// Where answers are kept.
    pub cache: PathBuf,
}

impl Caller {
    pub fn of(globals: &Globals) -> Self {
        Self {
            root: globals.root.clone(),
            cache: Store::of(globals.root.as_deref()).image_cache(),
        }
    }
}

/// Looks at a bundle and decides by the node's policy. `besides` is what the caller wants
/// to know even where no rule does.
///
/// # Errors
/// For a policy that is broken or a rootfs that cannot be looked at.
pub fn judge(config: &Config, caller: &Caller, bundle: &Bundle, besides: Wanted) -> Result<Judged> {
    let policy = Policy::load(&config.policy)?;
    let wanted = policy.wanted().and(besides);
    let (mut facts, mut files) = Facts::gather(bundle, wanted)?;
    if let Some(host) = &mut facts.host {
        host.delegate = runc::find(config).ok();
    }
    if policy.wants_media(&facts) {
        let media = media(config, caller, bundle);
        files = facts.learn(media, bundle, wanted)?;
    }
    let decision = policy.decide(&facts);
    Ok(Judged {
        facts,
        files,
        decision,
    })
}

/// What the bundle's image says of itself: by a layout in the bundle, or by containerd
/// where the bundle is one of its own.
fn media(config: &Config, caller: &Caller, bundle: &Bundle) -> Media {
    // A layout in the bundle is asked before any containerd.
    let containerd = match image::has_layout(&bundle.path) {
        true => None,
        false => match socket(config, &bundle.path) {
            Some(socket) => Some(socket),
            None => return Media::None,
        },
    };
    let answer = image::Host::here(facts::has_kvm()).and_then(|host| match containerd {
        Some(socket) => ask(socket, caller, &bundle.path, &host).map(Some),
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
fn socket(config: &Config, bundle: &Path) -> Option<PathBuf> {
    let state = image::state_dir(bundle)?;
    image::socket(|name| std::env::var_os(name), config.containerd.as_deref())
        .or_else(|| Some(state.join("containerd.sock")).filter(|path| path.exists()))
}

fn ask(
    socket: PathBuf,
    caller: &Caller,
    bundle: &Path,
    host: &image::Host,
) -> Result<Image, ImageError> {
    let containerd = Containerd {
        socket,
        namespace: image::namespace(caller.root.as_deref(), bundle)?,
        cache: caller.cache.clone(),
        timeout: TIMEOUT,
    };
    // A bundle's directory has the container's name, in containerd's own state.
    let id = bundle.file_name().unwrap_or_default().to_string_lossy();
    containerd.image_of(&id, host)
}
