//! Whether a guest is to have sockets to its neighbours.

use std::path::PathBuf;

use crate::facts::{Facts, Source, Sourced};
use vmm::BootAbi;

/// Sockets that are asked for, of a guest that cannot have them.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{origin} asks for sockets, but {why}: remove it")]
pub struct NoVsock {
    /// What asks for them.
    pub origin: Source,
    /// What the guest lacks, in words.
    pub why: &'static str,
}

/// Where they are to be, as the container sees it.
///
/// # Errors
/// [`NoVsock`] for guests that cannot have them.
pub(super) fn plan(facts: &Facts, abi: BootAbi) -> Result<Option<PathBuf>, NoVsock> {
    let Some(Sourced {
        value: path,
        origin,
    }) = facts.guest_config.vsock.clone()
    else {
        return Ok(None);
    };
    let why = if !abi.has_virtio() {
        "kernels of its ABI know of no virtio device"
    } else if !facts.family_traits().has_vsock {
        "guests of its family have no virtio-vsock"
    } else {
        return Ok(Some(path));
    };
    Err(NoVsock { origin, why })
}
