//! Which file becomes which of the devices that a kernel declares.

use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use crate::facts::{Block, Facts, Fault};
use crate::guest::Family;
use crate::vmm::{BLOCK_SIZE, DeviceKind, KernelImage};

/// A block device of the machine.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PlannedBlock {
    /// The kernel's own name for it.
    pub device: String,
    /// As the container sees it.
    pub path: PathBuf,
    pub read_only: bool,
}

/// The block devices, one for each file in the facts, in that order.
///
/// # Errors
/// For a device without a file, a file without a device, and a file that cannot be one.
pub fn blocks(facts: &Facts, image: &KernelImage) -> Result<Vec<PlannedBlock>, Fault> {
    if let Some(said) = &facts.wishes.mount_point {
        let by = said.by.clone();
        if facts.blocks.is_empty() {
            let what = "a mount point without a block device";
            return Err(Fault::Unsupported { by, what });
        }
        // It would have to be told where, as MirageOS, which mounts nothing, does not.
        if facts.family() == Some(Family::Rumprun) {
            let what = "a mounted block device";
            return Err(Fault::Unsupported { by, what });
        }
    }
    let declared = |kind| image.manifest.of(kind).map(|device| device.name.as_str());
    let names: Vec<&str> = declared(DeviceKind::Block).collect();
    let blocks = facts.blocks.iter();
    let planned: Vec<PlannedBlock> = blocks
        .map(|block| plan(block, &names, image, facts.read_only))
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

fn plan(
    block: &Block,
    names: &[&str],
    image: &KernelImage,
    read_only: bool,
) -> Result<PlannedBlock, Fault> {
    if let Some(fault) = &block.fault {
        return Err(fault.clone());
    }
    let device = match (&block.device, names) {
        (Some(device), names) if names.contains(&device.as_str()) => device.clone(),
        (None, [only]) => (*only).to_owned(),
        _ => {
            return Err(Fault::UnwantedBlock {
                by: block.by.clone(),
                abi: image.abi,
                declared: match names {
                    [] => "no block device".to_owned(),
                    names => names.join(" and "),
                },
            });
        }
    };
    if block.size == 0 || !block.size.is_multiple_of(BLOCK_SIZE) {
        let (path, size) = (block.path.clone(), block.size);
        return Err(Fault::BlockSize { path, size });
    }
    Ok(PlannedBlock {
        device,
        path: block.path.clone(),
        read_only,
    })
}
