//! What libcontainer says when it fails, in the words of config.json.
//!
//! Its processes hand each other an error's outermost text only ("failed to prepare rootfs"); the
//! cause goes to its log, as a tracing event with the error as Rust's debug text. [`pipe`] brings
//! such events to `create`; [`explain`] makes one line of them, with config.json's key where it is
//! known; [`debug_text`] reads what they hold.

pub(in crate::lifecycle) mod config_key;
mod debug_text;
mod event;
mod explain;
pub(in crate::lifecycle) mod libcgroups_errors;
mod pipe;

pub(in crate::lifecycle) use explain::{LibcontainerError, explain};
pub(in crate::lifecycle) use pipe::ErrorPipe;
