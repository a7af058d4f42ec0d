//! A decision for people and for programs.

mod text;

use std::process::ExitCode;

use anyhow::Result;
use serde::Serialize;

use crate::bundle::Bundle;
use crate::cli::own::{self, ExplainFormat};
use crate::config::Config;
use crate::dispatch::{self, Judged};
use crate::exit;
use crate::facts::{Facts, Wanted};
use crate::plan::Plan;
use crate::policy::{Decision, Outcome, Reason, RuleId};

/// What `runu explain --format json` prints.
#[derive(Serialize)]
struct Explanation<'a> {
    /// Of this form: docs/dispatch.md has it.
    version: u32,
    /// `container`, `unikernel` or `deny`.
    decision: &'static str,
    rule: Option<&'a RuleId>,
    reason: &'a Reason,
    facts: &'a Facts,
    /// Of a unikernel only.
    plan: Option<&'a Plan>,
}

/// `runu explain`: prints how the bundle would run; starts nothing.
///
/// Gives 0 for a container and a unikernel, 1 for a refusal.
///
/// # Errors
/// Where the bundle cannot be read.
pub fn explain(args: &own::Explain) -> Result<ExitCode> {
    let bundle = Bundle::open(&args.bundle)?;
    let everything = Wanted {
        digest: true,
        host: true,
        annotations: false,
    };
    let Judged {
        facts, decision, ..
    } = dispatch::judge(&Config::load()?, &bundle, everything)?;
    match args.format {
        ExplainFormat::Json => exit::say(&json(&facts, &decision)?),
        ExplainFormat::Text => exit::say(text::render(&facts, &decision).trim_end()),
    }
    Ok(match decision.outcome {
        Outcome::Deny => ExitCode::FAILURE,
        Outcome::Container | Outcome::Unikernel(_) => ExitCode::SUCCESS,
    })
}

/// The decision as JSON, indented.
fn json(facts: &Facts, decision: &Decision) -> serde_json::Result<String> {
    serde_json::to_string_pretty(&Explanation {
        version: 1,
        decision: decision.outcome.name(),
        rule: decision.rule.as_ref(),
        reason: &decision.reason,
        facts,
        plan: decision.outcome.plan(),
    })
}
