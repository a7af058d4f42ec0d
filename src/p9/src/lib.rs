//! A server of 9P2000.L: a tree of files for a client that nobody trusts.
//!
//! The client sees what lies beneath the root, with all that is mounted there, as this process
//! may see it. It never gets out: each name is looked up on its own, by openat2(2), and leads
//! to no other directory. Symbolic links are handed out to be read, and followed by the client.
//! What is never opened: device nodes, sockets, FIFOs, and the files of the kernel's own file
//! systems (procfs and its like), whose directories look empty.
//!
//! | module | what is in it |
//! |---|---|
//! | `server` | a client's server: from a T-message to its R-message |
//! | `wire` | messages as bytes |
//! | `message_type` | the messages' types |
//! | `dir` | looking up and opening, and what is refused there |
//! | `fids` | the client's fids |
//! | `session` | Tversion, Tattach, Twalk |
//! | `content` | to open, read, write and lock |
//! | `names` | to make, link, rename and remove |
//! | `attributes` | attributes of files, and of the file system |
//!
//! Sources: diod's protocol.md; Linux's include/net/9p/9p.h and net/9p/client.c.

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

mod attributes;
mod content;
mod dir;
mod fids;
mod message_type;
mod names;
mod server;
mod session;
#[cfg(test)]
mod tests;
mod wire;

pub use dir::is_kernel_fs;
pub use server::{MAX_MSIZE, Server, Unanswerable};
