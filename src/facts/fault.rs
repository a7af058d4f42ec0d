//! What can be wrong with a unikernel's bundle, each as one line.

use std::path::PathBuf;

use serde::{Serialize, Serializer};

use super::quantity::{QuantityError, display};
use crate::bundle::FileError;
use crate::vmm;

/// A thing, its fault, and where it helps the cure.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Fault {
    #[error("annotation {key}: unknown mode {value:?}: write auto, unikernel or container")]
    UnknownMode { key: String, value: String },
    #[error(
        "unknown annotation {key}: known are runu.dev/mode, mode.<container>, kernel, initrd, cmdline and memory"
    )]
    UnknownAnnotation { key: String },
    #[error("annotation {key} has a control character")]
    ControlCharacter { key: String },
    #[error("annotation {key} is empty: name a file of the image")]
    EmptyPath { key: String },
    #[error("annotation {key}: {value:?} {why}")]
    Memory {
        key: String,
        value: String,
        why: QuantityError,
    },
    #[error(
        "no kernel: set annotation runu.dev/kernel, put one at /unikraft/bin/kernel in the image, or say runu.dev/mode.<container>: container for a sidecar"
    )]
    NoKernel,
    #[error("kernel {}: {why}", path.display())]
    KernelFile { path: PathBuf, why: FileError },
    #[error("kernel {}: {why}", path.display())]
    Kernel { path: PathBuf, why: String },
    #[error("initrd {}: {why}", path.display())]
    InitrdFile { path: PathBuf, why: FileError },
    #[error(
        "annotation runu.dev/memory asks for {}, the container's memory limit of {} leaves {} beside the monitor",
        display(*asked), display(*limit), display(*left)
    )]
    OverLimit { asked: u64, limit: u64, left: u64 },
    #[error("{from} gives the guest {}: {why}", display(*memory))]
    DoesNotFit {
        from: &'static str,
        memory: u64,
        why: String,
    },
}

impl Fault {
    /// Whether the fault is in what says *that* this is a unikernel, rather than
    /// in how it would be run. The first kind stops an ordinary container too.
    pub fn is_about_the_choice(&self) -> bool {
        matches!(
            self,
            Self::UnknownMode { .. } | Self::UnknownAnnotation { .. }
        )
    }

    /// A kernel file that `vmm` cannot make sense of.
    pub fn kernel(path: PathBuf, why: &vmm::KernelError) -> Self {
        Self::Kernel {
            path,
            why: why.to_string(),
        }
    }
}

impl Serialize for Fault {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}
