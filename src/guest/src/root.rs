//! Where a guest finds its root file system.

use std::fmt;

use serde::{Deserialize, Serialize};

/// Where a guest's root file system is; the names are those of annotation `runu.dev/rootfs`.
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
    P9,
    /// The same by virtio-fs.
    Virtiofs,
    /// Its first block device.
    Block,
}

/// What a guest finds the container's tree by. Unikraft's kernels look for this one if they
/// are built to mount it by themselves.
pub const TAG: &str = "fs0";
/// What Hermit's kernels find it by: a tag is where they mount it, and of a tree for `/` they mount
/// each directory (hermit-os/kernel, src/fs/fuse.rs).
pub(crate) const HERMIT_TAG: &str = "/";

impl Root {
    /// All names, for an error's line.
    pub const NAMED: &str = "9p, virtiofs, initrd, block or none";

    /// The root of that name; `None` for a name that is none.
    pub fn named(name: &str) -> Option<Self> {
        let all = [
            Self::None,
            Self::Initrd,
            Self::P9,
            Self::Virtiofs,
            Self::Block,
        ];
        all.into_iter().find(|root| root.name() == name)
    }

    /// Its name, as [`Root::named`] reads it.
    pub fn name(self) -> &'static str {
        match self {
            Self::None => "none",
            Self::Initrd => "initrd",
            Self::P9 => "9p",
            Self::Virtiofs => "virtiofs",
            Self::Block => "block",
        }
    }

    /// Whether the guest has only what it brings itself.
    pub fn is_none(&self) -> bool {
        *self == Self::None
    }
}

impl fmt::Display for Root {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}
