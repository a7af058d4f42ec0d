//! The boot protocols that there are: the one list of them.

use super::abi::BootAbi;
use super::bzimage::BzImage;
use super::hermit::Hermit;
use super::linux::Linux64;
use super::multiboot::Multiboot1;
use super::program::Program;
use super::protocol::{BootProtocol, KernelFile};
use super::pvh::Pvh;
use super::solo5::Solo5;
use crate::error::KernelError;

/// How a kernel is booted, with what belongs to that way alone.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Protocol {
    Linux64(Linux64),
    BzImage(BzImage),
    Pvh(Pvh),
    Multiboot1(Multiboot1),
    Hermit(Hermit),
    Solo5(Solo5),
}

type Found = Result<Option<(Program, Protocol)>, KernelError>;

impl Protocol {
    /// That of `kernel`. The first that fits wins. The order matters: an image may carry the
    /// marks of several, and Solo5's and Hermit's must not be taken for something else.
    pub(super) fn probe(kernel: &KernelFile<'_>) -> Found {
        fn by<P: BootProtocol>(kernel: &KernelFile<'_>, wrap: fn(P) -> Protocol) -> Found {
            let found = P::probe(kernel)?;
            Ok(found.map(|(program, protocol)| (program, wrap(protocol))))
        }
        let by_note: [&dyn Fn() -> Found; 3] = [
            &|| by(kernel, Protocol::Solo5),
            &|| by(kernel, Protocol::Hermit),
            &|| by(kernel, Protocol::Pvh),
        ];
        let by_header: [&dyn Fn() -> Found; 3] = [
            &|| by(kernel, Protocol::Multiboot1),
            &|| by(kernel, Protocol::Linux64),
            &|| by(kernel, Protocol::BzImage),
        ];
        // Solo5's kernels for virtio boot by Multiboot, whatever notes they carry.
        let has_note = !Solo5::is_for_virtio(kernel);
        let by_note = by_note.into_iter().filter(|_| has_note);
        let mut found = by_note.chain(by_header).map(|probe| probe());
        found.find_map(Result::transpose).transpose()
    }

    /// That of a kernel of which no more is known than how it is entered.
    pub(super) fn synthetic(abi: BootAbi) -> Protocol {
        match abi {
            BootAbi::Linux64 => Protocol::Linux64(Linux64),
            BootAbi::BzImage => Protocol::BzImage(BzImage::default()),
            BootAbi::Pvh => Protocol::Pvh(Pvh),
            BootAbi::Multiboot1 => Protocol::Multiboot1(Multiboot1),
            BootAbi::Hermit => Protocol::Hermit(Hermit::default()),
            BootAbi::Solo5 => Protocol::Solo5(Solo5::default()),
        }
    }

    pub(super) fn get(&self) -> &dyn BootProtocol {
        match self {
            Protocol::Linux64(protocol) => protocol,
            Protocol::BzImage(protocol) => protocol,
            Protocol::Pvh(protocol) => protocol,
            Protocol::Multiboot1(protocol) => protocol,
            Protocol::Hermit(protocol) => protocol,
            Protocol::Solo5(protocol) => protocol,
        }
    }

    pub(super) fn get_mut(&mut self) -> &mut dyn BootProtocol {
        match self {
            Protocol::Linux64(protocol) => protocol,
            Protocol::BzImage(protocol) => protocol,
            Protocol::Pvh(protocol) => protocol,
            Protocol::Multiboot1(protocol) => protocol,
            Protocol::Hermit(protocol) => protocol,
            Protocol::Solo5(protocol) => protocol,
        }
    }
}

impl BootAbi {
    /// Whether a kernel entered in this way finds virtio devices: those that call their monitor
    /// know of none.
    pub fn has_virtio(self) -> bool {
        Protocol::synthetic(self).get().has_virtio()
    }

    /// Whether a kernel entered in this way can find the other processors.
    pub fn uses_several_vcpus(self) -> bool {
        Protocol::synthetic(self).get().uses_several_vcpus()
    }

    /// Whether a kernel entered in this way declares the devices that it needs
    /// ([`KernelImage::declared`](super::KernelImage::declared)).
    pub fn declares_devices(self) -> bool {
        Protocol::synthetic(self).get().declares_devices()
    }

    /// Whether kernels entered in this way were built for a PC with a PCI bus, and look for
    /// devices there.
    pub fn expects_pci(self) -> bool {
        Protocol::synthetic(self).get().expects_pci()
    }
}
