//! The server by its messages, over a temporary directory.

mod attributes;
mod bounds;
mod client;
mod content;
mod escape;
mod names;

use client::{Client, ROOT, fields};
use nix::errno::Errno;

/// What the tests compare errors with.
const fn code(errno: Errno) -> i32 {
    errno as i32
}
