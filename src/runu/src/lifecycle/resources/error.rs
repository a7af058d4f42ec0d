//! What can go wrong with what a guest uses.

use crate::lifecycle::cgroup::CgroupError;
use crate::lifecycle::resources::network::error::NetworkError;
use crate::lifecycle::resources::root_disk::error::RootDiskError;
use crate::lifecycle::resources::virtiofsd::error::VirtiofsdError;

/// The resource's own error.
#[derive(Debug, thiserror::Error)]
pub(in crate::lifecycle) enum ResourceError {
    #[error(transparent)]
    Cgroup(#[from] CgroupError),
    #[error(transparent)]
    Network(#[from] NetworkError),
    #[error(transparent)]
    RootDisk(#[from] RootDiskError),
    #[error(transparent)]
    Virtiofsd(#[from] VirtiofsdError),
}
