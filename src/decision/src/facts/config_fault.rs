//! What can be wrong with a guest's settings: annotations, `vm`, `/urunc.json`, the image's own.

use serde::{Serialize, Serializer};

use super::quantity::QuantityError;
use super::source::Source;
use super::urunc_json::UruncJsonError;
use guest::{Family, Root};
use image::ImageError;
use net::PortsError;

/// Bytes of a socket's path: as many as sun_path holds with its end (unix(7)), less those of `_`
/// and the longest port.
pub(super) const MAX_SOCKET: usize = 108 - 1 - "_4294967295".len();

/// A setting, its fault, and where it helps the cure.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ConfigFault {
    /// `runu.dev/mode` knows three.
    #[error("{origin}: unknown mode {value:?}: write auto, unikernel or container")]
    UnknownMode {
        /// What sets it.
        origin: Source,
        /// The beginning of the value.
        value: String,
    },
    /// A key of runu's or urunc's that is none.
    #[error(
        "unknown {origin}: known of runu.dev/ are mode, mode.<container>, kernel, initrd, rootfs, block, block.<device>, cmdline, family, memory, vcpus, virtio, network, ports and vsock"
    )]
    UnknownKey {
        /// The key.
        origin: Source,
    },
    /// A text that is not one line.
    #[error("{origin} has a control character")]
    ControlCharacter {
        /// What sets it.
        origin: Source,
    },
    /// A path without a name.
    #[error("{origin} is empty: name a file of the image")]
    EmptyPath {
        /// What sets it.
        origin: Source,
    },
    /// A value that its key does not take.
    #[error("{origin}: {value:?} {why}")]
    Value {
        /// What sets it.
        origin: Source,
        /// The beginning of the value.
        value: String,
        /// What it is not, and what to write.
        #[source]
        why: ValueError,
    },
    /// Something that is well written, and that no guest gets.
    #[error("{origin} asks for {what}, which this runu cannot give a guest")]
    Unsupported {
        /// What asks for it.
        origin: Source,
        /// What that is, in words.
        what: &'static str,
    },
    /// Two sources of the same precedence that differ.
    #[error("{one} says {one_says}, {other} says {other_says}: remove one of them")]
    Contradiction {
        /// The first source.
        one: Source,
        /// The beginning of its value.
        one_says: String,
        /// The second source.
        other: Source,
        /// The beginning of its value.
        other_says: String,
    },
    /// The image's manifest makes no sense, or is for another host.
    #[error("the image: {0}")]
    Image(#[source] ImageError),
    /// The image's `/urunc.json` cannot be used.
    #[error("/urunc.json of the image: {0}")]
    UruncJson(#[source] UruncJsonError),
}

/// What a value is not, and what to write.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ValueError {
    /// `memory`.
    #[error(transparent)]
    Memory(#[from] QuantityError),
    /// `ports`.
    #[error(transparent)]
    Ports(#[from] PortsError),
    /// `vcpus`.
    #[error("is no number of vCPUs: write 1 or more")]
    Vcpus,
    /// `family`.
    #[error("is no family of unikernels: write {}", Family::NAMED)]
    Family,
    /// `rootfs`.
    #[error("is no place of a root file system: write {}", Root::NAMED)]
    Root,
    /// `virtio`.
    #[error("is no way to virtio devices: write mmio, mmio-legacy, pci or pci-modern")]
    Virtio,
    /// `vsock`.
    #[error("is no path of a socket: write an absolute one without . and ..")]
    Socket,
    /// `vsock`, with no room left for `_` and a port.
    #[error("is too long for a socket's path: write {MAX_SOCKET} bytes at most")]
    LongSocket,
    /// `network`.
    #[error("is no network: write none, or leave it out")]
    Network,
}

impl Serialize for ConfigFault {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}
