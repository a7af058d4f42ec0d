//! Where the guest's root file system is.

use crate::abi::{AbiTraits, Devices};
use crate::facts::{Block, BlockFault, Facts, RootChoice, Source, Sourced};
use guest::{Root, Support};
use vmm::{DeviceKind, KernelImage, Transport};

/// A root file system that is asked for, and that the guest cannot have.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum RootFault {
    /// The family, the kernel or the image has no such root.
    #[error("{origin} asks for the root file system by {root}: {why}")]
    NoRoot {
        /// What asks for it.
        origin: Source,
        /// Where it is asked for.
        root: Root,
        /// Why not there.
        #[source]
        why: RootObstacle,
    },
    /// The rootfs's own device cannot be used.
    #[error(transparent)]
    Disk(#[from] BlockFault),
}

/// Why a guest cannot have its root file system where it is asked for, and what to do.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum RootObstacle {
    /// There is no initrd.
    #[error("there is none: name one by annotation runu.dev/initrd")]
    NoInitrd,
    /// A Solo5 kernel has no place for a disk, or several.
    #[error("the kernel does not declare one block device: say none")]
    NotOneDisk,
    /// The kernel calls its monitor.
    #[error("kernels of its ABI know of no virtio device: say none")]
    NoVirtio,
    /// The family has no 9P client.
    #[error("guests of its family have no 9P: say initrd, block or none")]
    No9p,
    /// The family has no virtio-fs driver.
    #[error("guests of its family have no virtio-fs: say initrd, block or none")]
    NoVirtiofs,
    /// The kernel was built without what it takes; how to have it.
    #[error("the kernel was built without it: {0}")]
    NotBuilt(&'static str),
    /// virtio-fs is younger than the interface that is asked for.
    #[error(
        "it has no interface of before virtio 1.0: remove annotation runu.dev/virtio, or say 9p"
    )]
    LegacyVirtiofs,
    /// The family mounts no disk.
    #[error("guests of its family mount no block device: say initrd, 9p or none")]
    NoBlock,
    /// There is no disk.
    #[error("there is none: name one by annotation runu.dev/block")]
    NoDisk,
}

/// Where it is asked for, or else where this kernel of this family would look for it.
///
/// # Errors
/// [`RootFault::NoRoot`] for a choice that the family, the kernel or the image does not have.
pub(super) fn root(facts: &Facts, image: &KernelImage) -> Result<Root, RootFault> {
    let Some(Sourced {
        value: choice,
        origin,
    }) = &facts.guest_config.rootfs
    else {
        return Ok(by_default(facts, image));
    };
    let check = |root| match obstacle(facts, image, root) {
        None => disk_fault(facts, root).map_or(Ok(root), |fault| Err(fault.into())),
        Some(why) => Err(RootFault::NoRoot {
            origin: origin.clone(),
            root,
            why,
        }),
    };
    match choice {
        RootChoice::Exactly(root) => check(*root),
        RootChoice::Container => check(Root::P9).or_else(|fault| match check(Root::Block) {
            // It could have a disk, were there one.
            Err(no_disk @ RootFault::Disk(BlockFault::NoRootDisk { .. })) => Err(no_disk),
            checked => checked.map_err(|_| fault),
        }),
    }
}

/// The rootfs's own device, where the guest's root is on it.
pub(super) fn disk(facts: &Facts, root: Root) -> Option<&Block> {
    facts.root_disk.as_ref().filter(|_| root == Root::Block)
}

/// What is wrong with it.
fn disk_fault(facts: &Facts, root: Root) -> Option<BlockFault> {
    disk(facts, root)?.fault.clone()
}

/// An initrd is in the image to be used, and so is a disk that the guest knows how to begin
/// with. 9P is for kernels that were built for it, and for Linux, which otherwise has nothing.
fn by_default(facts: &Facts, image: &KernelImage) -> Root {
    let family = facts.family_traits();
    let preferred = [
        (Root::Initrd, Support::Yes),
        (Root::Block, family.block_root),
        (Root::P9, (family.p9)(facts.traits())),
    ];
    let mut found = preferred.into_iter().filter(|(root, support)| {
        *support == Support::Yes && obstacle(facts, image, *root).is_none()
    });
    found.next().map_or(Root::None, |(root, _)| root)
}

/// Why the guest cannot have its root there; `None` where it can, or where nobody knows.
fn obstacle(facts: &Facts, image: &KernelImage, root: Root) -> Option<RootObstacle> {
    let family = facts.family_traits();
    match root {
        Root::None => None,
        Root::Initrd if facts.initrd.is_some() => None,
        Root::Initrd => Some(RootObstacle::NoInitrd),
        Root::Block if has_declared_disk(facts, image) => {
            let declared = image.declared(DeviceKind::Block).count();
            (declared != 1).then_some(RootObstacle::NotOneDisk)
        }
        Root::P9 | Root::Virtiofs | Root::Block if !image.abi().has_virtio() => {
            Some(RootObstacle::NoVirtio)
        }
        Root::P9 => match (family.p9)(facts.traits()) {
            Support::No => Some(RootObstacle::No9p),
            support => not_built(support),
        },
        Root::Virtiofs => match (family.virtiofs)(facts.traits()) {
            Support::No => Some(RootObstacle::NoVirtiofs),
            support => {
                not_built(support).or(is_legacy(facts).then_some(RootObstacle::LegacyVirtiofs))
            }
        },
        Root::Block => match family.block_root {
            Support::No => Some(RootObstacle::NoBlock),
            _ if facts.blocks.is_empty() && facts.root_disk.is_none() => Some(RootObstacle::NoDisk),
            support => not_built(support),
        },
    }
}

/// Whether the rootfs's own device would be one that the kernel declares.
fn has_declared_disk(facts: &Facts, image: &KernelImage) -> bool {
    AbiTraits::of(image.abi()).devices == Devices::Declared
        && facts.root_disk.is_some()
        && facts.family_traits().declared_root
}

fn not_built(support: Support) -> Option<RootObstacle> {
    match support {
        Support::NotBuilt(cure) => Some(RootObstacle::NotBuilt(cure)),
        Support::Yes | Support::Unknown | Support::No => None,
    }
}

/// Whether its virtio devices are to be those of before virtio 1.0.
fn is_legacy(facts: &Facts) -> bool {
    let asked = facts.guest_config.virtio.as_ref();
    asked.is_some_and(|setting| setting.value == Transport::MmioLegacy)
}
