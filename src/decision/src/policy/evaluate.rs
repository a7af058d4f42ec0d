//! A policy: from facts to a decision.

use super::decision::{Decision, Outcome, Reason, RuleId};
use super::limits::Limits;
use super::rules::{PolicyFile, Rule, Then};
use super::when::When;
use crate::facts::{Facts, GatherOptions, GuestConfig, Kind};
use crate::plan::Plan;

/// Rules in the order in which they are tried, and what pods may ask for.
#[derive(Debug)]
pub struct Policy {
    /// What pods may ask for.
    pub limits: Limits,
    /// The first that holds decides.
    pub rules: Vec<Rule>,
}

impl Policy {
    /// The rules of several files; what comes first counts first.
    pub fn of(files: Vec<PolicyFile>) -> Self {
        let mut policy = Self {
            limits: Limits::default(),
            rules: Vec::new(),
        };
        for file in files {
            policy.limits = policy.limits.or(file.pods);
            policy.rules.extend(file.rules);
        }
        policy
    }

    /// What must be gathered for these rules.
    pub fn gather_options(&self) -> GatherOptions {
        let any = |has| self.rules.iter().any(|rule| rule.when.mentions(has));
        GatherOptions {
            digest: any(When::asks_digest),
            host: any(When::asks_host),
            annotations: any(When::asks_annotations),
        }
    }

    /// Whether the decision about these facts hangs on what the image says of itself: a rule
    /// that may hold asks for it, or wants a kernel that only the image can name.
    pub fn needs_media(&self, facts: &Facts) -> bool {
        if facts.container.kind == Kind::Sandbox {
            return false;
        }
        let first = self.rules.iter().find(|rule| rule.when.may_hold(facts));
        first.is_some_and(|rule| {
            let lacks_kernel = rule.then == Then::Unikernel && facts.kernel.is_none();
            rule.when.mentions(When::asks_media) || lacks_kernel
        })
    }

    /// Decides what a bundle with these facts is.
    ///
    /// The pod's sandbox is always a container: no rule is asked, and no rule of a site can
    /// keep its pods from having one.
    pub fn decide(&self, facts: &Facts) -> Decision {
        if facts.container.kind == Kind::Sandbox {
            return Decision {
                outcome: Outcome::Container,
                rule: None,
                reason: Reason::Sandbox,
            };
        }
        let Some(rule) = self.rules.iter().find(|rule| rule.when.holds(facts)) else {
            let GuestConfig {
                faults, evidence, ..
            } = &facts.guest_config;
            let no_rule = || Reason::NoRule(evidence.first().cloned());
            return Decision {
                outcome: Outcome::Deny,
                rule: None,
                reason: faults
                    .first()
                    .map_or_else(no_rule, |fault| Reason::Fault(fault.clone().into())),
            };
        };
        let (outcome, reason) = self.outcome(rule, facts);
        Decision {
            outcome,
            rule: Some(RuleId {
                name: rule.name.clone(),
                file: rule.file.clone(),
            }),
            reason,
        }
    }

    fn outcome(&self, rule: &Rule, facts: &Facts) -> (Outcome, Reason) {
        if let Some(excess) = self.limits.excess(facts) {
            return (Outcome::Deny, Reason::Excess(excess));
        }
        let because = Reason::Rule(rule.because.clone());
        match rule.then {
            Then::Container => (Outcome::Container, because),
            Then::Deny => (Outcome::Deny, because),
            Then::Unikernel => match Plan::make(facts) {
                Ok(plan) => (Outcome::Unikernel(Box::new(self.limits.cap(plan))), because),
                Err(fault) => (Outcome::Deny, Reason::Fault(fault)),
            },
        }
    }
}
