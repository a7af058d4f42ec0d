//! The kernel and the initrd that a bundle holds.

use std::fs::File;
use std::io::{self, Read};
use std::path::{Path, PathBuf};

use serde::Serialize;
use sha2::{Digest, Sha256};

use super::file_fault::KernelFault;
use super::guest_config::GuestConfig;
use super::source::{Source, Sourced};
use crate::abi::AbiTraits;
use bundle::{FileError, Rootfs};
use guest::KernelTraits;
use vmm::{self, BootAbi, KernelError, KernelImage};

/// Where kraftkit's images have their kernel and initrd.
///
/// Source: kraftkit, `oci` package, well-known paths.
const IMAGE_KERNEL: &str = "/unikraft/bin/kernel";
const IMAGE_INITRD: &str = "/unikraft/bin/initrd";

/// Where an image of runu's own artifact type has its initrd, if it has one.
const ARTIFACT_INITRD: &str = "/boot/initrd";

/// The only one that kernels are probed for so far, as OCI names it.
const ARCHITECTURE: &str = "amd64";

/// The kernel file.
#[derive(Debug, Serialize)]
pub struct Kernel {
    /// As the container sees it.
    pub path: PathBuf,
    /// Who named it.
    #[serde(rename = "by")]
    pub origin: Source,
    /// What it turned out to be.
    #[serde(flatten)]
    pub state: State,
}

/// What the file turned out to be.
#[derive(Debug, Serialize)]
#[serde(rename_all = "lowercase", untagged)]
pub enum State {
    /// One that boots.
    Bootable {
        /// How it is entered.
        abi: BootAbi,
        /// As OCI names it.
        architecture: &'static str,
        /// `gzip`, where the file is compressed.
        #[serde(skip_serializing_if = "Option::is_none")]
        compression: Option<&'static str>,
        /// Bytes of the file.
        size: u64,
        /// `sha256:…`; `None` where nobody asked.
        #[serde(skip_serializing_if = "Option::is_none")]
        digest: Option<String>,
        /// What family's it looks like.
        #[serde(rename = "mark", skip_serializing_if = "Option::is_none")]
        traits: Option<KernelTraits>,
        /// What the monitor read of it.
        #[serde(skip)]
        image: KernelImage,
    },
    /// Not a kernel, or none that runu can boot.
    Unusable {
        /// What is wrong with it.
        fault: KernelFault,
    },
}

/// The initrd file.
#[derive(Debug, Serialize)]
pub struct Initrd {
    /// As the container sees it.
    pub path: PathBuf,
    /// Who named it.
    #[serde(rename = "by")]
    pub origin: Source,
    /// Bytes of the file, 0 where there is a fault.
    pub size: u64,
    /// Why it cannot be used.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub fault: Option<KernelFault>,
}

/// What boots, of a kernel that is fit to.
#[derive(Debug, Default)]
pub(super) struct BootFiles {
    /// The file, or what was in it where it was compressed.
    pub kernel: Option<File>,
    /// The Hermit image that the kernel lay in.
    pub image: Option<File>,
}

/// Finds the kernel: the one that is named, or else the image's. Its digest costs a
/// reading of the whole file.
pub(super) fn find(
    rootfs: &Rootfs,
    guest_config: &GuestConfig,
    digest: bool,
) -> (Option<Kernel>, BootFiles) {
    let Sourced {
        value: path,
        origin,
    } = kernel_path(guest_config);
    let (state, boot_files) = match rootfs.open_file(&path) {
        Err(FileError::Missing) if origin == Source::Path => return (None, BootFiles::default()),
        Err(source) => {
            let path = path.clone();
            let fault = KernelFault::File { path, source };
            (State::Unusable { fault }, BootFiles::default())
        }
        Ok(file) => probe(file, &path, digest)
            .unwrap_or_else(|fault| (State::Unusable { fault }, BootFiles::default())),
    };
    (
        Some(Kernel {
            path,
            origin,
            state,
        }),
        boot_files,
    )
}

/// A kernel that was not looked for, as if it were there.
pub(super) fn synthetic(guest_config: &GuestConfig, abi: BootAbi) -> Kernel {
    let Sourced {
        value: path,
        origin,
    } = kernel_path(guest_config);
    let image = KernelImage::synthetic(abi);
    let state = State::Bootable {
        abi,
        architecture: ARCHITECTURE,
        compression: None,
        size: 0,
        digest: None,
        traits: None,
        image,
    };
    Kernel {
        path,
        origin,
        state,
    }
}

/// The kernel's path: the one that is named, or else the image's own.
fn kernel_path(guest_config: &GuestConfig) -> Sourced<PathBuf> {
    guest_config.kernel.clone().unwrap_or_else(|| Sourced {
        value: IMAGE_KERNEL.into(),
        origin: Source::Path,
    })
}

fn probe(file: File, path: &Path, digest: bool) -> Result<(State, BootFiles), KernelFault> {
    let bad_kernel = |source: KernelError| KernelFault::Format {
        path: path.to_owned(),
        source: source.into(),
    };
    let bad_file = |source: io::Error| KernelFault::File {
        path: path.to_owned(),
        source: source.into(),
    };
    let digest = digest
        .then(|| sha256(&file))
        .transpose()
        .map_err(bad_file)?;
    let size = file.metadata().map_err(bad_file)?.len();
    let unpacked = vmm::unpack(&file).map_err(bad_kernel)?;
    let compression = unpacked.is_some().then_some("gzip");
    let (kernel, hermit_image) = match unpacked {
        Some(unpacked) => (unpacked.kernel, unpacked.image),
        None => (file, None),
    };
    let image = KernelImage::probe(&kernel).map_err(bad_kernel)?;
    let state = State::Bootable {
        abi: image.abi(),
        architecture: ARCHITECTURE,
        compression,
        size,
        digest,
        traits: traits(&kernel, image.abi()),
        image,
    };
    let boot_files = BootFiles {
        kernel: Some(kernel),
        image: hermit_image,
    };
    Ok((state, boot_files))
}

/// What family's the kernel looks like; some ways of booting are one family's alone.
fn traits(kernel: &File, abi: BootAbi) -> Option<KernelTraits> {
    let AbiTraits {
        family,
        names_kernel,
        ..
    } = AbiTraits::of(abi);
    let mut traits = KernelTraits::of(kernel).or_else(|| family.map(KernelTraits::new))?;
    traits.drops_a_word = names_kernel && traits.family.traits().drops_kernel_name;
    Some(traits)
}

/// `sha256:…` of the file's content. Leaves the file's offset at its end, which no
/// reader of it minds: the monitor reads at offsets.
fn sha256(mut file: &File) -> io::Result<String> {
    let mut digest = Sha256::new();
    let mut part = vec![0; 1 << 16];
    loop {
        match file.read(&mut part)? {
            0 => break,
            read => digest.update(&part[..read]),
        }
    }
    let hex: String = digest
        .finalize()
        .iter()
        .map(|b| format!("{b:02x}"))
        .collect();
    Ok(format!("sha256:{hex}"))
}

/// Finds the initrd: the one that is named, or the one beside the image's kernel; or else
/// `image`, the Hermit image that the kernel lay in.
pub(super) fn find_initrd(
    rootfs: &Rootfs,
    guest_config: &GuestConfig,
    kernel: Option<&Kernel>,
    image: Option<File>,
) -> (Option<Initrd>, Option<File>) {
    let Some(kernel) = kernel else {
        return (None, None);
    };
    match (find_initrd_file(rootfs, guest_config, kernel), image) {
        ((None, None), Some(image)) => {
            let initrd = Initrd {
                path: kernel.path.clone(),
                origin: kernel.origin.clone(),
                size: image.metadata().map_or(0, |metadata| metadata.len()),
                fault: None,
            };
            (Some(initrd), Some(image))
        }
        (found, _) => found,
    }
}

fn find_initrd_file(
    rootfs: &Rootfs,
    guest_config: &GuestConfig,
    kernel: &Kernel,
) -> (Option<Initrd>, Option<File>) {
    let Sourced {
        value: path,
        origin,
    } = match &guest_config.initrd {
        Some(path) => path.clone(),
        None => match &kernel.origin {
            Source::Path => Sourced {
                value: IMAGE_INITRD.into(),
                origin: Source::Path,
            },
            Source::Image(what) => Sourced {
                value: ARTIFACT_INITRD.into(),
                origin: Source::Image(what.clone()),
            },
            _ => return (None, None),
        },
    };
    let is_optional = guest_config.initrd.is_none();
    let opened = rootfs.open_file(&path).and_then(|file| {
        let size = file.metadata().map_err(FileError::from)?.len();
        Ok((file, size))
    });
    let (file, size, fault) = match opened {
        Ok((file, size)) => (Some(file), size, None),
        Err(FileError::Missing) if is_optional => return (None, None),
        Err(source) => {
            let path = path.clone();
            (None, 0, Some(KernelFault::Initrd { path, source }))
        }
    };
    let initrd = Initrd {
        path,
        origin,
        size,
        fault,
    };
    (Some(initrd), file)
}
