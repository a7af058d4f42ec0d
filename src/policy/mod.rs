//! From facts to a decision: a pure function, and the reason is a value.

mod decision;
mod rules;

pub use decision::{Decision, Outcome, Reason};
pub use rules::{Policy, PolicyError};

use crate::facts::Facts;
use crate::plan::Plan;
use rules::Then;

/// Decides what a bundle with these facts is.
pub fn decide(policy: &Policy, facts: &Facts) -> Decision {
    let Some(rule) = policy.first_match(facts) else {
        let fault = facts
            .annotations
            .faults
            .iter()
            .find(|f| f.is_about_the_choice());
        let reason = fault.cloned().map_or(Reason::NoRule, Reason::Fault);
        return Decision {
            outcome: Outcome::Deny,
            rule: None,
            reason,
        };
    };
    let because = Reason::Rule(rule.because.clone());
    let (outcome, reason) = match rule.then {
        Then::Container => (Outcome::Container, because),
        Then::Deny => (Outcome::Deny, because),
        Then::Unikernel => match Plan::make(facts) {
            Ok(plan) => (Outcome::Unikernel(plan), because),
            Err(fault) => (Outcome::Deny, Reason::Fault(fault)),
        },
    };
    Decision {
        outcome,
        rule: Some(rule.name.clone()),
        reason,
    }
}
