//! Which file becomes which of the guest's devices.

use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use super::root;
use crate::facts::{
    Block, BlockFault, ConfigFault, Facts, ROOT_DISK, Source, Sourced, escape_path,
};
use guest::Root;
use vmm::{BLOCK_SIZE, BootAbi, DeviceKind, KernelImage};

/// A block device of the machine.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PlannedBlock {
    /// The kernel's own name for it, or else the disk's serial number.
    pub device: String,
    /// As the container sees it.
    pub path: PathBuf,
    /// Whether nothing can be written to it.
    pub read_only: bool,
}

impl PlannedBlock {
    /// Whether it is the rootfs's own device.
    pub fn is_root_disk(&self) -> bool {
        self.path == Path::new(ROOT_DISK)
    }
}

/// Files and devices that do not go together.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum DeviceFault {
    /// A file of the rootfs, beside the rootfs's own device.
    #[error(
        "{origin}: {} is a file of the rootfs, whose device is the guest's own disk: name a block device of the pod's, or say 9p",
        escape_path(path)
    )]
    DiskOnRootDisk {
        /// What names it.
        origin: Source,
        /// As the container sees it.
        path: PathBuf,
    },
    /// A disk has whole sectors.
    #[error(
        "block device's image {} has {size} bytes: make that a multiple of 512",
        escape_path(path)
    )]
    BlockSize {
        /// As the container sees it.
        path: PathBuf,
        /// Bytes.
        size: u64,
    },
    /// A device that the kernel declares, without a file.
    #[error(
        "the kernel needs block device {device}: name a file of the image by annotation runu.dev/{key}"
    )]
    NoBlock {
        /// The kernel's own name for it.
        device: String,
        /// The rest of the annotation's key.
        key: String,
    },
    /// A name that is no disk's serial number.
    #[error("{origin}: a disk's name has {max} bytes at most: shorten it")]
    BlockName {
        /// What names the disk.
        origin: Source,
        /// Bytes.
        max: usize,
    },
    /// Two files for one device.
    #[error("two files are named for block device {device}: remove one of the annotations")]
    BlockTwice {
        /// The kernel's own name for it.
        device: String,
    },
    /// A file without a device.
    #[error("{origin} names a block device, the kernel (of the ABI {abi}) declares {declared}")]
    UnwantedBlock {
        /// What names the file.
        origin: Source,
        /// How the kernel is entered.
        abi: BootAbi,
        /// What the kernel declares, in words.
        declared: String,
    },
    /// A file that cannot be opened.
    #[error(transparent)]
    File(#[from] BlockFault),
    /// A mount point, which a guest has no way to learn.
    #[error(transparent)]
    MountPoint(#[from] ConfigFault),
}

/// Bytes of a virtio disk's serial number (virtio 1.2, section 5.2.6).
const MAX_SERIAL: usize = 20;
/// That of a disk that nobody has named.
const SERIAL: &str = "block";

/// The block devices: the rootfs's own, where the guest's root is on it, and one for each file in
/// the facts, in that order.
///
/// # Errors
/// For a device without a file, a file without a device, and a file that cannot be one.
pub(super) fn blocks(
    facts: &Facts,
    image: &KernelImage,
    root: Root,
) -> Result<Vec<PlannedBlock>, DeviceFault> {
    let root_disk = root::disk(facts, root);
    check_mount_point(facts, root, root_disk)?;
    if root_disk.is_some() {
        facts.blocks.iter().try_for_each(check_is_elsewhere)?;
    }
    let blocks = root_disk.into_iter().chain(&facts.blocks);
    match image.abi().has_virtio() {
        true => blocks.map(disk).collect(),
        false => declared(blocks, image),
    }
}

/// A file of the rootfs is on a device that is the guest's.
fn check_is_elsewhere(block: &Block) -> Result<(), DeviceFault> {
    match block.number {
        Some(_) => Ok(()),
        None => Err(DeviceFault::DiskOnRootDisk {
            origin: block.origin.clone(),
            path: block.path.clone(),
        }),
    }
}

/// No family is given a mount point for what is not its root. MirageOS mounts nothing, and needs
/// none.
fn check_mount_point(
    facts: &Facts,
    root: Root,
    root_disk: Option<&Block>,
) -> Result<(), DeviceFault> {
    let Some(Sourced {
        value: place,
        origin,
    }) = &facts.guest_config.mount_point
    else {
        return Ok(());
    };
    let is_root = root == Root::Block && place == Path::new("/");
    let what = if facts.blocks.is_empty() && root_disk.is_none() {
        "a mount point without a block device"
    } else if is_root || facts.family_traits().mounts_nothing {
        return Ok(());
    } else {
        "a mounted block device"
    };
    let origin = origin.clone();
    Err(ConfigFault::Unsupported { origin, what }.into())
}

/// A disk of a guest that has as many as it gets.
fn disk(block: &Block) -> Result<PlannedBlock, DeviceFault> {
    let device = block.device.as_deref().unwrap_or(SERIAL);
    match device.len() > MAX_SERIAL {
        true => Err(DeviceFault::BlockName {
            origin: block.origin.clone(),
            max: MAX_SERIAL,
        }),
        false => planned(block, device.to_owned()),
    }
}

/// The devices that the kernel declares.
fn declared<'a>(
    blocks: impl Iterator<Item = &'a Block>,
    image: &KernelImage,
) -> Result<Vec<PlannedBlock>, DeviceFault> {
    let declared = |kind| image.declared(kind).map(|device| device.name.as_str());
    let names: Vec<&str> = declared(DeviceKind::Block).collect();
    let planned: Vec<PlannedBlock> = blocks
        .map(|block| plan(block, &names, image))
        .collect::<Result<_, _>>()?;
    let files = |name: &&str| planned.iter().filter(|b| b.device == **name).count();
    if let Some(name) = names.iter().find(|name| files(name) != 1) {
        let device = (*name).to_owned();
        let key = match names.len() {
            1 => "block".to_owned(),
            _ => format!("block.{device}"),
        };
        return Err(match files(name) {
            0 => DeviceFault::NoBlock { device, key },
            _ => DeviceFault::BlockTwice { device },
        });
    }
    Ok(planned)
}

fn plan(block: &Block, names: &[&str], image: &KernelImage) -> Result<PlannedBlock, DeviceFault> {
    if let Some(fault) = &block.fault {
        return Err(fault.clone().into());
    }
    let device = match (&block.device, names) {
        (Some(device), names) if names.contains(&device.as_str()) => device.clone(),
        (None, [only]) => (*only).to_owned(),
        _ => {
            return Err(DeviceFault::UnwantedBlock {
                origin: block.origin.clone(),
                abi: image.abi(),
                declared: match names {
                    [] => "no block device".to_owned(),
                    names => names.join(" and "),
                },
            });
        }
    };
    planned(block, device)
}

/// # Errors
/// For what cannot be a disk.
fn planned(block: &Block, device: String) -> Result<PlannedBlock, DeviceFault> {
    if let Some(fault) = &block.fault {
        return Err(fault.clone().into());
    }
    if block.size == 0 || !block.size.is_multiple_of(BLOCK_SIZE) {
        let (path, size) = (block.path.clone(), block.size);
        return Err(DeviceFault::BlockSize { path, size });
    }
    Ok(PlannedBlock {
        device,
        path: block.path.clone(),
        read_only: block.read_only,
    })
}
