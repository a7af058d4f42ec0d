//! The open files that a monitor is made of, from those that were judged.

use std::fs::File;
use std::io::{self, ErrorKind};
use std::os::fd::AsRawFd;
use std::os::unix::fs::{FileTypeExt, OpenOptionsExt};
use std::path::PathBuf;

use nix::libc;

use decision::facts;
use decision::plan::{Plan, PlannedBlock};
use vmm::{BlockDevice, Files};

/// Why a file cannot be the guest's.
#[derive(Debug, thiserror::Error)]
pub(in crate::lifecycle) enum BootFileError {
    #[error("the plan has a kernel but no file")]
    NoKernel,
    #[error("block device's image {}: it was not opened", path.display())]
    NotOpened { path: PathBuf },
    #[error(
        "block device's image {}: the host has it mounted, or somebody else writes to it: give it to the guest read-only, or to nobody else",
        path.display()
    )]
    InUse { path: PathBuf },
    #[error("block device's image {}", path.display())]
    Image { path: PathBuf, source: io::Error },
}

/// Opens what the monitor boots and its disks, of what was `judged`; the rootfs's own device is
/// not among them.
///
/// # Errors
/// What cannot be opened, or not so.
pub(in crate::lifecycle) fn open(
    plan: &Plan,
    judged: facts::Files,
    kvm: File,
) -> Result<Files, BootFileError> {
    let kernel = judged.kernel.ok_or(BootFileError::NoKernel)?;
    let others = plan.blocks.iter().filter(|b| !b.is_root_disk());
    let others = others.zip(&judged.blocks);
    let blocks = others.map(|(planned, file)| block(planned, file.as_ref()));
    Ok(Files {
        kvm,
        kernel,
        initrd: judged.initrd,
        // There is none yet: see the monitor.
        root: None,
        blocks: blocks.collect::<Result<_, _>>()?,
        // Nor a tree to share, by whomever, nor one with a socket in it.
        shares: Vec::new(),
        served: Vec::new(),
        vsock: None,
    })
}

/// The block device's file, which was judged through a descriptor for reading only.
fn block(planned: &PlannedBlock, file: Option<&File>) -> Result<BlockDevice, BootFileError> {
    let path = || planned.path.clone();
    let failed = |source| BootFileError::Image {
        path: path(),
        source,
    };
    let file = file.ok_or_else(|| BootFileError::NotOpened { path: path() })?;
    let metadata = file.metadata().map_err(failed)?;
    let is_device = metadata.file_type().is_block_device();
    // Nobody else writes to a device that this guest writes to, nor has it mounted (open(2)).
    let exclusive = match is_device && !planned.read_only {
        true => libc::O_EXCL,
        false => 0,
    };
    // The very same file, whatever lies at its path by now (proc_pid_fd(5)).
    let image = File::options()
        .read(true)
        .write(!planned.read_only)
        .custom_flags(exclusive)
        .open(format!("/proc/self/fd/{}", file.as_raw_fd()))
        .map_err(|e| match e.kind() {
            ErrorKind::ResourceBusy => BootFileError::InUse { path: path() },
            _ => failed(e),
        })?;
    Ok(BlockDevice {
        name: planned.device.clone(),
        image,
        read_only: planned.read_only,
    })
}
