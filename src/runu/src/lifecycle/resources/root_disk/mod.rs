//! The rootfs's own device as the guest's disk, as a resource.

pub(super) mod error;
mod mount;

use std::fs::File;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};

use crate::exit;
use crate::lifecycle::resources::error::ResourceError;
use crate::lifecycle::resources::resource::Resource;
use crate::lifecycle::store::record::Record;
use decision::plan::Plan;
use error::RootDiskError;
use mount::Unmounted;
use vmm::{BlockDevice, Files, MAX_KERNEL, sealed_copy};

/// The disk, by how far it has come.
pub(super) enum RootDisk {
    /// The rootfs is mounted on the host.
    Planned {
        plan: Box<Plan>,
        rootfs: PathBuf,
        device: Option<File>,
    },
    /// This process has taken it, and can put it back.
    Unmounted(Unmounted),
    /// Another process has taken it: what it has put in its place is to go.
    Left { rootfs: PathBuf },
}

impl RootDisk {
    /// The disk that the plan has, on the open `device`; `None` where it has none.
    pub(super) fn planned(record: &Record, device: Option<File>) -> Option<Self> {
        record.plan.root_disk()?;
        Some(Self::Planned {
            plan: Box::new(record.plan.clone()),
            rootfs: record.rootfs.clone(),
            device,
        })
    }

    /// The disk that was taken from `rootfs` when its container was made.
    pub(super) fn left(rootfs: PathBuf) -> Self {
        Self::Left { rootfs }
    }
}

impl Resource for RootDisk {
    /// Takes the device from the host. What boots is copied first: its file system must not be in
    /// use any more.
    fn prepare(&mut self, files: &mut Files) -> Result<(), ResourceError> {
        let Self::Planned {
            plan,
            rootfs,
            device,
        } = self
        else {
            return Ok(());
        };
        let Some(planned) = plan.root_disk() else {
            return Ok(());
        };
        copy_into_memory(files, plan)?;
        let device = device.take().ok_or(RootDiskError::NotOpened)?;
        let (image, unmounted) = mount::take(rootfs, device, planned.read_only)?;
        let disk = BlockDevice {
            name: planned.device.clone(),
            image,
            read_only: planned.read_only,
        };
        files.blocks.insert(0, disk);
        *self = Self::Unmounted(unmounted);
        Ok(())
    }

    /// All is as it was before, if this process has taken it. That it could not be put back is
    /// reported: no reason to keep a container that was not made.
    fn undo(&mut self) -> Result<(), ResourceError> {
        match self {
            Self::Planned { .. } => {}
            Self::Unmounted(unmounted) => {
                if let Err(error) = unmounted.remount() {
                    exit::warn(&format!("warning: {}", exit::chain(&error)));
                }
            }
            Self::Left { rootfs } => mount::clear(rootfs)?,
        }
        Ok(())
    }
}

/// Puts copies in place of what boots.
fn copy_into_memory(files: &mut Files, plan: &Plan) -> Result<(), RootDiskError> {
    let copy = |file: &File, path: &Path, max: u64| {
        sealed_copy(file, max).map_err(|source| match source.kind() {
            ErrorKind::FileTooLarge => RootDiskError::TooLarge {
                path: path.to_owned(),
                max,
            },
            _ => RootDiskError::Copy {
                path: path.to_owned(),
                source,
            },
        })
    };
    files.kernel = copy(&files.kernel, &plan.kernel, MAX_KERNEL)?;
    if let (Some(file), Some(path)) = (&files.initrd, &plan.initrd) {
        files.initrd = Some(copy(file, path, plan.memory)?);
    }
    Ok(())
}
