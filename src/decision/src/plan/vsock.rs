//! Whether a guest is to have sockets to its neighbours.

use std::path::PathBuf;

use crate::facts::{Facts, Fault, Sourced};
use vmm::BootAbi;

/// Where they are to be, as the container sees it.
///
/// # Errors
/// [`Fault::NoVsock`] for guests that cannot have them.
pub(super) fn plan(facts: &Facts, abi: BootAbi) -> Result<Option<PathBuf>, Fault> {
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
    Err(Fault::NoVsock { origin, why })
}
