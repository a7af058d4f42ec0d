//! The kernel and the initrd that a bundle holds.

use std::fs::File;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use super::{Annotations, Fault};
use crate::bundle::{FileError, Rootfs};
use crate::vmm::{BootAbi, KernelImage};

/// Where kraftkit's images have their kernel and initrd.
///
/// Source: kraftkit, `oci` package, well-known paths.
const IMAGE_KERNEL: &str = "/unikraft/bin/kernel";
const IMAGE_INITRD: &str = "/unikraft/bin/initrd";

/// Who named the kernel.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum KernelSource {
    /// `runu.dev/kernel`.
    Annotation,
    /// It lies at `/unikraft/bin/kernel` in the image.
    Image,
}

/// The kernel file.
#[derive(Debug, Serialize)]
pub struct Kernel {
    /// As the container sees it.
    pub path: PathBuf,
    pub source: KernelSource,
    #[serde(flatten)]
    pub state: State,
}

/// What the file turned out to be.
#[derive(Debug, Serialize)]
#[serde(rename_all = "lowercase", untagged)]
pub enum State {
    Bootable {
        abi: BootAbi,
        /// Bytes of the file.
        size: u64,
        #[serde(skip)]
        image: KernelImage,
    },
    Unusable {
        fault: Fault,
    },
}

/// The initrd file.
#[derive(Debug, Serialize)]
pub struct Initrd {
    /// As the container sees it.
    pub path: PathBuf,
    /// Bytes of the file, 0 where there is a fault.
    pub size: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub fault: Option<Fault>,
}

/// Finds the kernel: the annotation's, or the image's.
pub fn find(rootfs: &Rootfs, annotations: &Annotations) -> (Option<Kernel>, Option<File>) {
    let (path, source) = match &annotations.kernel {
        Some(path) => (path.as_path(), KernelSource::Annotation),
        None => (Path::new(IMAGE_KERNEL), KernelSource::Image),
    };
    let (state, file) = match rootfs.open_file(path) {
        Err(FileError::Missing) if source == KernelSource::Image => return (None, None),
        Err(why) => {
            let fault = Fault::KernelFile {
                path: path.to_owned(),
                why,
            };
            (State::Unusable { fault }, None)
        }
        Ok(file) => match KernelImage::probe(&file) {
            Ok(image) => {
                let state = State::Bootable {
                    abi: image.abi,
                    size: image.file_size,
                    image,
                };
                (state, Some(file))
            }
            Err(why) => {
                let fault = Fault::kernel(path.to_owned(), &why);
                (State::Unusable { fault }, None)
            }
        },
    };
    (
        Some(Kernel {
            path: path.to_owned(),
            source,
            state,
        }),
        file,
    )
}

/// Finds the initrd: the annotation's, or the one beside the image's kernel.
pub fn find_initrd(
    rootfs: &Rootfs,
    annotations: &Annotations,
    kernel: Option<&Kernel>,
) -> (Option<Initrd>, Option<File>) {
    let beside = kernel.is_some_and(|k| k.source == KernelSource::Image);
    let path = match &annotations.initrd {
        Some(path) if kernel.is_some() => path.as_path(),
        None if beside => Path::new(IMAGE_INITRD),
        _ => return (None, None),
    };
    let opened = rootfs.open_file(path).and_then(|file| {
        let size = file
            .metadata()
            .map_err(|e| FileError::Io(e.to_string()))?
            .len();
        Ok((file, size))
    });
    let path = path.to_owned();
    match opened {
        Ok((file, size)) => (
            Some(Initrd {
                path,
                size,
                fault: None,
            }),
            Some(file),
        ),
        Err(FileError::Missing) if annotations.initrd.is_none() => (None, None),
        Err(why) => {
            let fault = Some(Fault::InitrdFile {
                path: path.clone(),
                why,
            });
            (
                Some(Initrd {
                    path,
                    size: 0,
                    fault,
                }),
                None,
            )
        }
    }
}
