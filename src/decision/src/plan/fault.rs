//! Why facts make no plan.

use super::devices::DeviceFault;
use super::network::NetworkFault;
use super::resources::ResourceFault;
use super::root::RootFault;
use super::transport::NoVirtio;
use super::vsock::NoVsock;
use crate::facts::{ConfigFault, KernelFault};

/// What keeps a bundle from running as a unikernel: a thing, its fault, and where it helps the
/// cure, as one line.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Fault {
    /// A setting that is not understood.
    #[error(transparent)]
    Config(#[from] ConfigFault),
    /// There is nothing to boot.
    #[error(
        "no kernel: set annotation runu.dev/kernel, put one at /unikraft/bin/kernel in the image, or say runu.dev/mode.<container>: container for a sidecar"
    )]
    NoKernel,
    /// The kernel or its initrd cannot be used.
    #[error(transparent)]
    Kernel(#[from] KernelFault),
    /// The root file system cannot be there.
    #[error(transparent)]
    Root(#[from] RootFault),
    /// Files and block devices do not go together.
    #[error(transparent)]
    Device(#[from] DeviceFault),
    /// virtio devices that nobody would find.
    #[error(transparent)]
    Virtio(#[from] NoVirtio),
    /// Sockets that nobody would find.
    #[error(transparent)]
    Vsock(#[from] NoVsock),
    /// No such network.
    #[error(transparent)]
    Network(#[from] NetworkFault),
    /// Too much memory, or too little, or too many vCPUs.
    #[error(transparent)]
    Resources(#[from] ResourceFault),
    /// The family's guests cannot be given these arguments or variables.
    #[error("the guest's command line: {0}")]
    CommandLine(#[source] guest::Error),
}
