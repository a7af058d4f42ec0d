//! Where a guest finds its root file system.

use std::fmt;

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
    /// The container's tree, by 9P, with the tag [`TAG`].
    #[serde(rename = "9p")]
    Share,
    /// Its first block device.
    Block,
}

/// What a guest finds the container's tree by. Unikraft's kernels look for this one if they
/// are built to mount it by themselves.
pub const TAG: &str = "fs0";

impl Root {
    /// All names, for an error's line.
    pub const NAMED: &str = "9p, initrd, block or none";

    pub fn named(name: &str) -> Option<Self> {
        let all = [Self::None, Self::Initrd, Self::Share, Self::Block];
        all.into_iter().find(|root| root.name() == name)
    }

    pub fn name(self) -> &'static str {
        match self {
            Self::None => "none",
            Self::Initrd => "initrd",
            Self::Share => "9p",
            Self::Block => "block",
        }
    }

    /// Whether a guest is told of none.
    pub fn is_none(&self) -> bool {
        *self == Self::None
    }
}

impl fmt::Display for Root {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}
