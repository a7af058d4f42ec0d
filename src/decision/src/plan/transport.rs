//! How a guest finds its virtio devices.

use crate::abi::AbiTraits;
use crate::facts::{Facts, Fault, Sourced};
use guest::{Root, VirtioBus};
use vmm::{BootAbi, Transport};

/// The transport that is asked for, or else the one that guests of this kind look for; none for
/// kernels that call their monitor.
pub(super) fn choose(facts: &Facts, abi: BootAbi, root: Root) -> Result<Option<Transport>, Fault> {
    let asked = facts.guest_config.virtio.clone();
    if !abi.has_virtio() {
        return match asked {
            Some(Sourced { origin, .. }) => Err(Fault::NoVirtio { origin, abi }),
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
