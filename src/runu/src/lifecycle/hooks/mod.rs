//! The caller's hooks (runtime-spec, config.md, "POSIX-platform Hooks").
//!
//! libcontainer runs them, but with a state whose bundle is the directory it read config.json from,
//! which is runu's own. [`wrapper`] replaces that by the caller's bundle for those that
//! run on the host; the monitor runs those of [`start_container`] itself.

pub(in crate::lifecycle) mod error;
pub(in crate::lifecycle) mod start_container;
pub(in crate::lifecycle) mod wrapper;
