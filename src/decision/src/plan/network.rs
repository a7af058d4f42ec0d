//! Whether a guest is to have its pod's network.

use serde::{Deserialize, Serialize};

use crate::abi::{AbiTraits, Devices};
use crate::facts::{Facts, Fault};
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

/// The name of a device that its guest has no name for.
const NAME: &str = "net0";

/// Plans the guest's network device. A kernel that has no driver for one gets none.
///
/// # Errors
/// For a kernel that needs one and shall have none, or several; for the host's own network;
/// for ports of none.
pub(super) fn plan(facts: &Facts, image: &KernelImage) -> Result<Option<PlannedNet>, Fault> {
    let declared: Vec<_> = image.manifest.of(DeviceKind::Net).collect();
    let device = match (AbiTraits::of(image.abi).devices, &declared[..]) {
        (Devices::None, _) | (Devices::Declared, []) => return without(facts),
        (Devices::Virtio, []) => NAME.to_owned(),
        (_, [device]) => device.name.clone(),
        (_, several) => {
            return Err(Fault::SeveralNets {
                count: several.len(),
            });
        }
    };
    let required = !declared.is_empty();
    if let Some(setting) = &facts.guest_config.network {
        let why = format!("{} says that it shall have none", setting.origin);
        return match required {
            true => Err(Fault::NoNet { device, why }),
            false => without(facts),
        };
    }
    if facts.host_network {
        return Err(Fault::HostNetwork);
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

fn without(facts: &Facts) -> Result<Option<PlannedNet>, Fault> {
    match &facts.guest_config.ports {
        Some(setting) => Err(Fault::PortsWithoutNetwork {
            origin: setting.origin.clone(),
        }),
        None => Ok(None),
    }
}
