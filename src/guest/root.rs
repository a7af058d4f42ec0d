//! Where a guest finds its root file system.

use serde::{Deserialize, Serialize};

/// The root that a guest is told of.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Root {
    /// None: what the guest has of its own.
    #[default]
    None,
    /// The files in its initrd.
    Initrd,
    /// The container's tree, by 9p.
    Share,
    /// Its first block device.
    Block,
}
