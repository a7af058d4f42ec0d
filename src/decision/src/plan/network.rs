//! Whether a guest is to have its pod's network.

use serde::{Deserialize, Serialize};

use crate::abi::{AbiTraits, Devices};
use crate::facts::{Facts, Source};
use net::Ports;
use vmm::{DeviceKind, KernelImage};

/// A guest's place in the pod's network. Whether there is one shows at `start`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PlannedNet {
    /// The kernel's own name for the device.
    pub device: String,
    /// Whether the guest cannot start without it.
    pub required: bool,
    /// Those of the pod's ports that are the guest's; `None`: all that arrives is.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ports: Option<Ports>,
}

/// A network that a guest cannot have, or cannot do without.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum NetworkFault {
    /// Ports of none.
    #[error("{origin} gives ports to a guest that has no network: remove it")]
    PortsWithoutNetwork {
        /// What gives them.
        origin: Source,
    },
    /// The kernel needs what its guest shall not have.
    #[error("the kernel needs network device {device}, and {origin} says that it shall have none")]
    NoNet {
        /// The kernel's own name for it.
        device: String,
        /// What says that there is none.
        origin: Source,
    },
    /// A pod has one network device.
    #[error("the kernel needs {count} network devices, a pod has one: use a kernel with one")]
    SeveralNets {
        /// How many the kernel declares.
        count: usize,
    },
    /// The host's own network namespace.
    #[error(
        "the container has the host's own network, which a guest cannot share: run the pod without hostNetwork, or give the guest none by annotation runu.dev/network: none"
    )]
    HostNetwork,
}

/// The name of a device that its guest has no name for.
const NAME: &str = "net0";

/// Plans the guest's network device. A kernel that has no driver for one gets none.
///
/// # Errors
/// For a kernel that needs one and shall have none, or several; for the host's own network;
/// for ports of none.
pub(super) fn plan(facts: &Facts, image: &KernelImage) -> Result<Option<PlannedNet>, NetworkFault> {
    let declared: Vec<_> = image.declared(DeviceKind::Net).collect();
    let device = match (AbiTraits::of(image.abi()).devices, &declared[..]) {
        (Devices::None, _) | (Devices::Declared, []) => return without(facts),
        (Devices::Virtio, []) => NAME.to_owned(),
        (_, [device]) => device.name.clone(),
        (_, several) => {
            return Err(NetworkFault::SeveralNets {
                count: several.len(),
            });
        }
    };
    let required = !declared.is_empty();
    if let Some(setting) = &facts.guest_config.network {
        let origin = setting.origin.clone();
        return match required {
            true => Err(NetworkFault::NoNet { device, origin }),
            false => without(facts),
        };
    }
    if facts.host_network {
        return Err(NetworkFault::HostNetwork);
    }
    let ports = facts
        .guest_config
        .ports
        .clone()
        .map(|setting| setting.value);
    Ok(Some(PlannedNet {
        device,
        required,
        ports,
    }))
}

fn without(facts: &Facts) -> Result<Option<PlannedNet>, NetworkFault> {
    match &facts.guest_config.ports {
        Some(setting) => Err(NetworkFault::PortsWithoutNetwork {
            origin: setting.origin.clone(),
        }),
        None => Ok(None),
    }
}
