//! The way from a bundle to a decision: as much is gathered as the policy asks for.

use anyhow::Result;

use crate::bundle::Bundle;
use crate::config::Config;
use crate::facts::{self, Facts, Files, Media, Wanted};
use crate::image;
use crate::policy::{Decision, Policy};

/// A bundle that was looked at and decided about.
#[derive(Debug)]
pub struct Judged {
    pub facts: Facts,
    /// The files that were judged: they are what boots.
    pub files: Files,
    pub decision: Decision,
}

/// Looks at a bundle and decides by the node's policy. `besides` is what the caller wants
/// to know even where no rule does.
///
/// # Errors
/// For a policy that is broken or a rootfs that cannot be looked at.
pub fn judge(config: &Config, bundle: &Bundle, besides: Wanted) -> Result<Judged> {
    let policy = Policy::load(&config.policy)?;
    let wanted = policy.wanted().and(besides);
    let (mut facts, mut files) = Facts::gather(bundle, wanted)?;
    if policy.wants_media(&facts) {
        files = facts.learn(media(bundle), bundle, wanted)?;
    }
    let decision = policy.decide(&facts);
    Ok(Judged {
        facts,
        files,
        decision,
    })
}

/// What the bundle's image says of itself.
fn media(bundle: &Bundle) -> Media {
    // Before anything is read of the host.
    if !image::has_layout(&bundle.path) {
        return Media::None;
    }
    let host = match image::Host::here(facts::has_kvm()) {
        Ok(host) => host,
        Err(e) => return unknown(e),
    };
    match image::from_layout(&bundle.path, &host) {
        Ok(Some(image)) => Media::Known(Box::new(image)),
        Ok(None) => Media::None,
        Err(why) => Media::Unusable { why },
    }
}

fn unknown(why: impl std::fmt::Display) -> Media {
    Media::Unknown {
        why: why.to_string(),
    }
}
