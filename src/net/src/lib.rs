//! A guest's place in a network namespace: the pod's interface, and a tap that has its packets.
//!
//! It knows nothing of containers: the caller names a namespace and an owner.
//!
//! | module | what it knows |
//! |---|---|
//! | `namespace` | a network namespace, and work that is done in it |
//! | `interface` | the pod's interface: addresses, routes, gateways |
//! | `tap` | the guest's end of the network |
//! | `attach` | the way from one to the other, made and removed |
//! | `tc`, `label` | the qdiscs and filters that are that way, and whose they are |
//! | `ports`, `bpf` | which packets are whose, where several share an address |
//! | `resolver` | resolv.conf |
//! | `loopback` | the loopback interface |
//! | `netlink`, `link` | rtnetlink, one request at a time, and its lists of interfaces |
//! | `error` | why a guest cannot have the pod's network |

#![warn(missing_docs)]
// A test knows its numbers.
#![cfg_attr(
    test,
    allow(
        clippy::cast_possible_truncation,
        clippy::cast_possible_wrap,
        clippy::cast_sign_loss,
        clippy::cast_lossless,
        clippy::too_many_lines
    )
)]

mod attach;
mod bpf;
mod error;
mod interface;
mod label;
mod link;
mod loopback;
mod namespace;
mod netlink;
mod ports;
mod resolver;
mod tap;
mod tc;

pub use attach::{AttachOptions, Attached, attach, detach};
pub use error::Error;
pub use interface::{Interface, Route};
pub use loopback::take_loopback_up;
pub use namespace::Namespace;
pub use ports::{Ports, PortsError};
pub use resolver::Resolver;
pub use tap::Tap;
