//! Which file becomes which of the guest's devices.

use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use super::root;
use crate::facts::{Block, Facts, Fault, ROOT_DISK, Sourced};
use guest::Root;
use vmm::{BLOCK_SIZE, DeviceKind, KernelImage};

/// A block device of the machine.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PlannedBlock {
    /// The kernel's own name for it, or what the guest is told that the disk's serial number is.
    pub device: String,
    /// As the container sees it.
    pub path: PathBuf,
    pub read_only: bool,
}

impl PlannedBlock {
    /// Whether it is the rootfs's own device.
    pub fn is_root_disk(&self) -> bool {
        self.path == Path::new(ROOT_DISK)
    }
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
) -> Result<Vec<PlannedBlock>, Fault> {
    let root_disk = root::disk(facts, root);
    check_mount_point(facts, root, root_disk)?;
    if root_disk.is_some() {
        facts.blocks.iter().try_for_each(check_is_elsewhere)?;
    }
    let blocks = root_disk.into_iter().chain(&facts.blocks);
    match image.abi.has_virtio() {
        true => blocks.map(disk).collect(),
        false => declared(blocks, image),
    }
}

/// A file of the rootfs is on a device that is the guest's.
fn check_is_elsewhere(block: &Block) -> Result<(), Fault> {
    match block.number {
        Some(_) => Ok(()),
        None => Err(Fault::DiskOnRootDisk {
            origin: block.origin.clone(),
            path: block.path.clone(),
        }),
    }
}

/// A guest would have to be told where to mount what is not its root. MirageOS mounts nothing,
/// and need not be.
fn check_mount_point(facts: &Facts, root: Root, root_disk: Option<&Block>) -> Result<(), Fault> {
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
    Err(Fault::Unsupported { origin, what })
}

/// A disk of a guest that has as many as it gets.
fn disk(block: &Block) -> Result<PlannedBlock, Fault> {
    let device = block.device.as_deref().unwrap_or(SERIAL);
    match device.len() > MAX_SERIAL {
        true => Err(Fault::BlockName {
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
) -> Result<Vec<PlannedBlock>, Fault> {
    let declared = |kind| image.manifest.of(kind).map(|device| device.name.as_str());
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
            0 => Fault::NoBlock { device, key },
            _ => Fault::BlockTwice { device },
        });
    }
    Ok(planned)
}

fn plan(block: &Block, names: &[&str], image: &KernelImage) -> Result<PlannedBlock, Fault> {
    if let Some(fault) = &block.fault {
        return Err(fault.clone());
    }
    let device = match (&block.device, names) {
        (Some(device), names) if names.contains(&device.as_str()) => device.clone(),
        (None, [only]) => (*only).to_owned(),
        _ => {
            return Err(Fault::UnwantedBlock {
                origin: block.origin.clone(),
                abi: image.abi,
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
fn planned(block: &Block, device: String) -> Result<PlannedBlock, Fault> {
    if let Some(fault) = &block.fault {
        return Err(fault.clone());
    }
    if block.size == 0 || !block.size.is_multiple_of(BLOCK_SIZE) {
        let (path, size) = (block.path.clone(), block.size);
        return Err(Fault::BlockSize { path, size });
    }
    Ok(PlannedBlock {
        device,
        path: block.path.clone(),
        read_only: block.read_only,
    })
}
