//! The effective config.json: what the container around the monitor is built from.
//!
//! libcontainer reads a bundle's config.json itself. It is given a directory of runu's own with
//! the text that was judged, so that an edit of the bundle's file in between changes nothing, and
//! with what a monitor needs otherwise ([`adapt`]). What no monitor can have is refused ([`check`]).
//! Later calls read it back ([`saved`]).

mod adapt;
mod check;
pub(in crate::lifecycle) mod error;
mod saved;

pub(in crate::lifecycle) use adapt::{EffectiveConfig, write};
pub(in crate::lifecycle) use saved::{cgroup, read, rootfs};
