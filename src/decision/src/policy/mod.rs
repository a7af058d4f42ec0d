//! From facts to a decision: a pure function, and the reason is a value.

mod decision;
mod evaluate;
mod glob;
mod limits;
mod load;
mod media;
mod rules;
mod when;

pub use decision::{Decision, Outcome, Reason, RuleId};
pub use evaluate::Policy;
pub use limits::Excess;
pub use load::{read, site_files};
pub use rules::{PolicyError, PolicyFile, Rule, Then};
