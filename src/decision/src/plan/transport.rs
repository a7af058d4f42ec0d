//! How a guest finds its virtio devices.

use crate::abi::AbiTraits;
use crate::facts::{Facts, Source, Sourced};
use guest::{Root, VirtioBus};
use vmm::{BootAbi, Transport};

/// virtio devices that are asked for, of a kernel that calls its monitor.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "{origin} asks for virtio devices, which a kernel of the ABI {abi} does not know: remove it"
)]
pub struct NoVirtio {
    /// What asks for them.
    pub origin: Source,
    /// How the kernel is entered.
    pub abi: BootAbi,
}

/// The transport that is asked for, or else the one that guests of this kind look for; none for
/// kernels that call their monitor.
///
/// # Errors
/// [`NoVirtio`], for one that is asked for and is of no use.
pub(super) fn choose(
    facts: &Facts,
    abi: BootAbi,
    root: Root,
) -> Result<Option<Transport>, NoVirtio> {
    let asked = facts.guest_config.virtio.clone();
    if !abi.has_virtio() {
        return match asked {
            Some(Sourced { origin, .. }) => Err(NoVirtio { origin, abi }),
            None => Ok(None),
        };
    }
    if let Some(Sourced { value, .. }) = asked {
        return Ok(Some(value));
    }
    let bus = (facts.family_traits().virtio_bus)(root);
    Ok(Some(match (bus, AbiTraits::of(abi).transport) {
        // Whatever it was built for, it has this driver alone.
        (VirtioBus::PciModern, _) => Transport::PciModern,
        (_, Some(transport)) => transport,
        (VirtioBus::Pci, None) => Transport::Pci,
        (VirtioBus::MmioLegacy, None) => Transport::MmioLegacy,
        (VirtioBus::Mmio, None) => Transport::Mmio,
    }))
}
