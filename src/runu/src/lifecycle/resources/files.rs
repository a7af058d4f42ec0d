//! The open files that a monitor is made of, from those that were judged.

use std::fs::File;
use std::io::ErrorKind;
use std::os::fd::AsRawFd;
use std::os::unix::fs::{FileTypeExt, OpenOptionsExt};
use std::path::Path;

use nix::libc;

use crate::lifecycle::error::Error;
use crate::lifecycle::request::Request;
use crate::lifecycle::resources::root_disk::{self, Taken};
use crate::lifecycle::resources::virtiofsd::Virtiofsd;
use crate::lifecycle::store::entry::Entry;
use decision::facts;
use decision::plan::PlannedBlock;
use vmm::{BlockDevice, Files, MAX_KERNEL, sealed_copy};

/// What a monitor gets, and what there is beside it.
pub(in crate::lifecycle) struct Opened {
    pub files: Files,
    pub server: Option<Virtiofsd>,
    /// The rootfs, if it was taken from the host: to be put back where there will be no monitor.
    pub taken: Option<Taken>,
}

/// Opens what the monitor needs, of what was `judged`. Where the guest's disk is the rootfs's own
/// device, that is taken from the host last of all, when nothing has the rootfs in use any more.
///
/// # Errors
/// What cannot be opened, or not so; nothing is changed then.
pub(in crate::lifecycle) fn open(
    request: &Request,
    entry: &Entry,
    judged: facts::Files,
    kvm: File,
) -> Result<Opened, Error> {
    let kernel = judged.kernel.ok_or_else(|| Error::Create {
        id: request.args.id.clone(),
        why: "the plan has a kernel but no file".to_owned(),
    })?;
    let root_disk = request.plan.root_disk();
    let others = request.plan.blocks.iter().filter(|b| !b.is_root_disk());
    let others = others.zip(&judged.blocks);
    let blocks = others.map(|(planned, file)| block(request, planned, file.as_ref()));
    let mut files = Files {
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
    };
    let failed = |why| Error::Create {
        id: request.args.id.clone(),
        why,
    };
    let server = server(request, entry, &mut files).map_err(failed)?;
    let Some(planned) = root_disk else {
        return Ok(Opened {
            files,
            server,
            taken: None,
        });
    };
    into_memory(&mut files, request).map_err(failed)?;
    let device = judged
        .root_disk
        .ok_or_else(|| failed("its rootfs's device was not opened".to_owned()))?;
    let rootfs = request.rootfs();
    let (image, taken) = root_disk::take(&rootfs, device, planned.read_only).map_err(failed)?;
    let disk = BlockDevice {
        name: planned.device.clone(),
        image,
        read_only: planned.read_only,
    };
    files.blocks.insert(0, disk);
    Ok(Opened {
        files,
        server,
        taken: Some(taken),
    })
}

/// Who is to serve the guest's files beside the monitor, which gets the other end.
fn server(
    request: &Request,
    entry: &Entry,
    files: &mut Files,
) -> Result<Option<Virtiofsd>, String> {
    let (Some(program), Some(tag)) = (&request.virtiofsd, &request.plan.virtiofs) else {
        return Ok(None);
    };
    let config = serde_json::from_slice(&request.bundle.text).map_err(|e| e.to_string())?;
    let server = Virtiofsd::prepare(program.clone(), entry, &config)?;
    files
        .served
        .push(server.share(tag).map_err(|e| e.to_string())?);
    Ok(Some(server))
}

/// Puts copies in place of what boots, so that its file system is not in use any more.
fn into_memory(files: &mut Files, request: &Request) -> Result<(), String> {
    let copy = |file: &File, path: &Path, max: u64| {
        sealed_copy(file, max).map_err(|e| match e.kind() {
            ErrorKind::FileTooLarge => format!(
                "{} is copied into memory, since its file system is the guest's, and has more than {max} bytes: make it smaller",
                path.display()
            ),
            _ => format!("{}: {e}", path.display()),
        })
    };
    let plan = &request.plan;
    files.kernel = copy(&files.kernel, &plan.kernel, MAX_KERNEL)?;
    if let (Some(file), Some(path)) = (&files.initrd, &plan.initrd) {
        files.initrd = Some(copy(file, path, plan.memory)?);
    }
    Ok(())
}

/// The block device's file, which was judged through a descriptor for reading only.
fn block(
    request: &Request,
    planned: &PlannedBlock,
    file: Option<&File>,
) -> Result<BlockDevice, Error> {
    let failed = |why: String| Error::Create {
        id: request.args.id.clone(),
        why: format!("block device's image {}: {why}", planned.path.display()),
    };
    let file = file.ok_or_else(|| failed("it was not opened".to_owned()))?;
    let metadata = file.metadata().map_err(|e| failed(e.to_string()))?;
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
            ErrorKind::ResourceBusy => failed(
                "the host has it mounted, or somebody else writes to it: give it to the guest \
                 read-only, or to nobody else"
                    .to_owned(),
            ),
            _ => failed(e.to_string()),
        })?;
    Ok(BlockDevice {
        name: planned.device.clone(),
        image,
        read_only: planned.read_only,
    })
}
