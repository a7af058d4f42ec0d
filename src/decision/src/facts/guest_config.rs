//! How a unikernel is to be run: one configuration, whichever convention it was written in.

use std::path::{Component, PathBuf};

use serde::{Serialize, Serializer};

use super::block::BlockConfig;
use super::config_fault::{ConfigFault, MAX_SOCKET, ValueError};
use super::escape::escape_short;
use super::quantity;
use super::source::{Source, Sourced};
use guest::{Family, Root};
use net::Ports;
use vmm::Transport;

/// Where the root file system is to be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RootChoice {
    /// There and nowhere else.
    Exactly(Root),
    /// The container's own, in whichever way the guest can have it.
    Container,
}

impl Serialize for RootChoice {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(match self {
            Self::Exactly(root) => root.name(),
            Self::Container => "container",
        })
    }
}

/// What a guest may be given of its pod's network other than all.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum NetworkChoice {
    /// It has no network device.
    None,
}

/// How a guest is to be run, each setting with its source.
#[derive(Debug, Default, Clone, PartialEq, Eq, Serialize)]
pub struct GuestConfig {
    /// A path in the container's rootfs.
    pub kernel: Option<Sourced<PathBuf>>,
    /// Likewise.
    pub initrd: Option<Sourced<PathBuf>>,
    /// The whole command line, instead of the one that the family makes.
    pub cmdline: Option<Sourced<String>>,
    /// The kind of unikernel: `unikraft`, `linux` and so on, a name that is known.
    pub family: Option<Sourced<String>>,
    /// The guest's memory in bytes.
    pub memory: Option<Sourced<u64>>,
    /// 1 or more.
    pub vcpus: Option<Sourced<u64>>,
    /// How the guest finds its virtio devices.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub virtio: Option<Sourced<Transport>>,
    /// Whether it shall have none of the pod's network.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub network: Option<Sourced<NetworkChoice>>,
    /// Which of the pod's ports are the guest's, where it shares the pod's address.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ports: Option<Sourced<Ports>>,
    /// Where its sockets to its neighbours are to be.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub vsock: Option<Sourced<PathBuf>>,
    /// In the order in which the guest gets them.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub blocks: Vec<BlockConfig>,
    /// Where its root file system is to be.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub rootfs: Option<Sourced<RootChoice>>,
    /// Where the guest is to mount its block device.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub mount_point: Option<Sourced<PathBuf>>,
    /// What shows that this is a unikernel at all.
    #[serde(rename = "signs")]
    pub evidence: Vec<Source>,
    /// What could not be understood.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub faults: Vec<ConfigFault>,
}

impl GuestConfig {
    /// Takes in the settings of a source of the same precedence. Where both say something and not
    /// the same, that is a fault: neither is taken by guess.
    pub fn join(&mut self, other: Self) {
        join(&mut self.kernel, other.kernel, &mut self.faults);
        join(&mut self.initrd, other.initrd, &mut self.faults);
        join(&mut self.cmdline, other.cmdline, &mut self.faults);
        join(&mut self.family, other.family, &mut self.faults);
        join(&mut self.memory, other.memory, &mut self.faults);
        join(&mut self.vcpus, other.vcpus, &mut self.faults);
        join(&mut self.rootfs, other.rootfs, &mut self.faults);
        join(&mut self.virtio, other.virtio, &mut self.faults);
        join(&mut self.network, other.network, &mut self.faults);
        join(&mut self.ports, other.ports, &mut self.faults);
        join(&mut self.vsock, other.vsock, &mut self.faults);
        join(&mut self.mount_point, other.mount_point, &mut self.faults);
        for block in other.blocks {
            self.join_block(block);
        }
        self.evidence.extend(other.evidence);
        self.faults.extend(other.faults);
    }

    /// Takes in the settings of a source of lower precedence, where none is set yet. An
    /// initrd, block devices, the devices' transport and a command line belong to the kernel that
    /// is beside them.
    pub fn or(&mut self, other: Self) {
        if self.kernel.is_none() {
            self.kernel = other.kernel;
            self.initrd = self.initrd.take().or(other.initrd);
            self.cmdline = self.cmdline.take().or(other.cmdline);
            self.family = self.family.take().or(other.family);
            self.rootfs = self.rootfs.take().or(other.rootfs);
            self.virtio = self.virtio.take().or(other.virtio);
            if self.blocks.is_empty() {
                self.blocks = other.blocks;
                self.mount_point = self.mount_point.take().or(other.mount_point);
            }
        }
        self.memory = self.memory.take().or(other.memory);
        self.vcpus = self.vcpus.take().or(other.vcpus);
        self.network = self.network.take().or(other.network);
        self.ports = self.ports.take().or(other.ports);
        self.vsock = self.vsock.take().or(other.vsock);
        self.evidence.extend(other.evidence);
        self.faults.extend(other.faults);
    }

    /// The kernel's path: that one is named shows that this is a unikernel.
    pub fn kernel_path(&mut self, value: &str, origin: Source) -> Option<Sourced<PathBuf>> {
        self.evidence.push(origin.clone());
        self.path(value, origin)
    }

    /// The file for a block device, by the guest's name for it if there is one.
    pub fn block(&mut self, device: Option<&str>, value: &str, origin: Source) {
        if let Some(image) = self.path(value, origin) {
            let device = device.map(str::to_owned);
            self.blocks.push(BlockConfig { device, image });
        }
    }

    /// Two files for one device are a contradiction like any other.
    fn join_block(&mut self, block: BlockConfig) {
        let mine = self.blocks.iter().find(|b| b.device == block.device);
        let mut mine = mine.map(|mine| mine.image.clone());
        match mine {
            None => self.blocks.push(block),
            Some(_) => join(&mut mine, Some(block.image), &mut self.faults),
        }
    }

    /// Notes a setting that runu cannot apply: the guest would not be what was asked for.
    pub fn unsupported(&mut self, origin: Source, what: &'static str) {
        self.evidence.push(origin.clone());
        self.faults.push(ConfigFault::Unsupported { origin, what });
    }

    /// Notes a key that is not known: a misspelt key must not be passed over.
    pub fn unknown(&mut self, origin: Source) {
        self.evidence.push(origin.clone());
        self.faults.push(ConfigFault::UnknownKey { origin });
    }

    /// A path as it was written.
    pub fn path(&mut self, value: &str, origin: Source) -> Option<Sourced<PathBuf>> {
        if value.is_empty() {
            self.faults.push(ConfigFault::EmptyPath { origin });
            return None;
        }
        let Sourced { value, origin } = self.text(value, origin)?;
        let value = PathBuf::from(value);
        Some(Sourced { value, origin })
    }

    /// The path of a socket, to which `_` and a port can be added.
    pub fn socket(&mut self, value: &str, origin: Source) -> Option<Sourced<PathBuf>> {
        let setting = self.path(value, origin)?;
        let mut parts = setting.value.components();
        let is_plain = parts.next() == Some(Component::RootDir)
            && parts.all(|part| matches!(part, Component::Normal(_)))
            && setting.value.file_name().is_some()
            && !value.ends_with('/');
        let parsed = match is_plain {
            true if value.len() <= MAX_SOCKET => Ok(setting.value),
            true => Err(ValueError::LongSocket),
            false => Err(ValueError::Socket),
        };
        self.parsed(value, setting.origin, parsed)
    }

    /// A text of one line.
    pub fn text(&mut self, value: &str, origin: Source) -> Option<Sourced<String>> {
        if value.chars().any(char::is_control) {
            self.faults.push(ConfigFault::ControlCharacter { origin });
            return None;
        }
        let value = value.to_owned();
        Some(Sourced { value, origin })
    }

    /// A family's name.
    pub fn family(&mut self, value: &str, origin: Source) -> Option<Sourced<String>> {
        let parsed = Family::named(value).map(|_| value.to_owned());
        self.parsed(value, origin, parsed.ok_or(ValueError::Family))
    }

    /// Where the root file system is to be.
    pub fn rootfs(&mut self, value: &str, origin: Source) -> Option<Sourced<RootChoice>> {
        let parsed = Root::named(value).map(RootChoice::Exactly);
        self.parsed(value, origin, parsed.ok_or(ValueError::Root))
    }

    /// A transport's name.
    pub fn transport(&mut self, value: &str, origin: Source) -> Option<Sourced<Transport>> {
        let mut all = Transport::ALL.into_iter();
        let parsed = all.find(|transport| transport.to_string() == value);
        self.parsed(value, origin, parsed.ok_or(ValueError::Virtio))
    }

    /// An amount of memory as Kubernetes writes it, in bytes.
    pub fn bytes(&mut self, value: &str, origin: Source) -> Option<Sourced<u64>> {
        let parsed = quantity::bytes(value).map_err(ValueError::Memory);
        self.parsed(value, origin, parsed)
    }

    /// `none`.
    pub fn network_choice(
        &mut self,
        value: &str,
        origin: Source,
    ) -> Option<Sourced<NetworkChoice>> {
        let parsed = (value == "none").then_some(NetworkChoice::None);
        self.parsed(value, origin, parsed.ok_or(ValueError::Network))
    }

    /// Ports such as `80/tcp,53/udp`.
    pub fn port_list(&mut self, value: &str, origin: Source) -> Option<Sourced<Ports>> {
        let parsed = value.parse().map_err(ValueError::Ports);
        self.parsed(value, origin, parsed)
    }

    /// A number of virtual CPUs.
    pub fn count(&mut self, value: &str, origin: Source) -> Option<Sourced<u64>> {
        let parsed = value.parse().ok().filter(|&count| count > 0);
        self.parsed(value, origin, parsed.ok_or(ValueError::Vcpus))
    }

    /// A value with its source, or the fault of its text.
    fn parsed<T>(
        &mut self,
        text: &str,
        origin: Source,
        parsed: Result<T, ValueError>,
    ) -> Option<Sourced<T>> {
        match parsed {
            Ok(value) => Some(Sourced { value, origin }),
            Err(why) => {
                let value = escape_short(text);
                self.faults.push(ConfigFault::Value { origin, value, why });
                None
            }
        }
    }
}

fn join<T: PartialEq + std::fmt::Debug>(
    mine: &mut Option<Sourced<T>>,
    other: Option<Sourced<T>>,
    faults: &mut Vec<ConfigFault>,
) {
    match (&*mine, other) {
        (Some(a), Some(b)) if a.value != b.value => faults.push(ConfigFault::Contradiction {
            one: a.origin.clone(),
            one_says: escape_short(&format!("{:?}", a.value)),
            other: b.origin,
            other_says: escape_short(&format!("{:?}", b.value)),
        }),
        (None, other) => *mine = other,
        _ => {}
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn kernel(path: &str, key: &str) -> GuestConfig {
        let mut guest_config = GuestConfig::default();
        guest_config.kernel = guest_config.kernel_path(path, Source::Annotation(key.into()));
        guest_config
    }

    #[test]
    fn two_that_differ_are_a_fault_that_names_both() {
        let mut guest_config = kernel("/a", "runu.dev/kernel");
        guest_config.join(kernel("/a", "com.urunc.unikernel.binary"));
        assert_eq!(guest_config.faults, []);
        guest_config.join(kernel("/b", "org.unikraft.kernel.image"));
        let message = guest_config.faults[0].to_string();
        for part in [
            "runu.dev/kernel",
            "\"/a\"",
            "org.unikraft.kernel.image",
            "\"/b\"",
        ] {
            assert!(message.contains(part), "{message}");
        }
    }

    #[test]
    fn the_pods_settings_win_over_the_images() {
        let mut image = kernel("/b", "b");
        image.initrd = image.path("/b.cpio", Source::Path);
        image.memory = image.bytes("1Mi", Source::Path);
        let mut pod = kernel("/a", "a");
        pod.or(image);
        assert_eq!(pod.kernel.unwrap().value, PathBuf::from("/a"));
        assert_eq!(pod.initrd, None, "it is the other kernel's");
        assert_eq!(pod.memory.unwrap().value, 1 << 20);
    }
}
