//! From a bundle to a decision: what can be seen of it, the rules, and what would be run.
//!
//! ```text
//! bundle, image ─► facts ─► policy ─► decision ─► explanation
//!                             └─ plan: facts turned into a machine's description
//! ```

pub mod explanation;
pub mod facts;
pub mod plan;
pub mod policy;
