//! What each boot ABI means to a plan, beyond what the monitor says of it: one row an ABI.

use guest::Family;
use vmm::{BootAbi, Transport};

/// One ABI's row.
#[derive(Debug)]
pub(crate) struct AbiTraits {
    /// The family that alone boots that way.
    pub family: Option<Family>,
    /// The devices that a kernel entered that way knows.
    pub devices: Devices,
    /// The transport that its kernels were built for, whatever their family.
    pub transport: Option<Transport>,
    /// Whether the command line begins with the kernel's name.
    pub names_kernel: bool,
}

/// What a kernel's devices are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Devices {
    /// virtio's, as many as it is given.
    Virtio,
    /// The block and network devices that it declares by name, by calls to the monitor.
    Declared,
    /// None.
    None,
}

impl AbiTraits {
    pub(crate) fn of(abi: BootAbi) -> Self {
        let virtio = Self {
            family: None,
            devices: Devices::Virtio,
            transport: None,
            names_kernel: false,
        };
        match abi {
            BootAbi::Linux64 | BootAbi::Pvh => virtio,
            BootAbi::BzImage => Self {
                family: Some(Family::Linux),
                transport: Some(Transport::Pci),
                ..virtio
            },
            // Built for a PC with a PCI bus.
            BootAbi::Multiboot1 => Self {
                transport: Some(Transport::Pci),
                names_kernel: true,
                ..virtio
            },
            BootAbi::Hermit => Self {
                family: Some(Family::Hermit),
                devices: Devices::None,
                ..virtio
            },
            BootAbi::Solo5 => Self {
                family: Some(Family::Solo5),
                devices: Devices::Declared,
                ..virtio
            },
        }
    }
}
