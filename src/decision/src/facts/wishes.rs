//! How a unikernel is asked to be run: one set of wishes, whichever convention
//! they were written in.

use std::path::{Component, PathBuf};

use serde::{Serialize, Serializer};

use super::block::BlockWish;
use super::quantity;
use super::said::{Said, Source};
use super::{Fault, cut};
use guest::{Family, Root};
use net::Ports;
use vmm::Transport;

/// Bytes of a socket's path: as many as sun_path holds with its end (unix(7)), less those of `_`
/// and the longest port.
pub(super) const MAX_SOCKET: usize = 108 - 1 - "_4294967295".len();

/// Where the root file system is wished to be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RootWish {
    Exactly(Root),
    /// The container's own, in whichever way the guest can have it.
    Container,
}

impl Serialize for RootWish {
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
    None,
}

/// What is wished for, and by whom.
#[derive(Debug, Default, Clone, PartialEq, Eq, Serialize)]
pub struct Wishes {
    /// A path in the container's rootfs.
    pub kernel: Option<Said<PathBuf>>,
    /// Likewise.
    pub initrd: Option<Said<PathBuf>>,
    pub cmdline: Option<Said<String>>,
    /// The kind of unikernel: `unikraft`, `linux` and so on, a name that is known.
    pub family: Option<Said<String>>,
    /// The guest's memory in bytes.
    pub memory: Option<Said<u64>>,
    pub vcpus: Option<Said<u64>>,
    /// How the guest finds its virtio devices.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub virtio: Option<Said<Transport>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub network: Option<Said<NetworkChoice>>,
    /// Which of the pod's ports are the guest's, where it shares the pod's address.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ports: Option<Said<Ports>>,
    /// Where its sockets to its neighbours are to be.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub vsock: Option<Said<PathBuf>>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub blocks: Vec<BlockWish>,
    /// Where its root file system is to be.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub rootfs: Option<Said<RootWish>>,
    /// Where the guest is to mount its block device.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub mount_point: Option<Said<PathBuf>>,
    /// Who says that this is a unikernel at all.
    pub signs: Vec<Source>,
    /// What could not be understood.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub faults: Vec<Fault>,
}

impl Wishes {
    /// Takes in what a source of the same standing says. Where both say something and not
    /// the same, that is a fault: neither is obeyed by guess.
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
        self.signs.extend(other.signs);
        self.faults.extend(other.faults);
    }

    /// Takes in what a source of less standing says: only where nothing was said yet. An
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
        self.signs.extend(other.signs);
        self.faults.extend(other.faults);
    }

    /// The kernel's path: whoever names one says that this is a unikernel.
    pub fn kernel_path(&mut self, value: &str, by: Source) -> Option<Said<PathBuf>> {
        self.signs.push(by.clone());
        self.path(value, by)
    }

    /// The file for a block device, by the guest's name for it if there is one.
    pub fn block(&mut self, device: Option<&str>, value: &str, by: Source) {
        if let Some(image) = self.path(value, by) {
            let device = device.map(str::to_owned);
            self.blocks.push(BlockWish { device, image });
        }
    }

    /// Two files for one device are a contradiction like any other.
    fn join_block(&mut self, block: BlockWish) {
        let mine = self.blocks.iter().find(|b| b.device == block.device);
        let mut mine = mine.map(|mine| mine.image.clone());
        match mine {
            None => self.blocks.push(block),
            Some(_) => join(&mut mine, Some(block.image), &mut self.faults),
        }
    }

    /// Notes a wish that runu cannot grant: the guest would not be what was asked for.
    pub fn unsupported(&mut self, by: Source, what: &'static str) {
        self.signs.push(by.clone());
        self.faults.push(Fault::Unsupported { by, what });
    }

    /// Notes a key that is not known: a misspelt wish is not a wish for something else.
    pub fn unknown(&mut self, by: Source) {
        self.signs.push(by.clone());
        self.faults.push(Fault::UnknownKey { by });
    }

    /// A path as it was written.
    pub fn path(&mut self, value: &str, by: Source) -> Option<Said<PathBuf>> {
        if value.is_empty() {
            self.faults.push(Fault::EmptyPath { by });
            return None;
        }
        let Said { value, by } = self.text(value, by)?;
        let value = PathBuf::from(value);
        Some(Said { value, by })
    }

    /// The path of a socket, to which `_` and a port can be added.
    pub fn socket(&mut self, value: &str, by: Source) -> Option<Said<PathBuf>> {
        let said = self.path(value, by)?;
        let mut parts = said.value.components();
        let is_plain = parts.next() == Some(Component::RootDir)
            && parts.all(|part| matches!(part, Component::Normal(_)))
            && said.value.file_name().is_some()
            && !value.ends_with('/');
        if is_plain && value.len() <= MAX_SOCKET {
            return Some(said);
        }
        let (by, value) = (said.by, cut(value));
        self.faults.push(match is_plain {
            true => Fault::LongSocket { by, value },
            false => Fault::Socket { by, value },
        });
        None
    }

    /// A text of one line.
    pub fn text(&mut self, value: &str, by: Source) -> Option<Said<String>> {
        if value.chars().any(char::is_control) {
            self.faults.push(Fault::ControlCharacter { by });
            return None;
        }
        let value = value.to_owned();
        Some(Said { value, by })
    }

    /// A family's name.
    pub fn family(&mut self, value: &str, by: Source) -> Option<Said<String>> {
        if Family::named(value).is_some() {
            return self.text(value, by);
        }
        let value = cut(value);
        self.faults.push(Fault::Family { by, value });
        None
    }

    /// Where the root file system is to be.
    pub fn rootfs(&mut self, value: &str, by: Source) -> Option<Said<RootWish>> {
        if let Some(root) = Root::named(value) {
            let value = RootWish::Exactly(root);
            return Some(Said { value, by });
        }
        let value = cut(value);
        self.faults.push(Fault::UnknownRoot { by, value });
        None
    }

    /// A transport's name.
    pub fn transport(&mut self, value: &str, by: Source) -> Option<Said<Transport>> {
        let mut all = Transport::ALL.into_iter();
        let found = all.find(|transport| transport.to_string() == value);
        if found.is_none() {
            let (by, value) = (by.clone(), cut(value));
            self.faults.push(Fault::Virtio { by, value });
        }
        found.map(|value| Said { value, by })
    }

    /// An amount of memory as Kubernetes writes it.
    pub fn bytes(&mut self, value: &str, by: Source) -> Option<Said<u64>> {
        match quantity::bytes(value) {
            Ok(value) => Some(Said { value, by }),
            Err(why) => {
                let value = cut(value);
                self.faults.push(Fault::Memory { by, value, why });
                None
            }
        }
    }

    /// `none`.
    pub fn network_choice(&mut self, value: &str, by: Source) -> Option<Said<NetworkChoice>> {
        if value == "none" {
            let value = NetworkChoice::None;
            return Some(Said { value, by });
        }
        let value = cut(value);
        self.faults.push(Fault::Network { by, value });
        None
    }

    /// Ports such as `80/tcp,53/udp`.
    pub fn port_list(&mut self, value: &str, by: Source) -> Option<Said<Ports>> {
        match value.parse() {
            Ok(value) => Some(Said { value, by }),
            Err(why) => {
                let value = cut(value);
                self.faults.push(Fault::Ports { by, value, why });
                None
            }
        }
    }

    /// A number of virtual CPUs.
    pub fn count(&mut self, value: &str, by: Source) -> Option<Said<u64>> {
        match value.parse() {
            Ok(value) if value > 0 => Some(Said { value, by }),
            _ => {
                let value = cut(value);
                self.faults.push(Fault::Count { by, value });
                None
            }
        }
    }
}

fn join<T: PartialEq + std::fmt::Debug>(
    mine: &mut Option<Said<T>>,
    other: Option<Said<T>>,
    faults: &mut Vec<Fault>,
) {
    match (&*mine, other) {
        (Some(a), Some(b)) if a.value != b.value => faults.push(Fault::Contradiction {
            one: a.by.clone(),
            one_says: cut(&format!("{:?}", a.value)),
            other: b.by,
            other_says: cut(&format!("{:?}", b.value)),
        }),
        (None, other) => *mine = other,
        _ => {}
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn kernel(path: &str, key: &str) -> Wishes {
        let mut wishes = Wishes::default();
        wishes.kernel = wishes.kernel_path(path, Source::Annotation(key.into()));
        wishes
    }

    #[test]
    fn two_that_differ_are_a_fault_that_names_both() {
        let mut wishes = kernel("/a", "runu.dev/kernel");
        wishes.join(kernel("/a", "com.urunc.unikernel.binary"));
        assert_eq!(wishes.faults, []);
        wishes.join(kernel("/b", "org.unikraft.kernel.image"));
        let told = wishes.faults[0].to_string();
        for part in [
            "runu.dev/kernel",
            "\"/a\"",
            "org.unikraft.kernel.image",
            "\"/b\"",
        ] {
            assert!(told.contains(part), "{told}");
        }
    }

    #[test]
    fn the_pod_is_heard_before_the_image() {
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
