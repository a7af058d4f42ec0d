//! How a unikernel would be run: facts turned into a machine's description,
//! before anything is started.

mod devices;
mod fault;
mod network;
mod resources;
mod root;
mod transport;
mod vsock;

use std::path::PathBuf;

use serde::{Deserialize, Serialize};

pub use devices::{DeviceFault, PlannedBlock};
pub use fault::Fault;
pub use network::{NetworkFault, PlannedNet};
pub use resources::{DEFAULT_MEMORY, MemorySource, ResourceFault, overhead};
pub use root::{RootFault, RootObstacle};
pub use transport::NoVirtio;
pub use vsock::NoVsock;

use crate::facts::{Facts, State};
use guest::{self, CmdlineTemplate, Network, Root};
use vmm::{BootAbi, Transport};

/// A machine's description.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Plan {
    /// As the container sees it.
    pub kernel: PathBuf,
    /// How it is entered.
    pub abi: BootAbi,
    /// As the container sees it.
    pub initrd: Option<PathBuf>,
    /// In the order in which the guest gets them.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub blocks: Vec<PlannedBlock>,
    /// Where the guest's root file system is; by 9P and virtio-fs it gets the container's tree.
    #[serde(default, skip_serializing_if = "Root::is_none")]
    pub root: Root,
    /// The tag by which it finds that tree, where virtiofsd serves it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub virtiofs: Option<String>,
    /// The guest's place in the pod's network; `None`: it has none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub net: Option<PlannedNet>,
    /// How the guest finds its virtio devices; `None`: its kernel knows none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub virtio: Option<Transport>,
    /// Where the guest's sockets to its neighbours are, as the container sees it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub vsock: Option<PathBuf>,
    /// Bytes.
    pub memory: u64,
    /// 1 to [`vmm::MAX_VCPUS`].
    pub vcpus: u8,
    /// As it is without a network, which is known at `start` only.
    pub cmdline: String,
    /// What it is made of; `None` where somebody wrote it, and it stays as it is.
    #[serde(rename = "recipe", default, skip_serializing_if = "Option::is_none")]
    pub cmdline_template: Option<CmdlineTemplate>,
}

impl Plan {
    /// Plans the machine that these facts ask for.
    ///
    /// # Errors
    /// The first fault that keeps this from running as a unikernel.
    pub fn make(facts: &Facts) -> Result<Self, Fault> {
        let guest_config = &facts.guest_config;
        if let Some(fault) = guest_config.faults.first() {
            return Err(fault.clone().into());
        }
        let kernel = facts.kernel.as_ref().ok_or(Fault::NoKernel)?;
        let (abi, image) = match &kernel.state {
            State::Bootable { abi, image, .. } => (*abi, image),
            State::Unusable { fault } => return Err(fault.clone().into()),
        };
        let initrd = facts.initrd.as_ref();
        if let Some(fault) = initrd.and_then(|i| i.fault.clone()) {
            return Err(fault.into());
        }
        let root = root::root(facts, image)?;
        let memory = resources::memory(facts, image, root)?;
        let blocks = devices::blocks(facts, image, root)?;
        let (cmdline, cmdline_template) = command_line(facts, root, &blocks)?;
        Ok(Self {
            cmdline,
            cmdline_template,
            kernel: kernel.path.clone(),
            abi,
            initrd: initrd.map(|i| i.path.clone()),
            blocks,
            root,
            virtiofs: served_tag(facts, root),
            net: network::plan(facts, image)?,
            virtio: transport::choose(facts, abi, root)?,
            vsock: vsock::plan(facts, abi)?,
            memory,
            vcpus: resources::vcpus(facts, abi)?,
        })
    }

    /// The rootfs's own device, if the guest has that as a disk: its first one.
    pub fn root_disk(&self) -> Option<&PlannedBlock> {
        self.blocks.first().filter(|block| block.is_root_disk())
    }

    /// The tag by which the guest finds the container's tree, if it gets it by 9P.
    pub fn share(&self) -> Option<&'static str> {
        (self.root == Root::P9).then_some(guest::TAG)
    }

    /// The command line for a guest on this `network` that finds some of its virtio devices by
    /// the words `devices`.
    ///
    /// # Errors
    /// What the family's guests cannot take, or not so much of it.
    pub fn command_line(
        &self,
        network: Option<&Network>,
        devices: &[String],
    ) -> Result<String, guest::Error> {
        match &self.cmdline_template {
            Some(cmdline_template) => cmdline_template.line(network, devices),
            None => Ok(self.cmdline.clone()),
        }
    }
}

/// The tag of a tree that virtiofsd serves.
fn served_tag(facts: &Facts, root: Root) -> Option<String> {
    let is_served = root == Root::Virtiofs;
    is_served.then(|| facts.family_traits().virtiofs_tag.to_owned())
}

/// The guest's command line: the one that was written for it, as it is, or else what its
/// family makes of the container's arguments and environment.
fn command_line(
    facts: &Facts,
    root: Root,
    blocks: &[PlannedBlock],
) -> Result<(String, Option<CmdlineTemplate>), Fault> {
    if let Some(setting) = &facts.guest_config.cmdline {
        return Ok((setting.value.clone(), None));
    }
    let cmdline_template = CmdlineTemplate {
        family: facts.family_traits().family,
        traits: facts.traits().cloned(),
        args: facts.args.clone(),
        env: facts.env.clone(),
        hostname: facts.hostname.clone(),
        cwd: facts.cwd.clone(),
        initrd: facts.initrd.is_some(),
        root,
        read_only: root == Root::Block && blocks.first().is_some_and(|first| first.read_only),
    };
    let line = cmdline_template
        .line(None, &[])
        .map_err(Fault::CommandLine)?;
    Ok((line, Some(cmdline_template)))
}
