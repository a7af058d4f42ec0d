//! The verbs of the command line on a unikernel, one file each.

pub(in crate::lifecycle) mod create;
pub(in crate::lifecycle) mod delete;
pub(in crate::lifecycle) mod error;
pub(in crate::lifecycle) mod events;
pub(in crate::lifecycle) mod kill;
pub(in crate::lifecycle) mod list;
pub(in crate::lifecycle) mod pause;
pub(in crate::lifecycle) mod ps;
pub(in crate::lifecycle) mod run;
pub(in crate::lifecycle) mod start;
pub(in crate::lifecycle) mod state;
pub(in crate::lifecycle) mod update;
