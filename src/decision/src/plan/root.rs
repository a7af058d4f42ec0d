//! Where the guest's root file system is.

use crate::facts::{Block, Facts, Fault, RootChoice, Sourced};
use guest::{Family, Root};
use vmm::{BootAbi, DeviceKind, KernelImage, Transport};

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
    let takes_9p = match facts.family() {
        Some(Family::Linux) => true,
        Some(Family::Unikraft) => has_9p(facts) == Some(true),
        _ => false,
    };
    let begins_with_disk = matches!(
        facts.family(),
        Some(Family::Linux | Family::Nanos | Family::Osv)
    );
    let preferred = [
        (Root::Initrd, true),
        (Root::Block, begins_with_disk),
        (Root::P9, takes_9p),
    ];
    let mut found = preferred
        .into_iter()
        .filter(|(root, is_preferred)| *is_preferred && obstacle(facts, image, *root).is_none());
    found.next().map_or(Root::None, |(root, _)| root)
}

/// Why the guest cannot have its root there; `None` where it can, or where nobody knows.
fn obstacle(facts: &Facts, image: &KernelImage, root: Root) -> Option<&'static str> {
    let family = facts.family();
    match root {
        Root::None => None,
        Root::Initrd if facts.initrd.is_some() => None,
        Root::Initrd => Some("there is none: name one by annotation runu.dev/initrd"),
        Root::Block
            if image.abi == BootAbi::Solo5
                && facts.root_disk.is_some()
                && family != Some(Family::Rumprun) =>
        {
            match image.manifest.of(DeviceKind::Block).count() {
                1 => None,
                _ => Some("the kernel does not declare one block device: say none"),
            }
        }
        Root::P9 | Root::Virtiofs | Root::Block if !image.abi.has_virtio() => {
            Some("kernels of its ABI know of no virtio device: say none")
        }
        Root::P9 => match family {
            Some(
                Family::Hermit | Family::Nanos | Family::Osv | Family::Rumprun | Family::Solo5,
            ) => Some("guests of its family have no 9P: say initrd, block or none"),
            Some(Family::Unikraft) if has_9p(facts) == Some(false) => {
                Some("the kernel was built without it: build it with 9pfs, or say initrd")
            }
            _ => None,
        },
        Root::Virtiofs => match family {
            Some(Family::Nanos | Family::Rumprun | Family::Solo5) => {
                Some("guests of its family have no virtio-fs: say initrd, block or none")
            }
            Some(Family::Unikraft) if !facts.traits().is_some_and(|traits| traits.has_virtiofs) => {
                Some("the kernel was built without it: build it with ukfs-virtiofs, or say 9p")
            }
            _ if legacy(facts) => Some(
                "it has no interface of before virtio 1.0: remove annotation runu.dev/virtio, or say 9p",
            ),
            _ => None,
        },
        Root::Block => match family {
            Some(Family::Hermit | Family::Rumprun | Family::Solo5 | Family::Unikraft) => {
                Some("guests of its family mount no block device: say initrd, 9p or none")
            }
            _ if facts.blocks.is_empty() && facts.root_disk.is_none() => {
                Some("there is none: name one by annotation runu.dev/block")
            }
            _ => None,
        },
    }
}

fn legacy(facts: &Facts) -> bool {
    let choice = facts.guest_config.virtio.as_ref();
    choice.is_some_and(|setting| setting.value == Transport::MmioLegacy)
}

/// Whether a Unikraft kernel can mount 9P, where that is to be known.
fn has_9p(facts: &Facts) -> Option<bool> {
    facts.traits()?.has_9p
}
