//! The way from a bundle to a decision: as much is gathered as the policy asks for.

use anyhow::Result;

use crate::bundle::Bundle;
use crate::config::Config;
use crate::facts::{Facts, Files, Wanted};
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
    let (facts, files) = Facts::gather(bundle, policy.wanted().and(besides))?;
    let decision = policy.decide(&facts);
    Ok(Judged {
        facts,
        files,
        decision,
    })
}
