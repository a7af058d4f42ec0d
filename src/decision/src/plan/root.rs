//! Where the guest's root file system is.

use crate::abi::{AbiTraits, Devices};
use crate::facts::{Block, Facts, Fault, RootChoice, RootObstacle, Sourced};
use guest::{Root, Support};
use vmm::{DeviceKind, KernelImage, Transport};

/// Where it is asked for, or else where this kernel of this family would look for it.
///
/// # Errors
/// [`Fault::NoRoot`] for a choice that the family, the kernel or the image cannot grant.
pub(super) fn root(facts: &Facts, image: &KernelImage) -> Result<Root, Fault> {
    let Some(Sourced {
        value: choice,
        origin,
    }) = &facts.guest_config.rootfs
    else {
        return Ok(by_default(facts, image));
    };
    let grant = |root| match obstacle(facts, image, root) {
        None => disk_fault(facts, root).map_or(Ok(root), Err),
        Some(why) => Err(Fault::NoRoot {
            origin: origin.clone(),
            root,
            why,
        }),
    };
    match choice {
        RootChoice::Exactly(root) => grant(*root),
        RootChoice::Container => grant(Root::P9).or_else(|fault| match grant(Root::Block) {
            // It could have a disk, were there one.
            Err(no_disk @ Fault::NoRootDisk { .. }) => Err(no_disk),
            granted => granted.map_err(|_| fault),
        }),
    }
}

/// The rootfs's own device, where the guest's root is on it.
pub(super) fn disk(facts: &Facts, root: Root) -> Option<&Block> {
    facts.root_disk.as_ref().filter(|_| root == Root::Block)
}

/// What is wrong with it.
fn disk_fault(facts: &Facts, root: Root) -> Option<Fault> {
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
            let declared = image.manifest.of(DeviceKind::Block).count();
            (declared != 1).then_some(RootObstacle::NotOneDisk)
        }
        Root::P9 | Root::Virtiofs | Root::Block if !image.abi.has_virtio() => {
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
    AbiTraits::of(image.abi).devices == Devices::Declared
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
