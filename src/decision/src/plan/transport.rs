//! How a guest finds its virtio devices.

use crate::facts::{Facts, Fault, Sourced};
use guest::{Family, Root};
use vmm::{BootAbi, Transport};

/// The transport that is asked for, or else the one that guests of this kind look for; none for
/// kernels that call their monitor.
///
/// Kernels by Multiboot were built for a PC with a PCI bus. Unikraft's for Firecracker take
/// registers in memory, and find them on their command line; Linux, Nanos and OSv take both, and
/// are interrupted by messages over PCI. Hermit's passes over a function that has the legacy
/// interface too (hermit-os/kernel, src/drivers/virtio/transport/pci.rs). Unikraft's driver for 9P
/// knows devices of before virtio 1.0 alone: it never takes VIRTIO_F_VERSION_1
/// (drivers/virtio/9p/virtio_9p.c), and its other drivers take both.
pub(super) fn choose(facts: &Facts, abi: BootAbi, root: Root) -> Result<Option<Transport>, Fault> {
    let choice = facts.guest_config.virtio.clone();
    if matches!(abi, BootAbi::Solo5 | BootAbi::Hermit) {
        return match choice {
            Some(Sourced { origin, .. }) => Err(Fault::NoVirtio { origin, abi }),
            None => Ok(None),
        };
    }
    if let Some(Sourced { value, .. }) = choice {
        return Ok(Some(value));
    }
    Ok(Some(match (abi, facts.family()) {
        (_, Some(Family::Hermit)) => Transport::PciModern,
        (BootAbi::Multiboot1 | BootAbi::BzImage, _) => Transport::Pci,
        (_, Some(Family::Linux | Family::Nanos | Family::Osv)) => Transport::Pci,
        (_, Some(Family::Unikraft)) if root == Root::P9 => Transport::MmioLegacy,
        _ => Transport::Mmio,
    }))
}
