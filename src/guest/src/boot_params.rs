//! What goes into a guest's command line.

use crate::error::Error;
use crate::network::Network;
use crate::root::Root;

/// What a guest's command line is made of: the container's configuration, and what the machine has
/// for it.
#[derive(Debug, Clone, Copy, Default)]
pub struct BootParams<'a> {
    /// `process.args`; the first is the program.
    pub args: &'a [String],
    /// `process.env`, each `NAME=VALUE`.
    pub env: &'a [String],
    /// `hostname` of config.json.
    pub hostname: Option<&'a str>,
    /// `process.cwd`.
    pub cwd: Option<&'a str>,
    /// Whether the guest gets an initrd.
    pub initrd: bool,
    /// Where its root file system is.
    pub root: Root,
    /// Whether that is a disk to which nothing can be written.
    pub read_only: bool,
    /// The network; `None` where there is none, or where it is not known yet.
    pub network: Option<&'a Network>,
    /// One word for each virtio device that is found by the command line, as Linux has them:
    /// `virtio_mmio.device=SIZE@ADDRESS:IRQ`.
    pub devices: &'a [String],
}

impl<'a> BootParams<'a> {
    /// The environment as names and values.
    ///
    /// # Errors
    /// For an entry that is no `NAME=VALUE`.
    pub(crate) fn variables(&self) -> Result<Vec<(&'a str, &'a str)>, Error> {
        let split = |entry: &'a String| {
            let pair = entry.split_once('=').filter(|(name, _)| !name.is_empty());
            pair.ok_or_else(|| Error::variable(entry, "is no NAME=VALUE"))
        };
        self.env.iter().map(split).collect()
    }

    /// The working directory, where it is not the root, which is every guest's own.
    pub(crate) fn working_dir(&self) -> Option<&'a str> {
        self.cwd.filter(|cwd| !matches!(*cwd, "" | "/"))
    }
}
