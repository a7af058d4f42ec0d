//! What a kernel file shows of the guest in it.

use std::ops::Not;

use serde::{Deserialize, Serialize};

use crate::family::Family;

/// What a kernel file shows.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct KernelTraits {
    /// The family whose kernels have such sections.
    pub family: Family,
    /// Unikraft's, 0.15 and newer: as in `0.16.3`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub release: Option<String>,
    /// Whether a Unikraft kernel looks for parameters on its command line.
    #[serde(default, skip_serializing_if = "Not::not")]
    pub reads_parameters: bool,
    /// Whether environment variables are among them.
    #[serde(default, skip_serializing_if = "Not::not")]
    pub reads_environment: bool,
    /// Whether it looks there for what to mount.
    #[serde(default, skip_serializing_if = "Not::not")]
    pub reads_mounts: bool,
    /// Whether it has Unikraft's 9P client, where that is to be known: 0.15 and newer.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub has_9p: Option<bool>,
    /// Whether it has Unikraft's virtio-fs client: newer than 0.17.
    #[serde(default, skip_serializing_if = "Not::not")]
    pub has_virtiofs: bool,
    /// Whether it can unpack an initrd.
    #[serde(default, skip_serializing_if = "Not::not")]
    pub unpacks_initrd: bool,
    /// Whether it takes the first word for its own name and drops it.
    #[serde(default, skip_serializing_if = "Not::not")]
    pub drops_a_word: bool,
}

impl KernelTraits {
    /// Of a kernel that shows its family, and no more.
    pub fn new(family: Family) -> Self {
        Self {
            family,
            release: None,
            reads_parameters: false,
            reads_environment: false,
            reads_mounts: false,
            has_9p: None,
            has_virtiofs: false,
            unpacks_initrd: false,
            drops_a_word: false,
        }
    }

    /// Whether its release is that one or a later one; one that says none is older.
    pub(crate) fn is_since(&self, release: (u32, u32, u32)) -> bool {
        let own = self.release.as_deref().unwrap_or_default();
        let mut numbers = own.split('.').map(|number| number.parse().unwrap_or(0));
        let mut next = || numbers.next().unwrap_or(0);
        (next(), next(), next()) >= release
    }
}
