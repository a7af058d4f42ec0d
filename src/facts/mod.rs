//! What can be seen of a bundle, gathered and not judged.

mod annotations;
mod container;
mod fault;
mod kernel;
pub mod quantity;

use std::fs::File;

use serde::Serialize;

pub use annotations::{Annotations, Mode, ModeChoice, PREFIX as ANNOTATION_PREFIX};
pub use container::{Container, Kind};
pub use fault::Fault;
pub use kernel::{Initrd, Kernel, KernelSource, State};

use crate::bundle::{self, Bundle};

/// Everything that a decision may depend on.
#[derive(Debug, Serialize)]
pub struct Facts {
    pub container: Container,
    pub annotations: Annotations,
    /// The kernel that an annotation names or the image holds.
    pub kernel: Option<Kernel>,
    pub initrd: Option<Initrd>,
    /// `process.args`.
    pub args: Vec<String>,
    /// `linux.resources.memory.limit`, in bytes.
    pub memory_limit: Option<u64>,
}

/// The files behind the facts, opened once: what was judged is what boots.
#[derive(Debug, Default)]
pub struct Files {
    pub kernel: Option<File>,
    pub initrd: Option<File>,
}

impl Facts {
    /// Looks at a bundle.
    ///
    /// # Errors
    /// Only where the bundle's rootfs cannot be looked at; what is wrong with an
    /// annotation or a kernel is a fact.
    pub fn gather(bundle: &Bundle) -> Result<(Self, Files), bundle::Error> {
        let config = &bundle.config;
        let container = Container::read(config);
        let annotations = Annotations::read(config.annotations(), container.name.as_deref());
        let mut files = Files::default();
        let (mut kernel, mut initrd) = (None, None);
        // A sandbox is runc's whatever it holds: its rootfs is not looked at.
        if container.kind != Kind::Sandbox {
            let rootfs = bundle.rootfs()?;
            (kernel, files.kernel) = kernel::find(&rootfs, &annotations);
            (initrd, files.initrd) = kernel::find_initrd(&rootfs, &annotations, kernel.as_ref());
        }
        let facts = Self {
            container,
            annotations,
            kernel,
            initrd,
            args: config.args().to_vec(),
            memory_limit: config.memory_limit(),
        };
        Ok((facts, files))
    }

    /// Whether anything here looks like a unikernel, well-formed or not.
    pub fn has_sign(&self) -> bool {
        self.kernel.is_some()
            || self
                .annotations
                .mode
                .as_ref()
                .is_some_and(|m| m.value == Mode::Unikernel)
            || self
                .annotations
                .faults
                .iter()
                .any(Fault::is_about_the_choice)
    }
}
