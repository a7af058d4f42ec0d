//! Why a guest cannot have the network that it is to have.

use std::io;

use net::Ports;

/// One line each, with the fault and the cure.
#[derive(Debug, thiserror::Error)]
pub(in crate::lifecycle) enum NetworkError {
    #[error(
        "the kernel needs network device {device}, and its network namespace has no interface that it could have: give the pod a network"
    )]
    Required { device: String },
    #[error(
        "it is to have ports {ports}, and its network namespace has no interface: give the pod a network, or remove annotation runu.dev/ports"
    )]
    PortsWithout { ports: Ports },
    #[error("/etc/resolv.conf")]
    ResolvConf(#[source] io::Error),
    #[error("loopback interface")]
    Loopback(#[source] io::Error),
    #[error(transparent)]
    Net(#[from] net::Error),
}
