//! What was decided, and why.

use std::fmt;

use serde::{Serialize, Serializer};

use super::limits::Excess;
use crate::facts::Source;
use crate::plan::{Fault, Plan};

/// The end of the way from argv to a backend.
#[derive(Debug)]
pub struct Decision {
    /// Whose the container is.
    pub outcome: Outcome,
    /// The rule that matched.
    pub rule: Option<RuleId>,
    /// Why.
    pub reason: Reason,
}

/// A rule, by its name and its file.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct RuleId {
    /// As its file has it.
    pub name: String,
    /// The file's path; `default.toml` is compiled in.
    pub file: String,
}

/// Whose the bundle is.
#[derive(Debug)]
pub enum Outcome {
    /// runc's.
    Container,
    /// runu's own, run like this.
    Unikernel(Box<Plan>),
    /// Nobody's.
    Deny,
}

/// Why: logs, `runu explain` and errors all say it in these words.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Reason {
    /// It is a pod's pause container.
    Sandbox,
    /// The rule's own words.
    Rule(String),
    /// This fault: of a bundle that a rule takes for a unikernel, or that no rule matched.
    Fault(Fault),
    /// A pod asks for more than the policy allows.
    Excess(Excess),
    /// No rule matched, and nothing is known to be wrong; what shows that it is a unikernel.
    NoRule(Option<Source>),
}

impl Outcome {
    /// `container`, `unikernel` or `deny`.
    pub fn name(&self) -> &'static str {
        match self {
            Self::Container => "container",
            Self::Unikernel(_) => "unikernel",
            Self::Deny => "deny",
        }
    }

    /// The plan of a unikernel.
    pub fn plan(&self) -> Option<&Plan> {
        match self {
            Self::Unikernel(plan) => Some(plan),
            Self::Container | Self::Deny => None,
        }
    }
}

impl fmt::Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Sandbox => f.write_str("the pod's sandbox is always an ordinary container"),
            Self::Rule(because) => f.write_str(because),
            Self::Fault(fault) => fault.fmt(f),
            Self::Excess(excess) => excess.fmt(f),
            Self::NoRule(None) => f.write_str("no rule of the policy is about it"),
            Self::NoRule(Some(evidence)) => write!(
                f,
                "it looks like a unikernel ({evidence}), and no rule of the policy says how to run it"
            ),
        }
    }
}

impl Serialize for Reason {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}
