//! How a guest finds its virtio devices.

use crate::facts::{Facts, Fault, Said};
use guest::{Family, Root};
use vmm::{BootAbi, Transport};

/// The transport that is wished for, or else the one that guests of this kind look for; none for
/// kernels that call their monitor.
///
/// Kernels by Multiboot were built for a PC with a PCI bus. Unikraft's for Firecracker take
/// registers in memory, and find them on their command line; Linux, Nanos and OSv take both, and
/// are interrupted by messages over PCI. Hermit's passes over a function that has the legacy
/// interface too (hermit-os/kernel, src/drivers/virtio/transport/pci.rs). Unikraft's driver for 9P
/// knows devices of before virtio 1.0 alone: it never takes VIRTIO_F_VERSION_1
/// (drivers/virtio/9p/virtio_9p.c), and its other drivers take both.
pub(super) fn choose(facts: &Facts, abi: BootAbi, root: Root) -> Result<Option<Transport>, Fault> {
    let wish = facts.wishes.virtio.clone();
    if !abi.has_virtio() {
        return match wish {
            Some(Said { by, .. }) => Err(Fault::NoVirtio { by, abi }),
            None => Ok(None),
        };
    }
    if let Some(Said { value, .. }) = wish {
        return Ok(Some(value));
    }
    Ok(Some(match facts.family() {
        Some(Family::Hermit) => Transport::PciModern,
        _ if abi.expects_pci() => Transport::Pci,
        Some(Family::Linux | Family::Nanos | Family::Osv) => Transport::Pci,
        Some(Family::Unikraft) if root == Root::Share => Transport::MmioLegacy,
        _ => Transport::Mmio,
    }))
}
