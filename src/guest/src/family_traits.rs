//! What a family's guests can do: the columns of the table in [`crate::families`].

use crate::boot_params::BootParams;
use crate::error::Error;
use crate::family::Family;
use crate::kernel_traits::KernelTraits;
use crate::root::{Root, TAG};
use crate::sections::Sections;

/// One family's entry: all that a plan needs to know of its guests.
#[derive(Debug)]
pub struct FamilyTraits {
    /// Whose entry it is.
    pub family: Family,
    /// Every name that is understood; the family is shown by the first.
    pub names: &'static [&'static str],
    /// Whether a guest can have its root by 9P.
    pub p9: fn(Option<&KernelTraits>) -> Support,
    /// Whether it can have it by virtio-fs.
    pub virtiofs: fn(Option<&KernelTraits>) -> Support,
    /// The tag by which it looks for a tree that virtiofsd serves.
    pub virtiofs_tag: &'static str,
    /// Whether it mounts its root from its first block device.
    pub block_root: Support,
    /// Whether the one block device that its kernel declares on Solo5's interface may be the
    /// rootfs's own.
    pub declared_root: bool,
    /// Whether it mounts nothing, so that nobody has to tell it a mount point.
    pub mounts_nothing: bool,
    /// Where it looks for virtio devices, by where its root is.
    pub virtio_bus: fn(Root) -> VirtioBus,
    /// Whether it has a virtio-vsock driver.
    pub has_vsock: bool,
    /// Whether it takes the first word of a Multiboot command line for the kernel's name.
    pub drops_kernel_name: bool,
    /// What a kernel's sections show of it; `None` where they are another's.
    pub(crate) recognize: fn(&Sections) -> Option<KernelTraits>,
    /// Its command line.
    pub(crate) command_line: fn(Option<&KernelTraits>, &BootParams) -> Result<String, Error>,
}

/// Whether a guest can have its root in one of the ways.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Support {
    /// It can, and looks there without being asked to.
    Yes,
    /// Nobody knows: it may be asked for.
    Unknown,
    /// No guest of the family can.
    No,
    /// This kernel was built without it; what to do about that.
    NotBuilt(&'static str),
}

/// Where a guest looks for its virtio devices (virtio 1.2, sections 4.1 and 4.2).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum VirtioBus {
    /// Registers in memory.
    Mmio,
    /// The same, of before virtio 1.0.
    MmioLegacy,
    /// PCI, by either interface.
    Pci,
    /// PCI, where it passes over a function that has the legacy interface too.
    PciModern,
}

impl FamilyTraits {
    /// An entry of a family of which nothing else is known.
    pub(crate) const fn new(
        family: Family,
        names: &'static [&'static str],
        command_line: fn(Option<&KernelTraits>, &BootParams) -> Result<String, Error>,
    ) -> Self {
        Self {
            family,
            names,
            p9: |_| Support::Unknown,
            virtiofs: |_| Support::Unknown,
            virtiofs_tag: TAG,
            block_root: Support::Unknown,
            declared_root: true,
            mounts_nothing: false,
            virtio_bus: |_| VirtioBus::Mmio,
            has_vsock: true,
            drops_kernel_name: false,
            recognize: |_| None,
            command_line,
        }
    }
}
