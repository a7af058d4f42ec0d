//! From a bundle to a decision: what can be seen of it, the rules, and what would be run.
//!
//! ```text
//! bundle, image ─► facts ─► policy ─► decision ─► explanation
//!                             └─ plan: facts turned into a machine's description
//! ```

#![warn(missing_docs)]
// A test knows its numbers.
#![cfg_attr(
    test,
    allow(
        clippy::cast_possible_truncation,
        clippy::cast_possible_wrap,
        clippy::cast_sign_loss,
        clippy::cast_lossless,
        clippy::too_many_lines
    )
)]

mod abi;
pub mod explanation;
pub mod facts;
pub mod plan;
pub mod policy;
