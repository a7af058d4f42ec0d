//! Why a back end is of no use.

use std::io;
use std::time::Duration;

/// How long a back end may take to answer: for its start on a busy host, and to finish the
/// requests that it is at when a ring is taken from it.
pub(super) const TIMEOUT: Duration = Duration::from_secs(10);

/// What is wrong with a vhost-user back end. The texts go on a sentence that begins with its name.
#[derive(Debug, thiserror::Error)]
pub enum BackEndError {
    /// It has not answered in time.
    #[error("does not answer within {} s", TIMEOUT.as_secs())]
    Timeout,
    /// The connection has ended, or what came is no answer.
    #[error("has ended, or does not speak vhost-user: {0}")]
    Protocol(#[from] vhost::Error),
    /// It lacks these bits of virtio's features, which each device here offers.
    #[error("lacks virtio features {0:#x}: use a newer one")]
    Features(u64),
    /// It has fewer queues than the device.
    #[error("serves {has} queues, the device has {wants}: use another one")]
    Queues {
        /// How many queues it has.
        has: u64,
        /// How many the device has.
        wants: u64,
    },
    /// What the host refuses of sockets, events, epoll(7) or threads.
    #[error("cannot be waited for: {0}")]
    Io(#[from] io::Error),
}
