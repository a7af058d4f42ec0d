//! What a command line is made of.

use std::ops::Not;

use serde::{Deserialize, Serialize};

use crate::boot_params::BootParams;
use crate::error::Error;
use crate::families::command_line;
use crate::family::Family;
use crate::kernel_traits::KernelTraits;
use crate::network::Network;
use crate::root::Root;

/// All of a command line but the network, which is known at `start` only. It is kept till then
/// with the container, so that a caller's `start` makes the line of what `create` judged.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct CmdlineTemplate {
    /// The family whose way of writing it is used.
    pub family: Family,
    /// What the kernel file shows.
    #[serde(rename = "mark")]
    pub traits: Option<KernelTraits>,
    /// `process.args`.
    pub args: Vec<String>,
    /// `process.env`: full of secrets.
    pub env: Vec<String>,
    /// `hostname`.
    pub hostname: Option<String>,
    /// `process.cwd`.
    pub cwd: Option<String>,
    /// Whether the guest gets an initrd.
    pub initrd: bool,
    /// Where its root file system is.
    pub root: Root,
    /// Whether that is a disk to which nothing can be written.
    #[serde(default, skip_serializing_if = "Not::not")]
    pub read_only: bool,
}

impl CmdlineTemplate {
    /// The command line for a guest on this `network`, with `devices` as in
    /// [`BootParams::devices`].
    ///
    /// # Errors
    /// As [`command_line`].
    pub fn line(&self, network: Option<&Network>, devices: &[String]) -> Result<String, Error> {
        let params = BootParams {
            args: &self.args,
            env: &self.env,
            hostname: self.hostname.as_deref(),
            cwd: self.cwd.as_deref(),
            initrd: self.initrd,
            root: self.root,
            read_only: self.read_only,
            network,
            devices,
        };
        command_line(self.family, self.traits.as_ref(), &params)
    }
}
