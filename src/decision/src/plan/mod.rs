//! How a unikernel would be run: facts turned into a machine's description,
//! before anything is started.

mod devices;
mod network;
mod root;
mod transport;
mod vsock;

use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use crate::facts::quantity::display;
use crate::facts::{Facts, Fault, Sourced, State};
pub use devices::PlannedBlock;
use guest::{self, CmdlineTemplate, Network, Root};
pub use network::PlannedNet;
use vmm::{self, BootAbi, KernelImage, MAX_VCPUS, MIN_MEMORY, Transport};

/// What the monitor takes of the container's memory limit, in bytes: its own pages,
/// and the page tables of a guest of about that size; and virtiofsd, where that serves the root.
///
/// Measured, on an emulating KVM, with guests that touch all their memory: 1.2 MiB and
/// 4.5 MiB for each GiB. The rest is room for the tables of a KVM that keeps its own.
/// virtiofsd (QEMU's): 2.3 MiB, and for each file that the guest knows of 0.35 KiB and the
/// host's inode, which on an overlay of ext4 is some 2 KiB; larger guests know more files.
pub fn overhead(limit: u64, root: Root) -> u64 {
    let virtiofsd = match root {
        Root::Virtiofs => (8 << 20) + limit / 64,
        _ => 0,
    };
    (8 << 20) + limit / 128 + virtiofsd
}

/// The guest's memory where neither the pod nor an annotation says anything,
/// in bytes.
pub const DEFAULT_MEMORY: u64 = 128 << 20;

/// A machine's description.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Plan {
    /// As the container sees it.
    pub kernel: PathBuf,
    pub abi: BootAbi,
    /// As the container sees it.
    pub initrd: Option<PathBuf>,
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
    /// 1 to [`MAX_VCPUS`].
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
            return Err(fault.clone());
        }
        let kernel = facts.kernel.as_ref().ok_or(Fault::NoKernel)?;
        let (abi, image) = match &kernel.state {
            State::Bootable { abi, image, .. } => (*abi, image),
            State::Unusable { fault } => return Err(fault.clone()),
        };
        let initrd = facts.initrd.as_ref();
        if let Some(fault) = initrd.and_then(|i| i.fault.clone()) {
            return Err(fault);
        }
        let root = root::root(facts, image)?;
        let (memory, from) = memory(facts, image, root)?;
        let memory = vmm::check_fits(image, initrd.map_or(0, |i| i.size), memory)
            .and_then(|()| vmm::memory_size(image, memory))
            .map_err(|why| Fault::DoesNotFit {
                from,
                memory,
                why: why.to_string(),
            })?;
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
            vcpus: vcpus(facts, abi)?,
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
    /// What the family's guests cannot be told, or not so much of it.
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

/// The guest's virtual CPUs: as many as are asked for, or else as the container's quota can
/// keep busy, at most the host's.
fn vcpus(facts: &Facts, abi: BootAbi) -> Result<u8, Fault> {
    let max = if abi.uses_several_vcpus() {
        MAX_VCPUS
    } else {
        1
    };
    let Some(Sourced {
        value: asked,
        origin,
    }) = facts.guest_config.vcpus.clone()
    else {
        let quota = facts.cpu_limit.unwrap_or(1).min(facts.host_cpus);
        return Ok(u8::try_from(quota).unwrap_or(MAX_VCPUS).clamp(1, max));
    };
    match u8::try_from(asked) {
        Ok(vcpus @ 1..) if vcpus <= max => Ok(vcpus),
        _ if max == 1 => Err(Fault::OneVcpu { origin, asked, abi }),
        _ => Err(Fault::Vcpus { origin, asked, max }),
    }
}

/// The guest's command line: the one that was written for it, as it is, or else what its
/// family makes of what the container is told.
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

/// The guest's memory in bytes, and who gave it.
fn memory(facts: &Facts, image: &KernelImage, root: Root) -> Result<(u64, String), Fault> {
    let left = facts
        .memory_limit
        .map(|limit| (limit, limit.saturating_sub(overhead(limit, root))));
    let (memory, from) = match (facts.guest_config.memory.clone(), left) {
        (Some(Sourced { value, origin }), Some((limit, left))) if value > left => {
            return Err(Fault::OverLimit {
                origin,
                asked: value,
                limit,
                left,
            });
        }
        (Some(Sourced { value, origin }), _) => (value, origin.to_string()),
        (None, Some((_, left))) => (
            left.min(vmm::max_memory(image)),
            "the container's memory limit, less the monitor's share,".to_owned(),
        ),
        (None, None) => (DEFAULT_MEMORY, "the default".to_owned()),
    };
    if memory < MIN_MEMORY {
        let why = format!("{} is the least", display(MIN_MEMORY));
        return Err(Fault::DoesNotFit { from, memory, why });
    }
    // Whole pages.
    Ok((memory & !0xfff, from))
}
