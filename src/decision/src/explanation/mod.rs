//! A decision for people and for programs.

mod text;

use std::fmt;

use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use crate::facts::Facts;
use crate::plan::Plan;
use crate::policy::{Decision, Outcome, Reason, RuleId};

/// A decision in both forms: what is kept of a unikernel as it was decided.
#[derive(Debug, Deserialize)]
pub struct Explanation {
    /// For people: a line for each thing.
    pub text: String,
    /// For programs (docs/dispatch.md).
    pub json: Value,
}

/// The form for programs.
#[derive(Serialize)]
struct Document<'a> {
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

impl Explanation {
    /// Explains a decision.
    ///
    /// # Errors
    /// When it is no JSON: a path that is no text.
    pub fn of(facts: &Facts, decision: &Decision) -> serde_json::Result<Self> {
        let document = Document {
            version: 1,
            decision: decision.outcome.name(),
            rule: decision.rule.as_ref(),
            reason: &decision.reason,
            facts,
            plan: decision.outcome.plan(),
        };
        let mut json = serde_json::to_value(&document)?;
        // The environment is among it, secrets and all; what the guest gets of it is in the
        // command line.
        if let Some(plan) = json["plan"].as_object_mut() {
            plan.remove("recipe");
        }
        Ok(Self {
            text: text::render(facts, decision),
            json,
        })
    }
}

/// As JSON, to be kept.
impl fmt::Display for Explanation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&json!({ "text": self.text, "json": self.json }).to_string())
    }
}

/// The decision as one line, for the log.
pub fn line(id: &str, decision: &Decision) -> String {
    let name = match decision.outcome {
        Outcome::Deny => "refused",
        _ => decision.outcome.name(),
    };
    let rule = match &decision.rule {
        Some(RuleId { name, file }) => format!("rule {name} in {file}"),
        None => "no rule".to_owned(),
    };
    format!("container {id}: {name}, by {rule}: {}", decision.reason)
}
