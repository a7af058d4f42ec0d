//! Why a guest cannot have the pod's network, each as one line.

use std::io;

/// Why a guest cannot be given the pod's network.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The namespace cannot be opened or entered, or has no rtnetlink socket.
    #[error("cannot enter the network namespace: {0}")]
    Enter(#[from] io::Error),
    /// The kernel refuses one step.
    #[error("network namespace: cannot {what}: {source}")]
    Failed {
        /// The step, as a verb and its object.
        what: &'static str,
        /// What the kernel says.
        source: io::Error,
    },
    /// The namespace is the one that this process is in itself.
    #[error(
        "the network namespace is this host's own, which a guest cannot share: give the pod one of \
         its own"
    )]
    Own,
    /// The interface has no Ethernet addresses.
    #[error("the pod's interface {name} is no Ethernet, which is all that a guest can be given")]
    NotEthernet {
        /// The interface's name.
        name: String,
    },
    /// Another guest has all ports, or this one asks for all where another has some.
    #[error(
        "another unikernel has this pod's network: give each of them its ports, by annotation \
         runu.dev/ports.<container>, or this one none, by runu.dev/network.<container>: none"
    )]
    Taken,
    /// Another guest has some of the ports.
    #[error(
        "another unikernel of this pod has {theirs}, this one asks for {asked}: give each port to \
         one"
    )]
    Overlap {
        /// This guest's ports, as `80/tcp,53/udp`.
        asked: String,
        /// The other guest's.
        theirs: String,
    },
}

impl Error {
    /// Makes an error of the kernel's into [`Error::Failed`]; `what` is a verb and its object.
    pub(crate) fn doing(what: &'static str) -> impl FnOnce(io::Error) -> Self {
        move |source| Self::Failed { what, source }
    }
}
